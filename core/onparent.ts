import type { Modes } from './desired.ts'
import { Refused } from './errors.ts'
import type { EndpointSpec, Kernel, Mode, Parent } from './faces.ts'
import type { Endpoint, Network, Records } from './records.ts'
import { key, type LinkRow } from './rows.ts'
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
    const joined = this.#joined()
    const rows = joined.map(each => each.row)
    if (rows.length === 0) return
    // Those that are in the host still libnetwork is about to move.
    const there = new Set((await this.#kernel.read({ owned: false, rows })).map(key))
    const parents = await this.#present(new Set(rows.flatMap(row => row.parent ?? [])))
    for (const each of joined)
      if (!there.has(key(each.row)) && parents.has(each.row.parent)) await this.#restoreOne(each)
  }

  #joined(): Joined[] {
    const { networks, endpoints } = this.#records()
    return [...endpoints.values()].filter(isJoined).flatMap(endpoint => {
      const network = networks.get(endpoint.network)
      const row = network && this.#of(network)?.again(network, endpoint)
      return row ? { network, endpoint, row } : []
    })
  }

  /** Those of these links that the host has. */
  async #present(names: ReadonlySet<string>): Promise<Set<string | undefined>> {
    const found = [...names].map(async name => ((await this.#kernel.parent(name)) ? name : []))
    return new Set((await Promise.all(found)).flat())
  }

  async #restoreOne({ network, endpoint, row }: Joined): Promise<void> {
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

type InSandbox = Endpoint & { sandbox: string }
/** A container that runs, and its link as it would be made again. */
type Joined = { network: Network; endpoint: InSandbox; row: LinkRow }

const isJoined = (endpoint: Endpoint): endpoint is InSandbox =>
  endpoint.sandbox !== undefined && endpoint.attachment === undefined
