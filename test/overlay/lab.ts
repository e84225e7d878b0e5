import { Engine } from '../../core/engine.ts'
import type { EndpointSpec, Kernel, NetworkSpec, Place, Remote, Underlay } from '../../core/faces.ts'
import { PeerTable } from '../../core/peers.ts'
import { type Log, Settler } from '../../core/settle.ts'
import { openKernel } from '../../kernel/index.ts'
import { ground } from '../../modes/firewall.ts'
import { modes } from '../../modes/index.ts'
import { memoryStore } from '../../store/memory.ts'
import { addNamespace, deleteNamespace, inNamespace, netnsPath, ownName } from '../bed/namespace.ts'

/** Hosts, wires and containers as network namespaces; nobody tells anybody anything unless `Lab` does. */

/** A network interface on the wire that all hosts are plugged into. */
export class Plug {
  readonly name: string
  readonly namespace: string
  protected constructor(name: string) {
    this.name = name
    this.namespace = ownName(`ov-${name}`)
  }

  run(...argv: string[]): Promise<string> {
    return inNamespace(this.namespace, ...argv)
  }

  static async plugged(wire: string, name: string, addresses: readonly string[]): Promise<Plug> {
    const plug = new Plug(name)
    await plug.plug(wire, addresses)
    return plug
  }

  protected async plug(wire: string, addresses: readonly string[]): Promise<void> {
    await addNamespace(this.namespace)
    const other = ['peer', 'name', 'eth0', 'netns', this.namespace]
    await inNamespace(
      wire,
      'ip',
      'link',
      'add',
      'name',
      this.name,
      'up',
      'master',
      'br0',
      'type',
      'veth',
      ...other,
    )
    for (const each of addresses) await this.address('add', each)
    await this.run('ip', 'link', 'set', 'eth0', 'up')
  }

  address(verb: 'add' | 'del', cidr: string): Promise<string> {
    return this.run('ip', 'address', verb, cidr, 'dev', 'eth0', ...(cidr.includes(':') ? ['nodad'] : []))
  }
}

const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} }

/** A container's end of an endpoint, in a namespace of its own. */
export type Container = {
  remote: Remote
  network: string
  host: Host
  namespace: string
  run(...argv: string[]): Promise<string>
}

export class Host extends Plug {
  readonly table: PeerTable
  readonly store = memoryStore()
  readonly log: string[] = []
  kernel!: Kernel
  settler!: Settler
  engine!: Engine

  private constructor(name: string, self: Underlay) {
    super(name)
    this.table = new PeerTable(self)
  }

  static async started(wire: string, name: string, self: Underlay): Promise<Host> {
    const host = new Host(name, self)
    await host.plug(wire, [
      ...(self.ipv4 ? [`${self.ipv4}/24`] : []),
      ...(self.ipv6 ? [`${self.ipv6}/64`] : []),
    ])
    await host.start()
    return host
  }

  /** A daemon with an empty or a given knowledge of others, on the records and the kernel that are there. */
  async start(peers = this.table): Promise<void> {
    const { store } = this
    this.kernel = await openKernel({
      namespace: netnsPath(this.namespace),
      log: words => this.log.push(words),
    })
    const log = { ...quiet, warn: (_: object, text: string) => void this.log.push(text) }
    this.settler = new Settler({ kernel: this.kernel, store, modes, peers, ground: ground(), log })
    this.engine = new Engine({
      kernel: this.kernel,
      settler: this.settler,
      modes,
      peers,
      ephemeral: [40000, 40010],
      now: () => 0,
      log: quiet,
      isNamespace: async () => true,
    })
    await this.settler.settle('everything')
  }

  get vtep(): string {
    return this.table.self?.ipv4 ?? this.table.self?.ipv6 ?? ''
  }

  /** Packets that have left or entered by a network's tunnel. */
  async packets(way: 'tx' | 'rx', link = 'tsx'): Promise<number> {
    const shown = JSON.parse(await this.run('ip', '-s', '-j', 'link', 'show', 'type', 'vxlan'))
    const found = shown.find((each: { ifname: string }) => each.ifname.startsWith(link))
    return found.stats64[way].packets
  }
}

/** What all hosts are told of one network; each knows it under an id of its own, as with Docker. */
export type Shape = Partial<NetworkSpec> & { name: string; words?: Record<string, string> }

export class Lab {
  readonly wire = ownName('ov-wire')
  readonly hosts: Host[] = []
  readonly #names: string[] = []
  readonly #containers: Container[] = []

  static async built(): Promise<Lab> {
    const lab = new Lab()
    await addNamespace(lab.wire)
    await inNamespace(lab.wire, 'ip', 'link', 'add', 'br0', 'up', 'type', 'bridge', 'mcast_snooping', '0')
    return lab
  }

  async host(name: string, self: Partial<Underlay>): Promise<Host> {
    const host = await Host.started(this.wire, name, { mtu: 1500, port: 4789, ...self })
    this.hosts.push(host)
    return host
  }

  async plug(name: string, ...addresses: string[]): Promise<Plug> {
    const plug = await Plug.plugged(this.wire, name, addresses)
    this.#names.push(plug.namespace)
    return plug
  }

  vteps(): string[] {
    return this.hosts.flatMap(({ table: { self } }) => [self?.ipv4, self?.ipv6].flatMap(each => each ?? []))
  }

  /** Everybody knows who is there, and that nothing is missing. */
  async acquaint(network: string): Promise<void> {
    for (const host of this.hosts) {
      host.table.setComplete(network)
      await host.engine.joined(host.table.setMembers(this.vteps()))
    }
  }

  async network({ name, words = {}, ...more }: Shape): Promise<void> {
    for (const host of this.hosts)
      await host.engine.createNetwork({
        id: `${name}${host.name}`.padEnd(12, '0'),
        words: { mode: 'overlay', name, addresses: 'manual', ...words },
        internal: false,
        ipv4: [],
        ipv6: [],
        enable: { ipv4: true, ipv6: (more.ipv6 ?? []).length > 0 },
        ...more,
      })
    await this.acquaint(name)
  }

  /** A container on a host; the others hear of it. */
  async container(host: Host, network: string, name: string, at: { ipv4?: string; ipv6?: string }) {
    const id = `${name}${network}`.padEnd(12, '0')
    const spec: EndpointSpec = {
      id,
      network: `${network}${host.name}`.padEnd(12, '0'),
      options: {},
      ports: [],
      ...at,
    }
    const { mac } = await host.engine.createEndpoint(spec)
    const namespace = ownName(`ov-${name}-${network}`)
    await addNamespace(namespace)
    this.#names.push(namespace)
    const sandbox = await host.engine.join(id, netnsPath(namespace))
    const run = (...argv: string[]) => inNamespace(namespace, ...argv)
    await host.run('ip', 'link', 'set', sandbox.link, 'netns', namespace, 'name', 'eth0')
    for (const cidr of [at.ipv4, at.ipv6])
      if (cidr)
        await run('ip', 'address', 'add', cidr, 'dev', 'eth0', ...(cidr.includes(':') ? ['nodad'] : []))
    await run('ip', 'link', 'set', 'eth0', 'up')
    for (const via of [sandbox.gateway4, sandbox.gateway6])
      if (via) await run('ip', 'route', 'add', 'default', 'via', via)
    const addresses = [at.ipv4, at.ipv6].flatMap(cidr => (cidr ? (cidr.split('/')[0] as string) : []))
    const container = { remote: { mac, addresses, vtep: host.vtep }, network, host, namespace, run }
    this.#containers.push(container)
    await this.tell(container)
    return container
  }

  /** Says where a container is to all other hosts. */
  async tell({ host, network, remote }: Container): Promise<void> {
    for (const other of this.hosts.filter(each => each !== host)) {
      const place: Place = other.table.put(network, { ...remote, vtep: vtepFor(other, host) })
      const failures = await other.engine.moved([place])
      if (failures[0]) throw failures[0]
    }
  }

  containersOf(host: Host): Container[] {
    return this.#containers.filter(each => each.host === host)
  }

  async stop(): Promise<void> {
    for (const host of this.hosts) await host.kernel?.close()
    for (const name of [...this.#names, ...this.hosts.map(each => each.namespace), this.wire])
      await deleteNamespace(name)
  }
}

/** The end point of a host that another can reach. */
function vtepFor({ table: { self } }: Host, { table: { self: other } }: Host): string {
  return (self?.ipv4 && other?.ipv4) || other?.ipv6 || other?.ipv4 || ''
}
