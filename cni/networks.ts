import { createHash } from 'node:crypto'
import { host } from '../core/addresses.ts'
import { sharedKey } from '../core/elsewhere.ts'
import type { Attachments, NetworkSpec } from '../core/faces.ts'
import type { Endpoint, Network, Subnet } from '../core/records.ts'
import { Turns } from '../core/turns.ts'
import { formatAddress, formatPrefix, hostable, parsePrefix } from '../ipam/prefix.ts'
import { type Config, type Range, rangesOf } from './config.ts'
import { CniError, CODE } from './errors.ts'

/** The address book, as far as CNI needs it. */
export type Book = {
  openPool(request: { space: 'cni'; pool: string; range: string; v6: boolean }): Promise<string>
  findPool(space: 'cni' | 'local', pool: string): string | undefined
  releasePool(id: string): Promise<void>
  requestAddress(request: { pool: string; address: string; gateway: boolean }): Promise<string>
  grantAddress(request: {
    pool: string
    address: string
    gateway: boolean
  }): Promise<{ address: string; write(): Promise<void> }>
  releaseAddress(pool: string, address: string): Promise<void>
}

/** Addresses of a configuration that names none, on nodes that share theirs. */
const SHARED = '10.93.0.0/16'

/** Networks that configurations speak of: made when the first container comes, or one of Docker's. */
export class ConfiguredNetworks {
  readonly #engine: Attachments
  readonly #book: Book
  /** Whether nodes share addresses. */
  readonly #shares: boolean
  readonly #turns = new Turns()
  /** Networks with the words that a configuration was last found to mean them by: each call of a runtime's says the same. */
  readonly #meant = new WeakMap<Network, string>()

  constructor(engine: Attachments, book: Book, shares: boolean) {
    this.#engine = engine
    this.#book = book
    this.#shares = shares
  }

  /** @throws CniError when it can't be had. */
  async of(config: Config): Promise<Network> {
    if (config.network !== undefined) return this.#named(config.network)
    const other = this.#find(each => sharedKey(each) === config.name && each.conflist === undefined)
    const known = other ?? this.#engine.network(networkId(config.name))
    const words = wordsThatMatter(config)
    if (known && this.#meant.get(known) === words) return known
    const found = await this.#settled(this.spec(config), config, other)
    this.#meant.set(found, words)
    return found
  }

  async #settled(spec: NetworkSpec, config: Config, other: Network | undefined): Promise<Network> {
    if (other) return other
    const known = this.#engine.network(spec.id)
    if (!known) await this.#turns.take('make', () => this.#make(spec, config))
    else if (!(await this.#isSame(spec))) await this.#turns.take('make', () => this.#remake(spec, config))
    return this.#engine.network(spec.id) as Network
  }

  /** Takes away the network that was made for a configuration, unless containers are on it. Tells whether it is gone. */
  async drop(name: string): Promise<boolean> {
    const id = networkId(name)
    return this.#turns.take('make', async () => {
      if (this.#users(id) > 0) return false
      await this.#unmake(id)
      return true
    })
  }

  /** Pool of an address of this network; undefined when another driver gives them. */
  poolOf({ conflist, ipv4, ipv6 }: Network, v6: boolean): string | undefined {
    const [subnet] = v6 ? ipv6 : ipv4
    return subnet && this.#book.findPool(conflist === undefined ? 'local' : 'cni', subnet.pool)
  }

  /** Gives back what an endpoint had. */
  async release(
    network: Network | undefined,
    { ipv4, ipv6 }: Pick<Endpoint, 'ipv4' | 'ipv6'>,
  ): Promise<void> {
    if (!network) return
    const give = async (address: string | undefined, v6: boolean) => {
      const pool = this.poolOf(network, v6)
      if (address !== undefined && pool !== undefined) await this.#book.releaseAddress(pool, host(address))
    }
    await Promise.all([give(ipv4, false), give(ipv6, true)])
  }

  spec(config: Config): NetworkSpec {
    const ranges = this.#ranges(config)
    const mode = this.#modeOf(config)
    const subnets = (v6: boolean) => ranges.filter(({ subnet }) => subnet.includes(':') === v6).map(toSubnet)
    const [ipv4, ipv6] = [subnets(false), subnets(true)]
    return {
      id: networkId(config.name),
      words: {
        mode,
        ...wordsOf(config),
        ...(mode !== 'bridge' && { name: config.name }),
        ...(config.ipam?.podCIDR && { addresses: 'manual' }),
      },
      internal: config.internal ?? false,
      enable: { ipv4: ipv4.length > 0, ipv6: ipv6.length > 0 },
      ipv4,
      ipv6,
      conflist: config.name,
    }
  }

  #modeOf({ mode, ipam }: Config): string {
    if (!ipam?.podCIDR) return mode ?? (ipam === undefined && this.#shares ? 'nodes' : 'bridge')
    if (!this.#shares)
      throw new CniError(CODE.config, 'network configuration: ipam.podCIDR needs nodes that meet: TSNET_KEY')
    if ((mode ?? 'nodes') === 'nodes') return 'nodes'
    throw new CniError(CODE.config, `network configuration: ipam.podCIDR is for mode "nodes", not "${mode}"`)
  }

  #ranges(config: Config): Range[] {
    const ranges = rangesOf(config)
    if (ranges.length > 0) return ranges
    if (this.#shares && config.ipam === undefined) return [{ subnet: SHARED }]
    throw new CniError(
      CODE.config,
      'network configuration: ipam.subnet is needed, as in {"type": "tsnet", "subnet": "10.93.0.0/16"}; nodes that share addresses need TSNET_KEY',
    )
  }

  #named(name: string): Network {
    const found =
      this.#engine.network(name) ?? this.#find(each => sharedKey(each) === name || each.options.name === name)
    if (found) return found
    throw new CniError(
      CODE.config,
      `network configuration: no network of tsnet on this host is called "${name}"`,
    )
  }

  #find(wanted: (network: Network) => boolean): Network | undefined {
    for (const each of this.#engine.networks()) if (wanted(each)) return each
    return undefined
  }

  async #isSame(spec: NetworkSpec): Promise<boolean> {
    return this.#engine.createNetwork(spec).then(
      () => true,
      () => false,
    )
  }

  async #make(spec: NetworkSpec, config: Config): Promise<void> {
    if (this.#engine.network(spec.id)) return
    for (const range of this.#ranges(config)) {
      const { pool, gateway = '' } = toSubnet(range)
      const v6 = pool.includes(':')
      const id = await this.#book.openPool({ space: 'cni', pool, range: range.range ?? '', v6 })
      await this.#book.releaseAddress(id, host(gateway))
      await this.#book.requestAddress({ pool: id, address: host(gateway), gateway: true })
    }
    await this.#engine.createNetwork(spec)
  }

  /** The configuration was changed: the network is made anew unless containers are on it. */
  async #remake(spec: NetworkSpec, config: Config): Promise<void> {
    const users = this.#users(spec.id)
    if (users > 0)
      throw new CniError(
        CODE.config,
        `network ${spec.conflist} was made with another configuration, and ${users} containers use it: remove them or give it another name`,
      )
    await this.#unmake(spec.id)
    await this.#make(spec, config)
  }

  #users(id: string): number {
    return this.#engine.attachments().filter(each => each.network === id).length
  }

  async #unmake(id: string): Promise<void> {
    const known = this.#engine.network(id)
    await this.#engine.deleteNetwork(id)
    for (const { pool } of [...(known?.ipv4 ?? []), ...(known?.ipv6 ?? [])]) {
      const held = this.#book.findPool('cni', pool)
      if (held !== undefined) await this.#book.releasePool(held)
    }
  }
}

/** Whether Kubernetes keeps the addresses of nodes apart: nobody but a configuration of CNI's says so of one. */
export const goesByPodCidr = ({ conflist, options }: Network): boolean =>
  conflist !== undefined && options.addresses === 'manual'

export const networkId = (name: string): string => createHash('sha256').update(`cni ${name}`).digest('hex')

function toSubnet({ subnet, gateway }: Range): Subnet {
  const pool = parsePrefix(subnet, 'subnet')
  const first = hostable(pool, pool.first) ? pool.first : pool.first + 1n
  const address = gateway ?? formatAddress(pool.family, first)
  return { pool: formatPrefix(pool), gateway: `${address}/${pool.length}`, aux: {} }
}

/** What `spec` looks at. */
const wordsThatMatter = (config: Config): string =>
  JSON.stringify([config.mode, config.internal, config.ipam, wordsOf(config)])

function wordsOf({ bridge, mtu, ipMasq, isolation, vni, direct }: Config): Record<string, string> {
  const said = { bridge, mtu, masquerade: ipMasq, isolation, vni, direct }
  return Object.fromEntries(
    Object.entries(said).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])),
  )
}
