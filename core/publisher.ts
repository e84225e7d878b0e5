import type { Changes } from './changes.ts'
import { linkless, orphaned, publishers } from './dead.ts'
import { ofEndpoint, type View } from './desired.ts'
import type { Clock, Kernel, Mode } from './faces.ts'
import { HostPorts, type Wish } from './publish.ts'
import type { Endpoint, Network, PortRequest, Publication } from './records.ts'
import type { Row } from './rows.ts'

export type PublisherParts = {
  kernel: Kernel
  changes: Changes
  view: () => View
  /** Throws Refused for a network whose mode isn't known. */
  modeOf: (network: Network) => Mode
  /** Name of an endpoint's link in the host; empty where its network is gone. */
  hostLink: (endpoint: Endpoint) => string
  /** First and last port to choose from when none is asked for. */
  ephemeral: [number, number]
  now: Clock
  /** Whether a network namespace is mounted at a sandbox's path. */
  isNamespace(path: string): Promise<boolean>
  /** Takes all ports of an endpoint away, in its turn. */
  unpublish(id: string): Promise<void>
}

/** Host ports of endpoints: granted, written down, and taken back from the dead. */
export class Publisher {
  readonly #parts: PublisherParts
  readonly #ports: HostPorts
  #activated = 0

  constructor(parts: PublisherParts) {
    this.#parts = parts
    this.#ports = new HostPorts(parts.kernel, () =>
      [...parts.view().records.endpoints.values()].flatMap(each => each.published),
    )
  }

  /** A caller that knew nothing of us: what it had begun before it will not end. */
  activated(): void {
    this.#activated = this.#parts.now()
  }

  /** Takes hold of what an endpoint asks for; what is taken may be held for one that died a moment ago. */
  async grant(network: Network, endpoint: Endpoint): Promise<Publication[]> {
    const { ephemeral } = this.#parts
    const wishes = this.#wishes(network, endpoint)
    try {
      return await this.#ports.grant(wishes, ephemeral)
    } catch (error) {
      if (!(await this.#freed())) throw error
      return this.#ports.grant(wishes, ephemeral)
    }
  }

  release(published: readonly Publication[]): Promise<void> {
    return this.#ports.release(published)
  }

  /** In place of what it had. */
  async publish(network: Network, endpoint: Endpoint, ports: PortRequest[]): Promise<void> {
    await this.unpublish(endpoint)
    if (ports.length === 0) return
    const asking = { ...endpoint, ports, published: [] }
    const published = await this.grant(network, asking)
    await this.#parts.changes.change({ table: 'endpoint', id: endpoint.id, value: { ...asking, published } })
  }

  async unpublish(endpoint: Endpoint): Promise<void> {
    if (endpoint.published.length === 0) return
    const value = { ...endpoint, published: [] }
    await this.#parts.changes.carryOut([{ table: 'endpoint', id: endpoint.id, value }])
  }

  /** The ports of the dead are free again. Their records stay until Docker's own list settles the matter. */
  abandoned(present: readonly Row[]): Promise<void>[] {
    const { view, hostLink, unpublish } = this.#parts
    return linkless(view().records, present, hostLink).map(each => unpublish(each.id))
  }

  #wishes(network: Network, endpoint: Endpoint): Wish[] {
    const mode = this.#parts.modeOf(network)
    return endpoint.ports.map(request => ({ request, listeners: mode.listeners(network, endpoint, request) }))
  }

  /** Gives back the ports of the dead, and tells whether there were any. */
  async #freed(): Promise<boolean> {
    const { kernel, isNamespace, unpublish } = this.#parts
    const view = this.#parts.view()
    const rows = publishers(view.records).flatMap(each => ofEndpoint(view, each))
    const present = await kernel.read({ owned: false, rows: rows.map(each => each.row) })
    const orphans = await orphaned(view.records, this.#activated, isNamespace)
    const freed = [...this.abandoned(present), ...orphans.map(each => unpublish(each.id))]
    await Promise.all(freed)
    return freed.length > 0
  }
}
