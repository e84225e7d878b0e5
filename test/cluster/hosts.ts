import { Pools } from '../../bin/cluster/pools.ts'
import type { Store } from '../../core/faces.ts'
import { type Level, trusting } from '../../ipam/blocks.ts'
import { Ipam } from '../../ipam/ipam.ts'
import { includes, parseAddress, parsePrefix } from '../../ipam/prefix.ts'
import { memoryStore } from '../../store/memory.ts'
import type { Entry } from '../../vxlan-fdb/index.ts'
import { type Node, World } from '../vxlan-fdb/world.ts'

const quiet = { debug() {}, info() {}, warn() {}, error() {} } as never

export type Settings = { subnet?: string; patience?: number; seed?: number }

/** tsnetd's part in addresses on one machine of a virtual network, and the containers that run there. */
export class Host {
  readonly node: Node
  readonly #hosts: Hosts
  store: Store = memoryStore()
  ipam: Ipam
  pools: Pools
  life = 0
  agreed = false
  readonly running = new Set<string>()
  /** Whose the blocks of others are, by what was told when it may have changed; and how often that was. */
  ways: ReadonlyMap<string, string> = new Map()
  told = 0
  /** What a reboot clears. */
  readonly #seen = new Map<string, { value: string; level: Level }>()

  constructor(hosts: Hosts, node: Node) {
    this.node = node
    this.#hosts = hosts
    this.pools = this.#makePools()
    this.ipam = this.#makeIpam()
  }

  get hasNetwork(): boolean {
    return this.store.records.networks.has('net')
  }

  /** The daemon starts, on what is on disk. */
  async boot(): Promise<void> {
    const { world } = this.#hosts
    const { node } = this
    const life = ++this.life
    this.store = memoryStore(structuredClone(this.store.records))
    this.agreed = false
    this.pools = this.#makePools()
    this.ipam = this.#makeIpam()
    node.up = true
    node.table = node.fresh(world)
    node.disk.epoch = Math.max(node.disk.epoch + 1, Math.floor(world.now / 1000))
    await this.pools.begin(node.disk.epoch)
    if (life !== this.life) return
    const { epoch, fence } = node.disk
    world.atOnce(node, { type: 'start', epoch, fence, entries: this.pools.entries() })
    world.meet(node)
    this.pools.refresh()
  }

  /** The daemon dies; with the machine, its containers do too. */
  stop(machine: boolean): void {
    this.life++
    this.#hosts.world.crash(this.node)
    // What was being written is lost.
    this.store = memoryStore(structuredClone(this.store.records))
    if (!machine) return
    this.running.clear()
    this.#seen.clear()
  }

  /** As dockerd does it: the pool, its gateway, the network. */
  async create(range = ''): Promise<void> {
    const { subnet } = this.#hosts
    const { id } = await this.ipam.requestPool({ space: 'local', pool: subnet, range, v6: false })
    const gateway = await this.ipam.requestAddress({ pool: id, address: '', gateway: true })
    const ipv4 = [{ pool: subnet, gateway, aux: {} }]
    const value = { id: 'net', mode: 'overlay', options: {}, internal: false, ipv4, ipv6: [], shared: 'shop' }
    await this.store.write([{ table: 'network', id: 'net', value: { ...value, created: 0 } }])
    this.pools.refresh()
  }

  /** A container starts: its address, without length. */
  async start(address = ''): Promise<string> {
    const { life } = this
    const pool = `local/ipv4/${this.#hosts.subnet}`
    const answer = await this.ipam.requestAddress({ pool, address, gateway: false })
    if (life !== this.life) throw new Error('the daemon died before its answer')
    const text = answer.split('/')[0] ?? ''
    this.#hosts.claim(text)
    this.running.add(text)
    return text
  }

  async end(address: string): Promise<void> {
    this.running.delete(address)
    await this.ipam.releaseAddress(`local/ipv4/${this.#hosts.subnet}`, address)
  }

  /** The host whose block an address is in, if it is another one. */
  next(address: string): string | undefined {
    const place = parseAddress(address)
    return [...this.ways].find(([prefix]) => place && includes(parsePrefix(prefix, 'block'), place))?.[1]
  }

  #makePools(): Pools {
    const { world, patience } = this.#hosts
    const { node } = this
    const { life } = this
    const feed = (input: Parameters<World['atOnce']>[1]) => {
      if (node.up && life === this.life) world.atOnce(node, input)
    }
    return new Pools({
      self: node.id,
      store: this.store,
      spans: mode => mode === 'overlay',
      others: () => this.#others(),
      write: (entries: Entry[]) => feed({ type: 'write', entries }),
      compare: hosts => feed({ type: 'compare', with: hosts }),
      witness: {
        level: (id, value) => {
          const seen = this.#seen.get(id)
          return seen?.value === value ? seen.level : 0
        },
        set: (id, value, level) => {
          if (life === this.life) this.#seen.set(id, { value, level })
        },
      },
      law: trusting,
      dealt: () => undefined,
      ranked: (network, pool) => {
        this.told++
        this.ways = this.pools.elsewhere(network, pool)
      },
      nameOf: host => host,
      patience,
      log: quiet,
    })
  }

  #others(): string[] | undefined {
    const { logs, members } = this.node.table
    if (this.#hosts.all.length > 1 && !this.agreed) return undefined
    const heard = [...logs.values()].flatMap(log => (log.key ? log.origin : []))
    return [...new Set([...heard, ...members.keys()])].filter(id => id !== this.node.id)
  }

  #makeIpam(): Ipam {
    const { world } = this.#hosts
    return new Ipam({
      store: this.store,
      clock: () => world.now,
      routes: async () => [],
      seed: this.node.id,
      portion: pool => this.pools.portion(pool),
    })
  }
}

/** Machines that share a network, on a clock of their own. */
export class Hosts {
  readonly world: World
  readonly subnet: string
  readonly patience: number
  readonly all: Host[] = []
  duplicate = ''

  constructor(count: number, { subnet = '10.90.0.0/24', patience = 20_000, seed = 1 }: Settings = {}) {
    this.subnet = subnet
    this.patience = patience
    const world = new World(count, seed)
    this.world = world
    world.now = 1_000_000
    world.onChange = (node, changes) => this.#of(node)?.pools.hear(changes)
    world.onAgree = (node, member) => this.#agree(node, member)
    for (const node of world.nodes) this.all.push(new Host(this, node))
  }

  async boot(): Promise<this> {
    await Promise.all(this.all.map(host => host.boot()))
    return this
  }

  at(index: number): Host {
    return this.all[index % this.all.length] as Host
  }

  /** Virtual milliseconds pass; disks get their turns. */
  async run(time: number): Promise<void> {
    const { world } = this
    for (const end = world.now + time; world.now < end; ) {
      world.run(Math.min(end, world.now + 10))
      await new Promise(setImmediate)
      if (world.now % 200 < 10) for (const { node, pools } of this.all) if (node.up) pools.tick(world.now)
    }
  }

  /** Runs until all of these have an answer. */
  async answers<T>(promises: Promise<T>[], limit = 60_000): Promise<T[]> {
    let done = false
    const all = Promise.all(promises).finally(() => {
      done = true
    })
    all.catch(() => {})
    const end = this.world.now + limit
    while (!done && this.world.now < end) await this.run(50)
    if (!done) throw new Error(`no answer after ${limit} ms`)
    return all
  }

  /** Somebody gets an address. */
  claim(address: string): void {
    if (this.all.some(({ running }) => running.has(address))) this.duplicate ||= address
  }

  /** Hosts that a packet passes from one of them on, by what each says of blocks; a container that runs there keeps it. */
  passes(address: string, from: Host): Host[] {
    const path = [from]
    for (let at: Host | undefined = from; at && !at.running.has(address); ) {
      const next = at.next(address)
      at = this.all.find(({ node }) => node.id === next)
      if (at) path.push(at)
      if (path.length > this.all.length) break
    }
    return path
  }

  #of(node: Node): Host | undefined {
    return this.all.find(host => host.node === node)
  }

  #agree(node: Node, member: string): void {
    const host = this.#of(node)
    if (!host) return
    host.agreed = true
    host.pools.meet()
    host.pools.agreed(member)
  }
}
