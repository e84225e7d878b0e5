import { isDeepStrictEqual } from 'node:util'
import { sharedKey } from '../../core/elsewhere.ts'
import { Refused } from '../../core/errors.ts'
import type { Store } from '../../core/faces.ts'
import type { Change, Network } from '../../core/records.ts'
import type { Log } from '../../core/settle.ts'
import { type Entry, kinds, type Change as TableChange } from '../../vxlan-fdb/index.ts'
import { type Birth, type Deed, decide, type Here, inTheWay, type Ledger, type World } from './decide.ts'
import { describe, type Engine, type Listed, request, storeOf } from './docker.ts'
import { readLedger, writeLedger } from './ledger.ts'
import { type Net, readWord, type Word, writeWord } from './network.ts'
import { failed, tooLong } from './sentences.ts'
import { Tries } from './tries.ts'

export type MirrorParts = {
  docker: Engine
  store: Store
  /** What Docker calls us here, when it doesn't show by a network; undefined for what another host calls us. */
  driver?: () => Promise<string | undefined>
  /** Whether networks of a mode span hosts. */
  spans: (mode: string) => boolean
  vniOf: (network: Network) => number
  /** Puts what this host says of networks among its records. */
  say: (entries: Entry[]) => void
  log: Log
  /** Milliseconds of a clock that never goes back. */
  now: () => number
}

/** Milliseconds. Docker lists a network a moment after we answered, and requests come in bursts. */
const SOON = 20
/** Milliseconds between two looks when nothing happens, for what Docker did while nobody asked us. */
const PERIOD = 60_000
const DOCKER_AWAY = 2_000

/**
 * One network, created once: what is made or removed with Docker on one host is made and removed on all. It compares what Docker lists here
 * with what the others say, one look at a time and never from inside a request.
 *
 * Networks with `-o name` are made by hand on each host, those of Swarm by Swarm: both are left alone.
 */
export class Mirror {
  readonly #parts: MirrorParts
  readonly #others = new Map<string, Map<Birth, Word>>()
  readonly #tries = new Tries()
  #ledger: Ledger
  #said: ReadonlyMap<Birth, Word>
  #heard = false
  #expected: { birth: Birth; net: Net } | undefined
  #driver: string | undefined
  #complaints: ReadonlyMap<string, string> = new Map()
  #started = false
  #running = false
  #stirred = false
  #timer: NodeJS.Timeout | undefined

  constructor(parts: MirrorParts) {
    this.#parts = parts
    this.#ledger = readLedger(parts.store)
    const { bound, removed } = this.#ledger
    this.#said = new Map([...bound].map(([birth, { net }]) => [birth, removed.has(birth) ? {} : { net }]))
  }

  /** All that this host says of networks. */
  entries(): Entry[] {
    return [...this.#said].map(([birth, word]) => entryOf(birth, word))
  }

  /** Others' records are new. */
  hear(changes: readonly TableChange[]): void {
    const ofNetworks = changes.filter(({ kind }) => kind === kinds.network)
    for (const { origin, key, value } of ofNetworks) {
      const words = this.#others.get(origin) ?? new Map<Birth, Word>()
      const word = value && this.#read(value)
      if (word) words.set(key, word)
      else words.delete(key)
      if (words.size > 0) this.#others.set(origin, words)
      else this.#others.delete(origin)
    }
    if (ofNetworks.length > 0) this.#stir()
  }

  /** All that others know has been heard: what nobody speaks of isn't there. */
  complete(): void {
    this.#heard = true
    this.#stir()
  }

  /** Records of this host changed: a network came or went, or an endpoint that was in the way may have. */
  tell(changes: readonly Change[]): void {
    const matters = ({ table, value }: Change) =>
      table === 'network' || (table === 'endpoint' && !value && this.#complaints.size > 0)
    if (changes.some(matters)) this.#stir()
  }

  /**
   * A network that Docker wants us to make: if it is one of another host that is being made here, it goes by the same key. Refused when it
   * would be in the way of one that another host is known to have.
   */
  admit(network: Network): Network {
    if (!this.#parts.spans(network.mode) || byHand(network)) return network
    const { birth, net } = this.#expected ?? {}
    if (birth && net && samePools(network, net)) {
      this.#expected = undefined
      return { ...network, shared: birth }
    }
    const ledger = this.#present(sharedKey(network))
    const reason = inTheWay(this.#sketch(network), { others: this.#others, ledger })
    if (reason) throw new Refused(reason)
    return network
  }

  start(): void {
    this.#started = true
    this.#after(SOON)
  }

  close(): void {
    this.#started = false
    clearTimeout(this.#timer)
  }

  /** A record of a network that we couldn't make, or shouldn't, is as good as none. */
  #read(value: Buffer): Word | undefined {
    const word = readWord(value)
    const { mode = '', name } = word?.net?.options ?? {}
    return word?.net && (!this.#parts.spans(mode) || name !== undefined) ? undefined : word
  }

  /**
   * The ledger as of this moment, without one network: Docker may not have told yet that it has no longer what we were asked to delete.
   */
  #present(except: Birth): Ledger {
    const { networks } = this.#parts.store.records
    const { docker, bound, removed } = this.#ledger
    const gone = [...bound].filter(([, { id }]) => !networks.has(id)).map(([birth]) => birth)
    return { docker, bound, removed: new Set([...removed, ...gone, except]) }
  }

  #sketch(network: Network): Net {
    const listed = { Name: '', Driver: '', Internal: false, Attachable: false, EnableIPv6: false } as Listed
    return describe(listed, network, this.#parts.vniOf(network))
  }

  #stir(): void {
    this.#stirred = true
    this.#after(SOON)
  }

  #after(wait: number): void {
    if (!this.#started || this.#running) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#look(), this.#stirred ? SOON : wait).unref()
  }

  async #look(): Promise<void> {
    this.#running = true
    this.#stirred = false
    const wait = await this.#compare().catch(error => {
      this.#parts.log.debug({ err: error }, "Docker's networks can't be had now")
      return DOCKER_AWAY
    })
    this.#running = false
    this.#after(wait)
  }

  /** Milliseconds until the next look. */
  async #compare(): Promise<number> {
    const { docker, store } = this.#parts
    const all = await docker.list()
    const world = this.#worldOf(all)
    const { ledger, words, deeds, reports } = decide(world)
    // Before anybody hears of it, and before anything follows from it.
    await writeLedger(store, ledger)
    this.#ledger = ledger
    const complaints = new Map([...reports, ...tooLong(words)])
    this.#say(new Map([...words].filter(([birth]) => !complaints.has(`size ${birth}`))))
    const waits = [this.#awaited(world), PERIOD]
    for (const deed of deeds) waits.push(await this.#carryOut(deed, complaints))
    this.#complain(complaints)
    return Math.max(SOON, Math.min(...waits))
  }

  #worldOf(all: readonly Listed[]): World {
    const { networks, endpoints } = this.#parts.store.records
    this.#driver = all.find(({ Id }) => networks.has(Id))?.Driver ?? this.#driver
    const used = new Set([...endpoints.values()].map(each => each.network))
    return {
      ledger: this.#ledger,
      docker: storeOf(all),
      listed: new Set(all.map(({ Id }) => Id)),
      here: all.flatMap(each => this.#hereOf(each, used) ?? []),
      others: this.#others,
      heard: this.#heard,
      said: this.#said,
    }
  }

  #hereOf(listed: Listed, used: ReadonlySet<string>): Here | undefined {
    const { store, spans, vniOf } = this.#parts
    const record = store.records.networks.get(listed.Id)
    if (!record || !spans(record.mode) || byHand(record) || listed.Scope !== 'local') return undefined
    const birth = sharedKey(record)
    const told = [...this.#others.values()].map(words => words.get(birth)?.net).find(net => net)
    const net = this.#ledger.bound.get(birth)?.net ?? told ?? describe(listed, record, vniOf(record))
    return { id: listed.Id, birth, used: used.has(listed.Id), net }
  }

  /** Milliseconds until Docker is asked for what it must list, or list no longer, any moment. */
  #awaited({ listed, ledger }: World): number {
    const { spans, store } = this.#parts
    const { networks } = store.records
    const coming = [...networks.values()].filter(each => spans(each.mode) && !listed.has(each.id))
    const going = [...ledger.bound.values()].filter(({ id }) => listed.has(id) && !networks.has(id))
    return Math.min(PERIOD, ...[...coming, ...going].map(({ id }) => this.#again(`await ${id}`)))
  }

  #again(key: string): number {
    const now = this.#parts.now()
    if (this.#tries.wait(key, now) === 0) this.#tries.tried(key, now)
    return this.#tries.wait(key, now)
  }

  /** Milliseconds until the next look on behalf of this deed. */
  async #carryOut(deed: Deed, complaints: Map<string, string>): Promise<number> {
    const { log, now } = this.#parts
    const { birth, net } = deed
    const key = `${deed.do} ${birth}`
    const early = this.#tries.wait(key, now())
    const before = this.#complaints.get(key)
    if (early > 0) {
      if (before) complaints.set(key, before)
      return early
    }
    this.#tries.tried(key, now())
    try {
      await this.#do(deed)
      log.info({ network: birth }, `network ${net.name} was ${deed.do}d here, as on other hosts`)
      return SOON
    } catch (error) {
      complaints.set(key, failed(deed, error as Error))
      return this.#tries.wait(key, now())
    }
  }

  async #do(deed: Deed): Promise<void> {
    const { docker } = this.#parts
    if (deed.do === 'remove') return docker.remove(deed.id)
    const { birth, net } = deed
    this.#expected = { birth, net }
    try {
      this.#driver ??= await this.#parts.driver?.()
      await this.#bind(birth, { id: await docker.create(request(net, this.#driver ?? net.driver)), net })
    } finally {
      this.#expected = undefined
    }
  }

  /** At once, so that it is known to have been here when it is removed before the next look. */
  async #bind(birth: Birth, here: { id: string; net: Net }): Promise<void> {
    this.#ledger = { ...this.#ledger, bound: new Map([...this.#ledger.bound, [birth, here]]) }
    await writeLedger(this.#parts.store, this.#ledger)
  }

  #say(words: ReadonlyMap<Birth, Word>): void {
    const said = this.#said
    this.#said = words
    const fresh = [...this.#said].filter(([birth, word]) => !isDeepStrictEqual(said.get(birth), word))
    const taken = [...said.keys()].filter(birth => !this.#said.has(birth))
    const entries = [
      ...fresh.map(([birth, word]) => entryOf(birth, word)),
      ...taken.map(birth => ({ ...place(birth), value: undefined })),
    ]
    if (entries.length > 0) this.#parts.say(entries)
  }

  /** Each sentence once, however long its cause lasts. */
  #complain(complaints: ReadonlyMap<string, string>): void {
    for (const [about, sentence] of complaints)
      if (this.#complaints.get(about) !== sentence) this.#parts.log.warn({ about }, sentence)
    this.#complaints = complaints
  }
}

const byHand = ({ options }: Network) => options.name !== undefined

const place = (birth: Birth) => ({ network: '', kind: kinds.network, key: birth })
const entryOf = (birth: Birth, word: Word): Entry => ({ ...place(birth), value: writeWord(word) })

function samePools({ ipv4, ipv6 }: Network, { ipam }: Net): boolean {
  const pools = new Set([...ipv4, ...ipv6].map(({ pool }) => pool))
  return pools.symmetricDifference(new Set(ipam.subnets.map(({ subnet }) => subnet))).size === 0
}
