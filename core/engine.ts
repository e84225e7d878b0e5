import { Changes } from './changes.ts'
import { predecessors } from './dead.ts'
import { type Modes, nothing, ofEndpoint, type View } from './desired.ts'
import { drift } from './drift.ts'
import { refuseDuplicates } from './duplicates.ts'
import { Refused, type StepError } from './errors.ts'
import type {
  Attached,
  AttachmentSpec,
  Attachments,
  Clock,
  EndpointSpec,
  Kernel,
  Mode,
  NetworkSpec,
  Peers,
  Place,
  Sandbox,
} from './faces.ts'
import { macOf } from './mac.ts'
import { parsed, same } from './networkspec.ts'
import { OnParents } from './onparent.ts'
import { overlapping } from './overlap.ts'
import { alone } from './peers.ts'
import { Publisher } from './publisher.ts'
import type { Attachment, Endpoint, Network, PortRequest } from './records.ts'
import type { Row } from './rows.ts'
import type { Log, Settler } from './settle.ts'
import { Turns } from './turns.ts'

export type EngineParts = {
  kernel: Kernel
  settler: Settler
  modes: Modes
  /** The settler's. */
  peers?: Peers
  /** First and last port to choose from when none is asked for. */
  ephemeral: [number, number]
  now: Clock
  log: Log
  /** What other hosts have a say in: the network with the key that they know it by. Throws Refused when it is in the way of theirs. */
  admit?: (network: Network) => Network
  /** Whether a network namespace is mounted at a sandbox's path. */
  isNamespace(path: string): Promise<boolean>
}

/**
 * What the doors ask for, as changes of records. Every change is written down first and settled then; a change that the
 * kernel turns down is taken back, so that a refused call leaves nothing.
 */
export class Engine implements Attachments {
  readonly #parts: EngineParts
  readonly #publisher: Publisher
  readonly #turns = new Turns()
  readonly #changes: Changes
  readonly #onParents: OnParents

  constructor(parts: EngineParts) {
    this.#parts = parts
    this.#changes = new Changes(parts.settler, this.#view, parts.log)
    this.#publisher = new Publisher({
      ...parts,
      changes: this.#changes,
      view: () => this.#view,
      modeOf: network => this.#mode(network),
      hostLink: endpoint => this.#hostLink(endpoint),
      unpublish: id => this.unpublish(id),
    })
    this.#onParents = new OnParents(parts.kernel, parts.modes, () => this.#records, parts.log)
  }

  /** A caller that knew nothing of us: what it had begun before it will not end. */
  activated(): void {
    this.#publisher.activated()
  }

  network(id: string): Network | undefined {
    return this.#records.networks.get(id)
  }

  endpoint(id: string): Endpoint | undefined {
    return this.#records.endpoints.get(id)
  }

  networks(): Iterable<Network> {
    return this.#records.networks.values()
  }

  attachments(): (Endpoint & { attachment: Attachment })[] {
    return [...this.#records.endpoints.values()].filter(isAttached)
  }

  createNetwork(spec: NetworkSpec): Promise<void> {
    // One at a time: two networks must not both find a subnet or a bridge free.
    return this.#turns.take('networks', async () => {
      const network = parsed(spec, this.#parts.modes, this.#parts.now())
      const known = this.network(spec.id)
      if (known) return same(known, network)
      overlapping(network, this.#records.networks.values())
      if (this.#parts.peers?.self && this.#mode(network).elsewhere)
        refuseDuplicates(network, this.#records.pools.values())
      this.#bridgeIsFree(network)
      if (this.#mode(network).onParent) await this.#onParents.admit(network)
      const value = this.#parts.admit?.(network) ?? network
      await this.#changes.change({ table: 'network', id: spec.id, value })
    })
  }

  /**
   * What this host is called in a network from now on, though the kernel may not have it yet. Answers false when there is no such network any
   * more.
   */
  setOwn(id: string, own: NonNullable<Network['own']>): Promise<boolean> {
    return this.#turns.take('networks', async () => {
      const network = this.network(id)
      if (!network) return false
      const value = { ...network, own: { ...network.own, ...own } }
      await this.#changes.carryOut([{ table: 'network', id, value }])
      return true
    })
  }

  deleteNetwork(id: string): Promise<void> {
    return this.#turns.take('networks', async () => {
      const network = this.network(id)
      if (!network) return
      const endpoints = [...this.#records.endpoints.values()].filter(each => each.network === id)
      this.#changes.forget([
        { table: 'network', id },
        ...endpoints.map(each => ({ table: 'endpoint', id: each.id }) as const),
      ])
    })
  }

  createEndpoint(spec: EndpointSpec): Promise<{ mac: string }> {
    return this.#turns.take(spec.id, async () => {
      const known = this.endpoint(spec.id)
      if (known) return { mac: known.mac }
      this.#refuseWords(spec)
      await Promise.all(predecessors(this.#records, spec).map(each => this.deleteEndpoint(each.id)))
      const network = this.#networkOf(spec.network)
      if (this.#mode(network).onParent) await this.#onParents.probe(network, spec)
      const mac = this.#onParents.isMacless(network) ? '' : (spec.mac ?? macOf(spec))
      const { now } = this.#parts
      await this.#changes.change({
        table: 'endpoint',
        id: spec.id,
        value: { ...spec, mac, published: [], created: now() },
      })
      return { mac }
    })
  }

  attach(spec: AttachmentSpec, beside: () => Promise<unknown> = async () => {}): Promise<Attached> {
    return this.#turns.take(spec.id, async () => {
      const network = this.#networkOf(spec.network)
      if (this.endpoint(spec.id))
        throw new Refused(`${spec.attachment.ifname} of this container is there already`)
      await Promise.all(predecessors(this.#records, spec).map(each => this.deleteEndpoint(each.id)))
      const mac = spec.mac ?? macOf(spec)
      const sandbox = spec.attachment.namespace
      const endpoint = { ...spec, mac, sandbox, published: [], created: this.#parts.now() }
      const published = await this.#publisher.grant(network, endpoint)
      const value = { ...endpoint, published }
      const other = beside()
      // Thrown below.
      other.catch(() => {})
      await this.#changes.change({ table: 'endpoint', id: spec.id, value }, [spec.id])
      await other
      return this.#attached(network, endpoint)
    })
  }

  async detach(id: string): Promise<void> {
    const { attachment, mac = '', published = [] } = this.endpoint(id) ?? {}
    const { namespace = '', ifname = '' } = attachment ?? {}
    // The settler takes the ports away, too, but whoever asks for the same ones next may do so before it begins.
    await Promise.all([
      this.#parts.kernel.retire(namespace, ifname, mac),
      this.#publisher.release(published),
      this.deleteEndpoint(id),
    ])
  }

  async evict(namespace: string, ifname: string): Promise<void> {
    const known = this.attachments().some(
      ({ attachment }) => attachment.namespace === namespace && attachment.ifname === ifname,
    )
    if (!known) await this.#parts.kernel.retire(namespace, ifname)
  }

  async drift(id: string): Promise<string[]> {
    const endpoint = this.#endpointOf(id)
    return drift(this.#parts.kernel, ofEndpoint(this.#view, endpoint))
  }

  async severed(): Promise<(Endpoint & { attachment: Attachment })[]> {
    const all = this.attachments()
    const rows = all.map(
      each => ({ kind: 'link', name: this.#hostLink(each), type: 'veth', up: true }) as const,
    )
    const present = await this.#parts.kernel.read({ owned: false, rows })
    const names = new Set(present.flatMap(row => (row.kind === 'link' ? row.name : [])))
    return all.filter(each => !names.has(this.#hostLink(each)))
  }

  #attached(network: Network, endpoint: Endpoint): Attached {
    const mode = this.#mode(network)
    const mtu = mode.mtu(network, this.#parts.peers?.self)
    const peers = ofEndpoint(this.#view, endpoint).flatMap(({ row }) =>
      row.kind === 'link' ? (row.peer?.inside ?? []) : [],
    )
    return {
      mac: endpoint.mac,
      bridge: mode.link(network),
      link: mode.hostLink(endpoint),
      ...(mtu !== undefined && { mtu }),
      inside: peers[0] ?? { addresses: [], routes: [] },
    }
  }

  deleteEndpoint(id: string): Promise<void> {
    return this.#turns.take(id, async () => {
      if (this.endpoint(id)) this.#changes.forget([{ table: 'endpoint', id }])
    })
  }

  /**
   * Answers before the record is on disk. What a crash in between loses is that a pair which died with its sandbox must not come
   * back: one link too many until Docker's own list settles it.
   */
  join(id: string, sandbox: string): Promise<Sandbox> {
    return this.#turns.take(id, async () => {
      const endpoint = this.#endpointOf(id)
      const network = this.#networkOf(endpoint.network)
      this.#parts.settler.store
        .write([{ table: 'endpoint', id, value: { ...endpoint, sandbox } }])
        .catch(error => this.#parts.log.error({ err: error }, 'a join was not recorded'))
      this.#onParents.announce(network, endpoint)
      return this.#mode(network).sandbox(network, endpoint)
    })
  }

  leave(id: string): Promise<void> {
    return this.#turns.take(id, async () => {
      const endpoint = this.endpoint(id)
      if (endpoint?.sandbox === undefined) return
      await this.#publisher.unpublish(endpoint)
    })
  }

  publish(id: string, ports: PortRequest[]): Promise<void> {
    return this.#turns.take(id, async () => {
      const endpoint = this.#endpointOf(id)
      if (endpoint.published.length > 0 && JSON.stringify(endpoint.ports) === JSON.stringify(ports)) return
      await this.#publisher.publish(this.#networkOf(endpoint.network), endpoint, ports)
    })
  }

  unpublish(id: string): Promise<void> {
    return this.#turns.take(id, async () => {
      const endpoint = this.endpoint(id)
      if (endpoint) await this.#publisher.unpublish(endpoint)
    })
  }

  /** Containers' links that the kernel took away together with their parent. */
  restore(): Promise<void> {
    return this.#onParents.restore()
  }

  /** Peers told something new of these places; what they tell now is settled at once, however many there are. */
  moved(places: readonly Place[]): Promise<StepError[]> {
    return this.#parts.settler.settle({ ...nothing, places })
  }

  /** These tunnel end points became members, or are none any more. */
  joined(members: readonly string[]): Promise<StepError[]> {
    return this.#parts.settler.settle({ ...nothing, members })
  }

  /** The ports of those who are dead are free again. Their records stay until Docker's own list settles the matter. */
  abandoned(present: readonly Row[]): Promise<void>[] {
    return this.#publisher.abandoned(present)
  }

  #hostLink(endpoint: Endpoint): string {
    const network = this.network(endpoint.network)
    return network ? this.#mode(network).hostLink(endpoint) : ''
  }

  /**
   * Drops what Docker no longer lists, if it is older than `age` milliseconds: younger ones may be in the making. Returns
   * what was dropped.
   */
  async collect(listed: { networks: Set<string>; endpoints: Set<string> }, age: number): Promise<string[]> {
    const old = this.#parts.now() - age
    const endpoints = [...this.#records.endpoints.values()].filter(
      each => !each.attachment && each.created < old && !listed.endpoints.has(each.id),
    )
    const networks = [...this.#records.networks.values()].filter(
      each => !each.conflist && each.created < old && !listed.networks.has(each.id),
    )
    await Promise.all(endpoints.map(each => this.deleteEndpoint(each.id)))
    await Promise.all(networks.map(each => this.deleteNetwork(each.id)))
    return [...endpoints.map(each => `endpoint ${each.id}`), ...networks.map(each => `network ${each.id}`)]
  }

  /** Two networks on one bridge would be one network, and the first to go would take the other's bridge along. */
  #bridgeIsFree(network: Network): void {
    const name = this.#mode(network).link(network)
    for (const other of this.#records.networks.values())
      if (this.#parts.modes[other.mode]?.link(other) === name)
        throw new Refused(`bridge ${name} is the one of network ${other.id}; choose another name`)
  }

  #refuseWords({ network, options }: EndpointSpec): void {
    const of = this.#networkOf(network)
    const known = this.#mode(of).endpointWords
    const odd = Object.keys(options).find(word => !known.includes(word))
    if (odd)
      throw new Refused(
        `endpoint option "${odd}" is not known; mode ${of.mode} takes ${known.join(', ') || 'none'}`,
      )
  }

  #networkOf(id: string): Network {
    const network = this.network(id)
    if (!network) throw new Refused(`network ${id} is not known to tsnet on this host`)
    return network
  }

  #endpointOf(id: string): Endpoint {
    const endpoint = this.endpoint(id)
    if (!endpoint) throw new Refused(`endpoint ${id} is not known to tsnet on this host`)
    return endpoint
  }

  #mode(network: Network): Mode {
    const mode = this.#parts.modes[network.mode]
    if (!mode)
      throw new Refused(`network ${network.id} has mode "${network.mode}", which this tsnet doesn't have`)
    return mode
  }

  get #view(): View {
    const { modes, peers = alone } = this.#parts
    return { records: this.#records, modes, peers }
  }

  get #records() {
    return this.#parts.settler.store.records
  }
}

const isAttached = (endpoint: Endpoint): endpoint is Endpoint & { attachment: Attachment } =>
  endpoint.attachment !== undefined
