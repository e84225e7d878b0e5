import { isIPv4, isIPv6 } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { ClusterStatus, Forgotten } from '../../cli/answers.ts'
import type { Store } from '../../core/faces.ts'
import type { PeerTable } from '../../core/peers.ts'
import type { Change as RecordChange } from '../../core/records.ts'
import type { Log } from '../../core/settle.ts'
import { Agent, encodeTags, endpointText } from '../../gossip/index.ts'
import type { Portion } from '../../ipam/portion.ts'
import {
  type Change,
  type Entry,
  ed25519,
  type Input,
  kinds,
  mayBeLost,
  nextEpoch,
  type Output,
  originOf,
  selfCertified,
  step,
  Table,
  usual,
  wakeAt,
  writeHost,
} from '../../vxlan-fdb/index.ts'
import { toBytes } from './addresses.ts'
import { type Contest, contested, contests, ranking } from './conflicts.ts'
import { isSeal, seal } from './deeds.ts'
import { Forgetting } from './forgetting.ts'
import { Hosts } from './hosts.ts'
import { Keys } from './keys.ts'
import { Memory } from './memory.ts'
import { type Moves, takeOver } from './others.ts'
import { type Elsewhere, endpointsElsewhere } from './overview.ts'
import { Own } from './own.ts'
import { Pools } from './pools.ts'
import { Post } from './post.ts'
import { type Divided, Prefixes } from './prefixes.ts'
import { Reunion } from './reunion.ts'
import { ringOf, writeRing } from './ring.ts'
import type { ClusterSettings } from './settings.ts'
import { Ways } from './ways.ts'
import { witness } from './witness.ts'

export type ClusterParts = {
  settings: ClusterSettings
  store: Store
  peers: PeerTable
  /** Whether networks of a mode span hosts. */
  spans: (mode: string) => boolean
  /** A folder that a reboot clears. */
  run: string
  /** Hears what moved, for the kernel. */
  moved: (moves: Moves) => void
  /** Pools that somebody else divides among the hosts, as they are now. */
  divided?: () => Divided[]
  /** Hears that what this host may give of a pool is more, or less, than before. */
  dealt?: () => void
  /** What this host says of networks; hears what others do. */
  networks?: Sayings
  /** What this host says of names; hears what all do, this host included. */
  names?: Sayings
  /** Hears that all that others know has been heard: of every host that was ever known, or, before, of all that answered in a while. */
  heard: () => void
  log: Log
}

/** A part of this host that has records of its own in the table. */
type Sayings = { entries(): Entry[]; hear(changes: readonly Change[]): void }

type Duties = { [T in Output['type']]: (output: Extract<Output, { type: T }>) => void }

/** What speaks to the others, and the gossip keys that it was configured with. */
type Voice = { agent: Agent; configured: readonly Buffer[] }

/** Name of the cluster on the wire: gossip of others that share the port is dropped. */
const LABEL = 'tsnet'

/** Milliseconds that a request for an address waits for a block: Docker's waits for us. */
const PATIENCE = 15_000
/** Milliseconds that another host has for an order about gossip keys. */
const OBEDIENCE = 5_000
/** Milliseconds between two looks at what the owners of pools haven't answered. */
const REMINDER = 200

/**
 * This host among the others: gossip tells who is there, the replicated table who has which MAC and address. The only place where the
 * table meets sockets, time and disk.
 */
export class Cluster {
  readonly #parts: ClusterParts
  readonly #agent: Agent
  readonly #table: Table
  readonly #memory: Memory
  readonly #own: Own
  readonly #pools: Pools
  readonly #prefixes: Prefixes
  readonly #ways: Ways
  readonly #forgetting: Forgetting
  readonly #reunion: Reunion
  readonly #post: Post
  readonly hosts: Hosts
  /** Gossip keys of all hosts. */
  readonly keys: Keys
  readonly #duties: Duties = {
    direct: ({ to, bytes }) => this.#post.send('direct', to, bytes),
    stream: ({ to, bytes }) => this.#post.send('stream', to, bytes),
    broadcast: ({ bytes }) => this.#post.broadcast(bytes),
    changed: ({ changes }) => this.#change(changes),
    agreed: ({ member }) => this.#hear(member),
    conflict: output => this.#contested(output),
    epoch: ({ epoch }) => this.#keep('epoch', epoch, () => void this.#renew(epoch)),
    pin: ({ origin, key }) => this.#keep(`pin ${origin}`, key.toString('hex')),
    fence: output => {
      const { origin, fence, by } = output
      this.#keep(`fence ${origin}`, by === undefined ? fence : `${fence} ${by}`)
      this.#forgetting.counts(output)
      this.#pools.meet()
      this.#ways.moveAll()
    },
    defied: output => {
      this.#keep('fence', output.fence)
      this.#forgetting.isDefied(output)
    },
    fenced: ({ fence }) => this.#rejoin(fence),
    refused: ({ from, reason }) => this.#parts.log.debug({ from }, reason),
  }
  readonly #reminder: NodeJS.Timeout
  #timer: NodeJS.Timeout | undefined
  #vteps: readonly string[]

  private constructor(parts: ClusterParts, { agent, configured }: Voice, table: Table, memory: Memory) {
    this.#parts = parts
    this.#vteps = parts.settings.vteps
    this.#agent = agent
    this.#table = table
    this.#memory = memory
    const isForgotten = (host: string) => this.#forgetting.isForgotten(host)
    this.hosts = new Hosts({ agent, table, bind: parts.settings.bind, isForgotten })
    this.#own = new Own(parts.store, parts.spans)
    this.#pools = this.#makePools()
    this.#prefixes = this.#makePrefixes()
    this.#ways = this.#makeWays()
    this.#forgetting = this.#makeForgetting()
    this.#reunion = new Reunion({ table, peers: parts.peers, isForgotten, heard: parts.heard })
    this.keys = this.#makeKeys(configured)
    this.#reminder = setInterval(() => this.#pools.tick(performance.now()), REMINDER).unref()
    this.#post = this.#makePost()
  }

  /** Throws what binding the port throws. */
  static async open(parts: ClusterParts): Promise<Cluster> {
    const { settings, store, log } = parts
    const memory = new Memory(store)
    const signer = ed25519(await memory.key())
    const origin = originOf(signer.publicKey)
    const kept = memory.text('keyring')
    // Keys that are brought are as new to the others as to this host: what it used goes on until they have them.
    const ring = ringOf(settings.areBrought && kept !== undefined ? [] : settings.keys, kept)
    if (settings.areBrought) await memory.set('keyring', writeRing(ring))
    const agent = await Agent.open({
      name: origin,
      bind: settings.bind,
      keys: ring.keys,
      label: LABEL,
      seeds: settings.seeds,
      meta: encodeTags({ host: hostname().slice(0, 64), key: signer.publicKey.toString('base64url') }),
      incarnation: memory.number('incarnation'),
      persist: incarnation =>
        void memory.set('incarnation', incarnation).catch(err => log.error({ err }, 'not kept')),
    })
    let cluster: Cluster | undefined
    const rank = ranking((...where) => (cluster ? cluster.#ways.owns(...where) : false))
    const table = new Table({ ...usual, origin, signer, certifies: selfCertified, rank }, memory.table())
    cluster = new Cluster(parts, { agent, configured: ring.configured }, table, memory)
    await cluster.#begin(memory.number('fence'))
    await cluster.keys.configure(settings.keys)
    return cluster
  }

  /** Records of this host changed. */
  tell(changes: readonly RecordChange[]): void {
    const entries = this.#own.of(changes)
    this.write(entries)
    if (changes.every(({ table }) => table !== 'network')) return
    this.#pools.refresh()
    this.divide()
  }

  /** What this host was given of a pool by somebody else may be something else now. */
  divide(): void {
    this.#prefixes.refresh()
    this.#ways.move(this.#prefixes.pools())
  }

  /** Says this, too, in this life. */
  write(entries: Entry[]): void {
    if (entries.length > 0) this.#feed({ type: 'write', entries })
  }

  /** This host was configured anew, at the same address. */
  reconfigure({ vteps, keys }: Pick<ClusterSettings, 'vteps' | 'keys'>): void {
    if (!isDeepStrictEqual(vteps, this.#vteps)) {
      this.#vteps = vteps
      this.write([this.#host()])
    }
    this.keys.configure(keys).catch(err => this.#parts.log.error({ err }, 'gossip keys were not kept'))
  }

  /** What of a pool is this host's to give; undefined when all of it is. */
  portion(pool: string): Portion | undefined {
    return this.#pools.portion(pool)
  }

  status(): ClusterStatus {
    const { bind, vxlanPort } = this.#parts.settings
    return {
      host: this.#table.origin,
      bind: endpointText(bind),
      tunnel: { ends: [...this.#vteps], port: vxlanPort, mtu: this.#parts.peers.self?.mtu ?? 0 },
      members: { alive: this.hosts.alive, known: this.hosts.list().length },
      complete: this.#parts.peers.heard(),
      keys: this.#agent.keyring.list().length,
    }
  }

  /** Endpoints of all networks on other hosts. */
  elsewhere(): Elsewhere[] {
    return endpointsElsewhere(this.#table, this.hosts.nameOf)
  }

  /** Addresses and MACs that several hosts say are theirs. */
  contests(): Contest[] {
    return contests(this.#table, this.hosts.nameOf)
  }

  /**
   * The operator's word that a host is gone for good: everybody drops its records who has missed it for some seconds, this host succeeds it in
   * the pools. When it comes back it has nothing of what it had.
   * @throws Refused for a host that isn't known, for this one, and for one that answers.
   */
  forget(words: string): Forgotten {
    return this.#forgetting.order(words)
  }

  /** Containers go on when the daemon ends, so this is no farewell: what this host said stays true. */
  async close(): Promise<void> {
    clearTimeout(this.#timer)
    this.#reunion.close()
    clearInterval(this.#reminder)
    this.keys.close()
    await this.#agent.close()
  }

  async #begin(fence: number): Promise<void> {
    const epoch = nextEpoch(this.#memory.number('epoch'), Date.now())
    await this.#memory.set('epoch', epoch)
    await this.#pools.begin(epoch)
    const entries = [
      this.#host(),
      // Before those who have addresses of them, so that nobody makes a way to each.
      ...this.#pools.entries(),
      ...this.#prefixes.entries(),
      ...this.#own.all(),
      ...this.#forgetting.entries(),
      ...(this.#parts.networks?.entries() ?? []),
      ...(this.#parts.names?.entries() ?? []),
    ]
    this.#feed({ type: 'start', epoch, fence, entries })
    this.#pools.refresh()
  }

  /** This disk is older than what others know of this host: what it says from now on is of a life of its own. */
  async #renew(epoch: number): Promise<void> {
    await this.#pools.begin(epoch, true)
    this.#feed({ type: 'epoch', epoch })
    this.#feed({ type: 'write', entries: this.#pools.entries() })
    this.#pools.refresh()
  }

  #makePools(): Pools {
    const { store, spans, dealt = () => undefined, log } = this.#parts
    const { signer } = this.#table.settings
    return new Pools({
      self: this.#table.origin,
      store,
      spans,
      others: () => this.#others(),
      write: entries => this.#feed({ type: 'write', entries }),
      compare: hosts => this.#feed({ type: 'compare', with: hosts }),
      law: {
        isForgotten: host => host !== this.#table.origin && this.#table.fences.has(host),
        mayBeLost: () => mayBeLost(this.#table, performance.now()),
        heirOf: host => this.#table.heirs.get(host),
        sign: text => seal(signer, text),
        isSigned: (...what) => isSeal(signer, ...what),
      },
      ranked: (network, pool) => {
        this.#ways.move([{ network, pool }])
      },
      dealt,
      witness: witness(join(this.#parts.run, `blocks-${this.#table.origin}.json`)),
      nameOf: this.hosts.nameOf,
      patience: PATIENCE,
      log,
    })
  }

  #makePrefixes(): Prefixes {
    const { divided = () => [], peers, log } = this.#parts
    const { members, origin } = this.#table
    const veterans = new Set(this.#memory.under('pin').map(([host]) => host))
    return new Prefixes({
      self: origin,
      own: divided,
      isThere: host => members.get(host)?.alive ?? false,
      isVeteran: host => veterans.has(host),
      isSettled: () => peers.heard(),
      write: entries => this.#feed({ type: 'write', entries }),
      held: this.#memory.under('prefix'),
      keep: (contested, host) => this.#keep(`prefix ${contested}`, host),
      nameOf: this.hosts.nameOf,
      log,
    })
  }

  #makeWays(): Ways {
    const { peers, moved } = this.#parts
    return new Ways({
      pools: this.#pools,
      prefixes: this.#prefixes,
      table: this.#table,
      peers,
      moved,
      ranked: network => {
        if (this.#table.conflicts.size > 0) this.#feed({ type: 'ranked', network })
      },
    })
  }

  /** Every host that was ever heard of and that nobody was told to forget; undefined while those to join haven't answered. */
  #others(): string[] | undefined {
    const { bind, seeds } = this.#parts.settings
    const elsewhere = seeds.filter(({ address, port }) => address !== bind.address || port !== bind.port)
    if (elsewhere.length > 0 && !this.#reunion.agreed) return undefined
    const { logs, origin } = this.#table
    const heard = [...logs.values()].flatMap(log => (log.key ? log.origin : []))
    const all = new Set([...heard, ...this.#agent.members().map(({ name }) => name)])
    all.delete(origin)
    return [...all].filter(host => !this.#forgetting.isForgotten(host))
  }

  #makeForgetting(): Forgetting {
    return new Forgetting({
      table: this.#table,
      members: this.hosts.list,
      nameOf: this.hosts.nameOf,
      succeed: host => {
        this.#pools.forget(host)
        this.#feed({ type: 'forget', origin: host })
      },
      log: this.#parts.log,
    })
  }

  #makeKeys(configured: readonly Buffer[]): Keys {
    return new Keys({
      self: this.#table.origin,
      keyring: this.#agent.keyring,
      configured,
      keep: ring => this.#memory.set('keyring', writeRing(ring)),
      send: (host, message) => this.hosts.send(host, message),
      hosts: () => this.hosts.others(),
      nameOf: this.hosts.nameOf,
      patience: OBEDIENCE,
      log: this.#parts.log,
    })
  }

  #makePost(): Post {
    return new Post({
      agent: this.#agent,
      origin: this.#table.origin,
      feed: input => {
        this.#feed(input)
        if (input.type === 'member') this.#ways.move(this.#prefixes.met())
      },
      other: payload => this.keys.heard(payload),
      met: () => this.#pools.meet(),
      log: this.#parts.log,
    })
  }

  #host(): Entry {
    const end = (of: (text: string) => boolean) => {
      const found = this.#vteps.find(of)
      return found === undefined ? undefined : toBytes(found)
    }
    const value = writeHost({ vtep4: end(isIPv4), vtep6: end(isIPv6) })
    return { network: '', kind: kinds.host, key: '', value }
  }

  #feed(input: Input): void {
    for (const output of step(this.#table, input, performance.now(), Math.random)) this.#carryOut(output)
    clearTimeout(this.#timer)
    const wait = Math.max(0, wakeAt(this.#table) - performance.now())
    this.#timer = setTimeout(() => this.#feed({ type: 'tick' }), Math.ceil(wait)).unref()
  }

  #carryOut(output: Output): void {
    ;(this.#duties[output.type] as (output: Output) => void)(output)
  }

  #keep(id: string, value: string | number | undefined, then?: () => void | Promise<void>): void {
    const kept = this.#memory.set(id, value).then(then)
    kept.catch(err => this.#parts.log.error({ err }, `${id} was not kept`))
  }

  /** The others were told to forget this host: what it says now it says anew. */
  #rejoin(fence: number): void {
    this.#parts.log.error({ fence }, 'the others were told to forget this host; it joins them anew')
    this.#keep('fence', fence, () => this.#begin(fence))
  }

  #change(changes: readonly Change[]): void {
    this.#parts.moved(takeOver(this.#table, this.#parts.peers, changes))
    const hosts = changes.some(({ kind }) => kind === kinds.host)
    if (hosts) this.#pools.meet()
    this.#pools.hear(changes)
    this.#ways.move(this.#prefixes.hear(changes))
    if (hosts) this.#ways.moveAll()
    this.#parts.names?.hear(changes)
    this.#parts.networks?.hear(changes.filter(({ origin }) => origin !== this.#table.origin))
  }

  /** Somebody's table was equal to ours, so nothing that others know is unknown here. */
  #hear(member: string): void {
    this.#reunion.agree()
    this.#pools.meet()
    this.#pools.agreed(member)
  }

  #contested(output: Extract<Output, { type: 'conflict' }>): void {
    const { peers, log, moved } = this.#parts
    this.#keep(`contested ${JSON.stringify(output.claim)}`, output.conflict?.winner.origin)
    moved(contested(output, this.#table, peers, this.hosts.nameOf, log))
  }
}
