import type { Modes } from './desired.ts'
import { Refused } from './errors.ts'
import type { EndpointSpec, Kernel, Mode, OnParent, Parent } from './faces.ts'
import type { Endpoint, Network, Records } from './records.ts'
import type { Log } from './settle.ts'

/** What networks on a parent ask of the kernel besides their rows. Those of other modes are passed over. */
export class OnParents {
  readonly #kernel: Kernel
  readonly #modes: Modes
  readonly #records: () => Records
  readonly #log: Log

  constructor(kernel: Kernel, modes: Modes, records: () => Records, log: Log) {
    this.#kernel = kernel
    this.#modes = modes
    this.#records = records
    this.#log = log
  }

  /** Throws Refused when the parent can't carry the network. */
  async admit(network: Network): Promise<void> {
    const mode = this.#of(network)
    if (!mode) return
    const names = mode.names(network)
    const found = await Promise.all(names.map(name => this.#kernel.parent(name)))
    const parents = names.flatMap((name, i): [string, Parent][] => (found[i] ? [[name, found[i]]] : []))
    const others = [...this.#records().networks.values()].filter(each => this.#of(each))
    mode.admit(network, others, new Map(parents))
  }

  /** Throws Refused, naming the MAC, when somebody on the LAN has an address of the endpoint; and for a MAC that it can't have. */
  async probe(network: Network, spec: EndpointSpec): Promise<void> {
    const mode = this.#of(network)
    if (mode?.macless && spec.mac !== undefined)
      throw new Refused(
        `a container can't have MAC ${spec.mac} here: in mode ${network.mode} all have the parent's`,
      )
    const lan = mode?.lan(network, spec)
    if (!lan || !mode?.probes(network)) return
    const claim = await this.#kernel.probe(lan.link, lan.addresses)
    if (claim)
      throw new Refused(
        `address ${claim.address} is in use on ${lan.link} by ${claim.mac}: choose another one, keep it away with --aux-address, or create the network with -o probe=false`,
      )
  }

  isMacless(network: Network): boolean {
    return this.#of(network)?.macless ?? false
  }

  /** Tells the LAN where the endpoint's addresses are now. Nobody waits for it. */
  announce(network: Network, endpoint: Endpoint): void {
    const lan = this.#of(network)?.lan(network, endpoint)
    if (!lan) return
    this.#kernel
      .announce(lan.link, lan.addresses, endpoint.mac || undefined)
      .catch(error => this.#log.warn({ err: error }, 'the LAN was not told of a container'))
  }

  /** Containers' links that went with their parent, made again once it is back. */
  async restore(): Promise<void> {
    for (const endpoint of this.#records().endpoints.values()) {
      const network = this.#records().networks.get(endpoint.network)
      const mode = network && this.#of(network)
      if (mode && isJoined(endpoint)) await this.#restoreOne(network, mode, endpoint)
    }
  }

  async #restoreOne(
    network: Network,
    mode: OnParent,
    endpoint: Endpoint & { sandbox: string },
  ): Promise<void> {
    const row = mode.again(network, endpoint)
    const there = await this.#kernel.read({ owned: false, rows: [row] })
    // Still in the host: libnetwork is about to move it.
    if (there.length > 0 || !(await this.#kernel.parent(row.parent ?? ''))) return
    if (await this.#kernel.holds(endpoint.sandbox, row.name)) return
    const [outcome] = await this.#kernel.apply([{ verb: 'add', row, reason: 'its parent is back' }])
    if (outcome?.ok) this.announce(network, endpoint)
    // libnetwork has brought it back from the container meanwhile, to let it go.
    else if (outcome?.error.code !== 'EEXIST')
      this.#log.warn({ err: outcome?.error }, "a container's link is not back")
  }

  #of({ mode }: Network): Mode['onParent'] {
    return this.#modes[mode]?.onParent
  }
}

const isJoined = (endpoint: Endpoint): endpoint is Endpoint & { sandbox: string } =>
  endpoint.sandbox !== undefined && endpoint.attachment === undefined
