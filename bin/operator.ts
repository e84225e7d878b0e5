import Docker from 'dockerode'
import type * as answers from '../cli/answers.ts'
import type { Operator } from '../cli/operator.ts'
import { host } from '../core/addresses.ts'
import { inhabited, sharedKey } from '../core/elsewhere.ts'
import { Refused } from '../core/errors.ts'
import type { Peers } from '../core/faces.ts'
import { line, stepLine } from '../core/lines.ts'
import type { Endpoint, Network, Publication, Records } from '../core/records.ts'
import type { Row } from '../core/rows.ts'
import type { Settler } from '../core/settle.ts'
import { listed } from '../driver/listed.ts'
import { modes } from '../modes/index.ts'
import { vniOf } from '../modes/overlay.ts'
import type { Cluster } from './cluster/index.ts'

export type OperatorParts = {
  version: string
  /** Milliseconds since 1970 when the daemon started. */
  started: number
  state: string
  complaint?: string
  docker: string
  settler: Settler
  peers: Peers
  cluster: () => Cluster | undefined
  /** Why this host meets nobody, though it is to; empty when it does or isn't. */
  alone: () => string
  /** What this host calls itself. */
  name: string
}

/** Milliseconds that an operator waits for Docker: without its answer there are no names. */
const PATIENCE = 5_000

/** What an operator may ask, answered from records, table, kernel and Docker's own list. */
export class Desk implements Operator {
  readonly #parts: OperatorParts
  readonly #docker: Docker

  constructor(parts: OperatorParts) {
    this.#parts = parts
    this.#docker = new Docker({ socketPath: parts.docker, timeout: PATIENCE })
  }

  async status(): Promise<answers.Status> {
    const { version, started, state, complaint } = this.#parts
    const { networks, endpoints, pools, leases } = this.#records
    const cluster = this.#parts.cluster()?.status()
    return {
      version,
      uptime: Math.floor((Date.now() - started) / 1000),
      state,
      ...(complaint !== undefined && { complaint }),
      modes: Object.keys(modes),
      docker: { socket: this.#parts.docker, ...(await this.#engine()) },
      counts: {
        networks: networks.size,
        endpoints: endpoints.size,
        pools: pools.size,
        addresses: leases.size,
      },
      ...(cluster ? { cluster } : { alone: this.#alone }),
    }
  }

  members(): answers.Member[] {
    return this.#parts.cluster()?.hosts.list() ?? []
  }

  async networks(): Promise<answers.Network[]> {
    const names = await this.#names()
    const elsewhere = Map.groupBy(this.#parts.cluster()?.elsewhere() ?? [], each => each.network)
    const here = Map.groupBy(this.#records.endpoints.values(), each => each.network)
    return [...this.#records.networks.values()].map(network => {
      const others = elsewhere.get(sharedKey(network)) ?? []
      const own = here.get(network.id)?.length ?? 0
      const name = names.get(network.id)
      return {
        id: network.id,
        ...(name !== undefined && { name }),
        key: sharedKey(network),
        mode: network.mode,
        internal: network.internal,
        subnets: [...network.ipv4, ...network.ipv6].map(({ pool }) => pool),
        ...(spans(network) && { vni: vniOf(network) }),
        here: own,
        elsewhere: others.length,
        hosts: [...new Set([...(own > 0 ? [this.#parts.name] : []), ...others.map(each => each.host)])],
      }
    })
  }

  async endpoints(): Promise<answers.Endpoint[]> {
    const names = await this.#names()
    const { networks, endpoints } = this.#records
    const called = new Map(
      [...networks.values()].map(each => [sharedKey(each), names.get(each.id) ?? each.id.slice(0, 12)]),
    )
    const others = this.#parts.cluster()?.elsewhere() ?? []
    const contests = this.#parts.cluster()?.contests() ?? []
    const refused = (id: string) => {
      const all = contests.flatMap(({ ids, address, keeper }) =>
        ids.includes(id) ? { address, keeper } : [],
      )
      return all.length > 0 ? { refused: all } : {}
    }
    return [
      ...[...endpoints.values()].map(each => ({ ...this.#own(each, names), ...refused(each.id) })),
      ...others.map(({ network, ...rest }) => ({
        ...rest,
        network: called.get(network) ?? network.slice(0, 12),
        published: [],
        ...refused(rest.id),
      })),
    ]
  }

  async fdb(): Promise<answers.FdbLine[]> {
    const names = await this.#names()
    const { wanted, present } = await this.#parts.settler.look()
    const isTable = (row: Row) => row.kind === 'fdb' || row.kind === 'neighbour'
    const want = new Set(wanted.flatMap(({ row }) => (isTable(row) ? line(row) : [])))
    const have = new Set(present.flatMap(row => (isTable(row) ? line(row) : [])))
    const networkOf = this.#linkNames(names)
    const told = (lines: Set<string>, state: answers.FdbLine['state']) =>
      [...lines].map(text => ({ network: networkOf(text), line: text, state }))
    return [
      ...told(want.intersection(have), 'same'),
      ...told(want.difference(have), 'missing'),
      ...told(have.difference(want), 'extra'),
      ...this.#contested(names),
    ]
  }

  #contested(names: Map<string, string>): answers.FdbLine[] {
    const { networks } = this.#records
    const called = new Map([...networks.values()].map(each => [sharedKey(each), names.get(each.id)]))
    const all = this.#parts.cluster()?.contests() ?? []
    return all.map(({ network, address, keeper, others }) => ({
      network: called.get(network) ?? network.slice(0, 12),
      line: `${address} is kept by ${keeper}, and claimed by ${others.join(', ')}`,
      state: 'contested',
    }))
  }

  async plan(): Promise<answers.Plan> {
    return { steps: (await this.#parts.settler.plan()).map(stepLine) }
  }

  async forget(words: string): Promise<answers.Forgotten> {
    return this.#cluster.forget(words)
  }

  keys(...order: Parameters<Operator['keys']>): Promise<answers.Keys> {
    return this.#cluster.keys.order(...order)
  }

  get #cluster(): Cluster {
    const cluster = this.#parts.cluster()
    if (!cluster) throw new Refused(`this host keeps to itself: ${this.#alone}`)
    return cluster
  }

  get #alone(): string {
    return this.#parts.alone() || 'TSNET_KEY is not set'
  }

  get #records(): Records {
    return this.#parts.settler.store.records
  }

  #own({ id, network, mac, ipv4, ipv6, published }: Endpoint, names: Map<string, string>): answers.Endpoint {
    const container = names.get(id)
    return {
      network: names.get(network) ?? network.slice(0, 12),
      id,
      ...(container !== undefined && { container }),
      mac,
      addresses: [ipv4, ipv6].flatMap(each => (each ? host(each) : [])),
      host: this.#parts.name,
      published: published.map(printed),
    }
  }

  /** The network that a line's link belongs to. */
  #linkNames(names: Map<string, string>): (line: string) => string {
    const { records } = this.#parts.settler.store
    const view = { records, modes, peers: this.#parts.peers }
    const links = new Map(
      [...records.networks.values()]
        .filter(network => spans(network) && inhabited(view, network))
        .flatMap(network =>
          (modes[network.mode]?.elsewhere?.links(network) ?? []).map(link => [link, network.id] as const),
        ),
    )
    return text => {
      const id = links.get(text.split(' ')[1] ?? '') ?? ''
      return names.get(id) ?? id.slice(0, 12)
    }
  }

  async #engine(): Promise<{ version: string } | { trouble: string }> {
    try {
      return { version: (await this.#docker.version()).Version }
    } catch (error) {
      return { trouble: (error as Error).message }
    }
  }

  /** Empty without Docker: then ids have to do. */
  async #names(): Promise<Map<string, string>> {
    try {
      return (await listed(this.#docker)).names
    } catch {
      return new Map()
    }
  }
}

const spans = (network: Network) => modes[network.mode]?.elsewhere !== undefined

const printed = ({ proto, hostIp, hostPort, port }: Publication) =>
  `${hostIp.includes(':') ? `[${hostIp}]` : hostIp}:${hostPort}->${port}/${proto}`
