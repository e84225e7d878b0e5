import { sharedKey } from '../../core/elsewhere.ts'
import { Refused } from '../../core/errors.ts'
import type { Store } from '../../core/faces.ts'
import type { Network } from '../../core/records.ts'
import type { Log } from '../../core/settle.ts'
import type { Law } from '../../ipam/blocks.ts'
import { blockLength, emptyDisk } from '../../ipam/blocks.ts'
import type { Portion } from '../../ipam/portion.ts'
import { formatPrefix, includes, merged, type Prefix, parsePrefix, size } from '../../ipam/prefix.ts'
import { readKept, readSaid, writeKept, writeSaid } from '../../ipam/said.ts'
import { type Effect, type Kept, Share } from '../../ipam/share.ts'
import { type Change, type Entry, kinds } from '../../vxlan-fdb/index.ts'
import { Memory } from './memory.ts'
import type { Witness } from './witness.ts'

export type PoolsParts = {
  /** This host's origin in the replicated table. */
  self: string
  store: Store
  spans: (mode: string) => boolean
  /** All other hosts that were ever heard of; undefined while there may be some that weren't. */
  others: () => string[] | undefined
  write: (entries: Entry[]) => void
  /** Asks these hosts whether their table is equal to ours. */
  compare: (hosts: string[]) => void
  witness: Witness
  law: Law
  /** Whose the blocks of a network are may be known otherwise now. */
  ranked: (network: string, pool: string) => void
  /** Hears that what this host may give of a pool is more, or less, than before. */
  dealt: () => void
  /** What people call a host. */
  nameOf: (host: string) => string
  /** Milliseconds that a request for an address waits for a block. */
  patience: number
  log: Log
}

type Asked = { id: string; since: number }
type Open = {
  network: string
  pool: string
  share: Share
  wanted: number
  told: string
  /** What is on disk. */
  disk: string
  asked?: Asked
}
type Waiter = { open: Open; above: number; done: () => void }

/** Milliseconds after which somebody else is asked for blocks. */
const ANSWER = 2_000

/**
 * The pools that hosts share, each keyed by the key that all hosts call its network and by its prefix: joins `Share` to the replicated table,
 * the store and the requests for addresses. Hosts without the network take part too: their votes count, and they are known to have no
 * block. What is known of a pool stays when its network is removed.
 */
export class Pools {
  readonly #parts: PoolsParts
  readonly #memory: Memory
  #shares = new Map<string, Open>()
  readonly #writing = new Set<Promise<void>>()
  #waiters: Waiter[] = []
  #life = 0
  #isOld = false
  #met = ''

  constructor(parts: PoolsParts) {
    this.#parts = parts
    this.#memory = new Memory(parts.store)
  }

  /** A life of this host begins, under a higher number than any before. `isOld`: others have proved that its disk is an old one. */
  async begin(life: number, isOld = false): Promise<void> {
    while (this.#writing.size > 0) await Promise.allSettled(this.#writing)
    const before = this.#shares
    this.#life = life
    this.#isOld = isOld
    this.#shares = new Map()
    this.#met = ''
    for (const [words] of this.#memory.under('share')) {
      const [pool = '', network = ''] = words.split(' ')
      this.#open(network, pool)
    }
    for (const { network, pool, share } of before.values())
      for (const [host, said] of share.heard)
        this.#do(this.#open(network, pool), each => each.hear(host, said))
  }

  /** All that this host says. */
  entries(): Entry[] {
    return [...this.#shares.values()].map(open => this.#entry(open))
  }

  /** Records of other hosts are new. */
  hear(changes: readonly Change[]): void {
    for (const { network, kind, key, origin, value } of changes) {
      if (kind !== kinds.block || origin === this.#parts.self || !value) continue
      const said = readSaid(value.toString())
      if (!said || !isPool(key) || network.includes(' ')) continue
      const open = this.#open(network, key)
      this.#do(open, share => share.hear(origin, said))
      if (said.founded && open.share.said().founded) this.#twice(open, origin)
    }
  }

  /** Whether an address of a network lies in a block of a host: not by what that host says, but by what it was given. */
  owns(network: string, address: Buffer, host: string): boolean {
    const place = {
      family: address.length === 4 ? 4 : 6,
      value: BigInt(`0x${address.toString('hex')}`),
    } as const
    return [...this.#shares.values()].some(open => {
      const whole = parsePrefix(open.pool, 'pool')
      if (open.network !== network || !includes(whole, place)) return false
      const each = size({ ...whole, length: blockLength(whole) })
      return open.share.owner(Number((place.value - whole.first) / each)) === host
    })
  }

  /** Pools of which anybody has said something. */
  pools(): { network: string; pool: string }[] {
    return [...this.#shares.values()].map(({ network, pool }) => ({ network, pool }))
  }

  /** Blocks of a pool that other hosts give addresses of, as few prefixes in CIDR form. */
  elsewhere(network: string, pool: string): Map<string, string> {
    const { share } = this.#shares.get(idOf({ network, pool })) ?? {}
    const whole = parsePrefix(pool, 'pool')
    const length = blockLength(whole)
    const owners = Map.groupBy(share?.elsewhere ?? [], ([, host]) => host)
    const all = [...owners].flatMap(([host, blocks]) =>
      merged(blocks.map(([block]) => prefixOf(whole, length, block))).map((each): [string, string] => [
        formatPrefix(each),
        host,
      ]),
    )
    return new Map(all)
  }

  /** A host's table was equal to ours, which had all that we say in it. That is heard every second and by itself makes no block anybody's. */
  agreed(host: string): void {
    for (const open of this.#shares.values()) this.#carryOut(open, open.share.agree(host))
  }

  /** An operator says that a host is gone for good: this one succeeds it in every pool, once all others know. */
  forget(host: string): void {
    for (const open of this.#shares.values()) this.#do(open, share => share.forget(host))
  }

  /** Networks of this host, or the hosts that are known, may have changed. */
  refresh(): void {
    if (this.#life === 0) return
    const here = new Set(this.#here().map(({ network, pool }) => this.#open(network, pool)))
    const others = this.#parts.others()?.sort()
    for (const open of this.#shares.values()) {
      if (others) this.#do(open, share => share.meet(others))
      this.#do(open, share => share.want(here.has(open), open.wanted))
    }
  }

  /** The same when only hosts may have: costs nothing when they are those of the last time. */
  meet(): void {
    const met = this.#parts.others()?.sort().join() ?? 'nobody knows'
    if (met === this.#met) return
    this.#met = met
    this.refresh()
  }

  /** Some milliseconds have passed: goes after what hasn't been answered. `now` in milliseconds, of a clock that never goes back. */
  tick(now: number): void {
    const unsure = new Set<string>()
    for (const open of this.#shares.values()) {
      for (const host of open.share.unsure()) unsure.add(host)
      this.#remind(open, now)
    }
    if (unsure.size > 0) this.#parts.compare([...unsure])
  }

  /** What of a pool is this host's to give; undefined when no network that spans hosts uses it. */
  portion(pool: string): Portion | undefined {
    const found = this.#here().find(each => each.pool === pool)
    if (!found) return undefined
    const open = this.#open(found.network, pool)
    const whole = parsePrefix(pool, 'pool')
    const length = blockLength(whole)
    const each = size({ ...whole, length })
    return {
      blocks: () => [...open.share.usable].map(block => prefixOf(whole, length, block)),
      left: count => {
        if (count < Number(each) / 4) this.#want(open, open.share.usable.size + 1)
      },
      more: () => this.#more(open),
    }
  }

  #here(): { network: string; pool: string }[] {
    const networks = [...this.#parts.store.records.networks.values()].filter(each => this.#isShared(each))
    return networks.flatMap(network =>
      [...network.ipv4, ...network.ipv6].map(({ pool }) => ({ network: sharedKey(network), pool })),
    )
  }

  #isShared({ mode, options }: Network): boolean {
    return this.#parts.spans(mode) && options.addresses !== 'manual'
  }

  #open(network: string, pool: string): Open {
    const id = idOf({ network, pool })
    const known = this.#shares.get(id)
    if (known) return known
    const whole = parsePrefix(pool, 'pool')
    const count = 2 ** (blockLength(whole) - whole.length)
    const { self, store, witness, law } = this.#parts
    const disk = store.records.identities.get(id)?.value ?? ''
    const kept: Kept = disk ? readKept(disk) : { founded: false, disk: emptyDisk() }
    const level = disk && !this.#isOld ? witness.level(id, disk) : 0
    const share = new Share(self, this.#life, count, kept, level, about(id, law))
    const open: Open = { network, pool, share, wanted: 1, told: '', disk }
    this.#shares.set(id, open)
    const others = this.#parts.others()
    if (others) this.#do(open, share => share.meet(others))
    return open
  }

  #do(open: Open, act: (share: Share) => Effect[]): void {
    this.#carryOut(open, act(open.share))
    this.#parts.ranked(open.network, open.pool)
  }

  #carryOut(open: Open, effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.type === 'persist') this.#persist(open, effect)
      else if (effect.type === 'lost' && effect.blocks.length > 0) this.#lose(open)
    }
    this.#say(open)
    const { share, disk } = open
    if (disk) this.#parts.witness.set(idOf(open), disk, share.level)
    if (effects.every(({ type }) => type === 'persist')) return
    for (const { done } of this.#waiters.filter(each => each.open === open && share.usable.size > each.above))
      done()
    this.#parts.dealt()
  }

  #say(open: Open): void {
    const entry = this.#entry(open)
    const told = String(entry.value)
    if (told === open.told) return
    open.told = told
    this.#parts.write([entry])
  }

  #entry({ network, pool, share }: Open): Entry {
    return { network, kind: kinds.block, key: pool, value: Buffer.from(writeSaid(share.said())) }
  }

  #persist(open: Open, { version, kept }: Extract<Effect, { type: 'persist' }>): void {
    const disk = writeKept(kept)
    const written = this.#memory.set(idOf(open), disk).then(
      () => {
        this.#writing.delete(written)
        open.disk = disk
        this.#parts.witness.set(idOf(open), disk, open.share.level)
        if (this.#shares.get(idOf(open)) === open) this.#do(open, share => share.persisted(version))
      },
      (err: unknown) => {
        this.#writing.delete(written)
        this.#parts.log.error({ err, pool: open.pool }, 'blocks of addresses were not kept')
      },
    )
    this.#writing.add(written)
  }

  #want(open: Open, blocks: number): void {
    open.wanted = Math.max(open.wanted, blocks)
    this.#do(open, share => share.want(true, open.wanted))
  }

  async #more(open: Open): Promise<void> {
    const above = open.share.usable.size
    this.#want(open, above + 1)
    if (open.share.usable.size > above) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const waiter = { open, above, done: resolve }
    this.#waiters.push(waiter)
    const timer = setTimeout(resolve, this.#parts.patience)
    await promise
    clearTimeout(timer)
    this.#waiters = this.#waiters.filter(each => each !== waiter)
    if (open.share.usable.size <= above) throw new Refused(this.#why(open))
  }

  #why({ network, pool, share }: Open): string {
    const none = `no address of ${pool} can be given here yet`
    const awaited = share.awaited()
    if (!awaited)
      return `${none}: no host of TSNET_JOIN has answered, and one of them may own network ${network}`
    if (awaited.length === 0)
      return `${none}: this host has used up its blocks of network ${network}, and no host that has more left answers`
    const names = awaited.map(this.#parts.nameOf).join(', ')
    return `${none}: hosts have to agree first who owns network ${network}, and ${names} did not answer`
  }

  #remind(open: Open, now: number): void {
    const id = open.share.asks
    if (!id) delete open.asked
    else if (open.asked?.id !== id) open.asked = { id, since: now }
    else if (now - open.asked.since > ANSWER) this.#do(open, share => share.askAnother())
  }

  #lose({ network, pool }: Open): void {
    this.#parts.log.error(
      { network, pool },
      'the others were told to forget this host, and its addresses may be given to others: its containers in this network have to be started anew',
    )
  }

  #twice({ network, pool }: Open, rival: string): void {
    this.#parts.log.error(
      { network, pool, rival },
      'two clusters that each had this network became one: remove it on the hosts of one of them, and create it there under another name or subnet',
    )
  }
}

/** What is signed for one pool counts for no other one. */
const about = (id: string, law: Law): Law => ({
  ...law,
  sign: text => law.sign(`${id} ${text}`),
  isSigned: (host, text, seal) => law.isSigned(host, `${id} ${text}`, seal),
})

const idOf = ({ network, pool }: { network: string; pool: string }) => `share ${pool} ${network}`

const prefixOf = (whole: Prefix, length: number, block: number): Prefix => ({
  ...whole,
  first: whole.first + BigInt(block) * size({ ...whole, length }),
  length,
})

function isPool(text: string): boolean {
  try {
    return formatPrefix(parsePrefix(text, 'pool')) === text
  } catch {
    return false
  }
}
