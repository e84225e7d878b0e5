import assert from 'node:assert/strict'
import type { ContainerCreateOptions, NetworkCreateOptions } from 'dockerode'
import type { EngineName } from '../bed/engines.ts'
import { type Host, type HostSettings, image, startHost } from '../bed/host.ts'
import { inNamespace } from '../bed/namespace.ts'
import { changes, type Snapshot, snapshot } from '../bed/snapshot.ts'
import { eventually, until } from '../bed/until.ts'
import { type Outside, type Wire, wire } from '../bed/wire.ts'
import { Container } from './container.ts'
import { type Place, plainAddress, tcp } from './probes.ts'

export { Container } from './container.ts'
export * from './probes.ts'

/** `TSNET_ENGINES=28.5` runs the suites on one engine alone. */
export const engineNames = (process.env.TSNET_ENGINES?.split(',') ?? ['20.10', '28.5']) as EngineName[]

/** `TSNET_DRIVER=bridge` runs them on Docker's own driver: tells a fault of ours from a surprise of the bed or of Docker. */
export const driver = process.env.TSNET_DRIVER ?? 'tsnet'

type Settings = Partial<Omit<HostSettings, 'engine' | 'name'>> & {
  engines?: EngineName[]
  /** A host for this suite alone, because it is ill-treated; implied by every other setting. */
  own?: boolean
  /** Runs before the first daemon starts. */
  prepare?: (host: Host) => Promise<void>
  /** Options of the network that each host makes once; a bridge's unless told. */
  first?: Record<string, string>
}

/** A subnet, or all that `docker network create` may say about one. */
export type Pool =
  | string
  | { Subnet?: string; Gateway?: string; IPRange?: string; AuxiliaryAddresses?: Record<string, string> }

export type NetworkOptions = {
  subnets?: Pool[]
  /** `--opt` */
  opt?: Record<string, string>
  internal?: boolean
  ipv4?: boolean
  ipv6?: boolean
  ipam?: string
  /** `--ipam-opt` */
  ipamOpt?: Record<string, string>
  driver?: string
  labels?: Record<string, string>
}

export type RunOptions = {
  /** Port mappings in the words of `docker run --publish`. */
  publish?: string[]
  ip?: string
  ip6?: string
  mac?: string
  aliases?: string[]
  restart?: string
  labels?: Record<string, string>
}

/** Milliseconds; many for a loaded machine, where tsnetd rests long between two looks at everything. */
const SETTLED = 30_000

/** Hosts that suites without settings of their own share: one for each engine. */
const shared = new Map<EngineName, Bed>()
let hosts = 0

function sharedBed(engine: EngineName): Bed {
  const bed = shared.get(engine) ?? new Bed(engine, {})
  shared.set(engine, bed)
  return bed
}

// A hook of mocha's root suite: this module is loaded once, by the first suite.
after(async () => {
  await Promise.all([...shared.values()].map(bed => bed.stop()))
})

/** The scenarios of the body on each engine, on the host that all suites share or, with settings, on one of its own. */
export function onDocker(title: string, body: (bed: Bed) => void, settings: Settings = {}): void {
  const { engines: chosen = engineNames, ...own } = settings
  const isOwn = Object.keys(own).length > 0
  for (const engine of engineNames.filter(name => chosen.includes(name)))
    describe(`${title}, Docker ${engine}`, function () {
      this.timeout(180_000)
      const bed = isOwn ? new Bed(engine, own) : sharedBed(engine)
      before(() => bed.start())
      body(bed)
      if (isOwn) after(() => bed.stop())
    })
}

/** What the scenarios of one `describe` share. */
export class Bed {
  readonly engine: EngineName
  readonly #settings: Settings
  #host: Host | undefined
  #wire: Wire | undefined
  /** What has to be there after each scenario. */
  #baseline: Snapshot | undefined
  /** Topics that a scenario has changed for good. */
  readonly #spoilt = new Set<string>()
  #keep = new Set<string>()

  constructor(engine: EngineName, settings: Settings) {
    this.engine = engine
    this.#settings = settings
  }

  get host(): Host {
    assert(this.#host, 'the host is up')
    return this.#host
  }

  get outside(): Outside {
    assert(this.#wire, 'the wire is up')
    return this.#wire.outside
  }

  /** Addresses of the host as outside sees it. */
  get ipv4(): string {
    return this.#wire?.address(this.host) ?? ''
  }

  get ipv6(): string {
    return this.#wire?.address(this.host, 6) ?? ''
  }

  /** Boots the host, unless it is up already. */
  async start(): Promise<void> {
    if (this.#host) return
    const { own: _, prepare, first: __, ...settings } = this.#settings
    const name = `d${hosts++}`
    this.#host = await startHost({ ...settings, engine: this.engine, name, ...(prepare && { prepare }) })
    this.#wire = await wire(this.#host)
    if (driver === 'tsnet') await this.host.tsnetd.start(this.host.holder)
    this.#baseline = await this.#settled()
  }

  async stop(): Promise<void> {
    await this.#wire?.stop()
    await this.#host?.stop()
  }

  /**
   * A scenario. Afterwards its containers and networks are removed and the host has to be as it was before; a failure
   * is told with the daemons' last words. `spoils` names topics of the snapshot that it changes for good.
   */
  it(title: string, body: () => Promise<void>, { spoils = [] as string[] } = {}): void {
    it(title, async () => {
      try {
        for (const topic of spoils) this.#spoilt.add(topic)
        await body()
        await this.clear()
      } catch (error) {
        if (error instanceof Error) error.message += `\n${await this.host.logs()}`
        await this.clear().catch(() => undefined)
        throw error
      }
      await this.unchanged()
    })
  }

  /** Containers and networks that all scenarios of this `describe` find ready; they go with the last one. */
  cast(body: () => Promise<void>): void {
    let before_: Snapshot | undefined
    before('its cast', async () => {
      before_ = this.#baseline
      await body()
      const [containers, networks] = await this.#present()
      this.#keep = new Set([...containers, ...networks])
      this.#baseline = await this.#quiet()
    })
    after('its cast', async () => {
      this.#keep.clear()
      this.#baseline = before_
      await this.clear()
      await this.unchanged()
    })
  }

  docker(...args: string[]): Promise<string> {
    return this.host.docker(...args)
  }

  /** The source address of a place's packets as a server outside sees it. */
  async seenOutside(from: Place, at = this.outside.ipv4): Promise<string> {
    const listener = `TCP${at.includes(':') ? 6 : 4}-LISTEN:8,reuseaddr`
    const server = this.outside.attempt(['timeout', '9', 'socat', listener, 'SYSTEM:echo $SOCAT_PEERADDR'])
    const client = ['timeout', '9', 'socat', '-u', `${tcp(at, 8)},retry=80,interval=0.1`, '-']
    const { stdout } = await from.attempt(client)
    await server
    return plainAddress(stdout.trim())
  }

  /** Gives the machine outside a link of the host. */
  async plugOutside(namespace: string, link: string): Promise<void> {
    await inNamespace(this.host.namespace, 'ip', 'link', 'set', link, 'netns', namespace)
  }

  /** While the machine outside sends packets for a subnet by way of the host, as a hostile neighbour would. */
  async routed(subnet: string, work: () => Promise<void>): Promise<void> {
    const gateway = subnet.includes(':') ? this.ipv6 : this.ipv4
    await this.outside.exec('ip', 'route', 'add', subnet, 'via', gateway)
    try {
      await work()
    } finally {
      await this.outside.exec('ip', 'route', 'delete', subnet)
    }
  }

  /** `docker network create` with our driver. */
  async network(name: string, options: NetworkOptions = {}): Promise<void> {
    const { subnets = [], opt = {}, internal = false, ipv4, ipam = 'default', labels = {} } = options
    const config = subnets.map(pool => (typeof pool === 'string' ? { Subnet: pool } : pool))
    const request: NetworkCreateOptions & { EnableIPv4?: boolean } = {
      Name: name,
      CheckDuplicate: true,
      Driver: options.driver ?? driver,
      Internal: internal,
      EnableIPv6: options.ipv6 ?? config.some(({ Subnet }) => Subnet?.includes(':')),
      IPAM: {
        Driver: ipam,
        Config: config as Record<string, string>[],
        Options: options.ipamOpt ?? {},
      },
      Options: opt,
      Labels: labels,
      ...(ipv4 !== undefined && { EnableIPv4: ipv4 }),
    }
    await this.host.api.createNetwork(request)
  }

  /** Starts a container that serves (see image.ts). */
  async run(name: string, network: string, options: RunOptions = {}): Promise<Container> {
    const created = await this.host.api.createContainer(creation(name, network, options))
    await created.start()
    const container = this.container(name)
    await container.serves()
    return container
  }

  container(name: string): Container {
    return new Container(this.host, name)
  }

  /** Removes all containers and networks but those of the cast. */
  async clear(): Promise<void> {
    const [containers, networks] = await this.#present()
    const old = (name: string) => !this.#keep.has(name)
    const { api } = this.host
    await Promise.all(
      containers.filter(old).map(name => api.getContainer(name).remove({ force: true, v: true })),
    )
    await Promise.all(networks.filter(old).map(name => api.getNetwork(name).remove()))
  }

  /** Nothing that can be counted in the host differs from its state before the scenario, once the daemons have settled. */
  async unchanged(): Promise<void> {
    await eventually(async () => {
      const now = await snapshot(this.host)
      for (const topic of this.#spoilt) delete now[topic]
      assert.deepEqual(changes(this.#baseline ?? now, now), [], 'the scenario left something behind')
    }, SETTLED)
  }

  async #present(): Promise<[containers: string[], networks: string[]]> {
    const { api } = this.host
    const [containers, networks] = await Promise.all([
      api.listContainers({ all: true }),
      api.listNetworks({ filters: { type: ['custom'] } }),
    ])
    return [containers.map(({ Id }) => Id), networks.map(({ Id }) => Id)]
  }

  /** The first containers make what all share, with us (tables) and on Docker's own bridge (chains): that isn't a leak. */
  async #settled(): Promise<Snapshot> {
    const { first = {} } = this.#settings
    await this.network('first', { subnets: ['172.30.0.0/24', 'fd00:1::/64'], opt: first })
    await Promise.all([this.run('first', 'first'), this.run('firstborn', 'bridge', { publish: ['8080:80'] })])
    await this.clear()
    return this.#quiet()
  }

  /** The host once nothing changes any more: no link of the group that waits for deletion (kernel/names.ts), no half address. */
  async #quiet(): Promise<Snapshot> {
    let last = await snapshot(this.host)
    return until(
      'the host to settle',
      async () => {
        const now = await snapshot(this.host)
        const same = changes(last, now).length === 0
        last = now
        const busy = now.network?.some(line => /group 29812|tentative/.test(line))
        return same && !busy ? now : undefined
      },
      { every: 200 },
    )
  }
}

function creation(name: string, network: string, options: RunOptions): ContainerCreateOptions {
  const { publish = [], ip, ip6, mac, aliases = [], restart = 'no', labels = {} } = options
  const bindings = publish.map(binding)
  return {
    name,
    Hostname: name,
    Image: image,
    Labels: labels,
    ...(mac && { MacAddress: mac }),
    ExposedPorts: Object.fromEntries(bindings.map(([port]) => [port, {}])),
    HostConfig: {
      NetworkMode: network,
      PortBindings: merged(bindings),
      RestartPolicy: { Name: restart },
    },
    // Docker's own default network takes neither names nor addresses.
    ...(network !== 'bridge' && {
      NetworkingConfig: {
        EndpointsConfig: {
          [network]: {
            Aliases: aliases,
            IPAMConfig: { ...(ip && { IPv4Address: ip }), ...(ip6 && { IPv6Address: ip6 }) },
          },
        },
      },
    }),
  }
}

type Binding = [port: string, at: { HostIp: string; HostPort: string }]

/** `8080:80`, `127.0.0.1:8080:80/udp`, `[::1]:8000-8010:80`, `80`. */
function binding(text: string): Binding {
  const [, hostIp = '', hostPort = '', port, proto = 'tcp'] =
    /^(?:\[?([\d.]+|[\da-f:]+)\]?:(?=[\d-]*:))?(?:([\d-]*):)?(\d+)(?:\/(\w+))?$/.exec(text) ?? []
  assert(port, `${text} is a port mapping`)
  return [`${port}/${proto}`, { HostIp: hostIp, HostPort: hostPort }]
}

function merged(bindings: readonly Binding[]): Record<string, Binding[1][]> {
  const ports: Record<string, Binding[1][]> = {}
  for (const [port, at] of bindings) ports[port] = [...(ports[port] ?? []), at]
  return ports
}
