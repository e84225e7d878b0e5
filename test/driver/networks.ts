import { Refused } from '../../core/errors.ts'
import type { EndpointSpec, NetworkSpec, Networks, Sandbox } from '../../core/faces.ts'
import type { Endpoint, Network, PortRequest } from '../../core/records.ts'

/** The engine as the driver sees it, in memory. It writes down every call. */
export class MemoryNetworks implements Networks {
  readonly calls: string[] = []
  activations = 0
  readonly #networks = new Map<string, NetworkSpec>()
  readonly #endpoints = new Map<string, Endpoint>()

  activated(): void {
    this.activations++
  }

  async createNetwork(spec: NetworkSpec): Promise<void> {
    this.#note('createNetwork', spec)
    this.#networks.set(spec.id, spec)
  }

  async deleteNetwork(id: string): Promise<void> {
    this.#note('deleteNetwork', id)
    this.#networks.delete(id)
  }

  async createEndpoint(spec: EndpointSpec): Promise<{ mac: string }> {
    this.#note('createEndpoint', spec)
    if (!this.#networks.has(spec.network)) throw new Refused(`network ${spec.network} is unknown`)
    const mac = spec.mac ?? `02:00:00:${spec.id.slice(0, 2)}:${spec.id.slice(2, 4)}:${spec.id.slice(4, 6)}`
    this.#endpoints.set(spec.id, { ...spec, mac, published: [], created: 0 })
    return { mac }
  }

  async deleteEndpoint(id: string): Promise<void> {
    this.#note('deleteEndpoint', id)
    this.#endpoints.delete(id)
  }

  /** As bridge mode does: a gateway for each family, none on internal networks. */
  async join(id: string, sandbox: string): Promise<Sandbox> {
    this.#note('join', id, sandbox)
    const endpoint = this.#known(id)
    const network = this.#networks.get(endpoint.network)
    const gateway = (subnets = network?.ipv4) => subnets?.[0]?.gateway?.split('/')[0]
    const gateway4 = endpoint.ipv4 && !network?.internal ? gateway() : undefined
    const gateway6 = endpoint.ipv6 && !network?.internal ? gateway(network?.ipv6) : undefined
    return {
      link: `tsc-${id.slice(0, 11)}`,
      prefix: 'eth',
      ...(gateway4 && { gateway4 }),
      ...(gateway6 && { gateway6 }),
      routes: [],
    }
  }

  async leave(id: string): Promise<void> {
    this.#note('leave', id)
  }

  async publish(id: string, ports: PortRequest[]): Promise<void> {
    this.#note('publish', id, ports)
    this.#known(id)
  }

  async unpublish(id: string): Promise<void> {
    this.#note('unpublish', id)
  }

  endpoint(id: string): Endpoint | undefined {
    return this.#endpoints.get(id)
  }

  network(_id: string): Network | undefined {
    return undefined
  }

  #known(id: string): Endpoint {
    const endpoint = this.#endpoints.get(id)
    if (!endpoint) throw new Refused(`endpoint ${id} is unknown`)
    return endpoint
  }

  #note(name: string, ...args: unknown[]): void {
    this.calls.push([name, ...args.map(arg => JSON.stringify(arg))].join(' '))
  }
}
