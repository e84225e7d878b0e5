import type { Member as Listed } from '../../cli/answers.ts'
import { type Agent, decodeTags, type Endpoint } from '../../gossip/index.ts'
import type { Table } from '../../vxlan-fdb/index.ts'
import { membersOf } from './overview.ts'

export type HostsParts = {
  agent: Agent
  table: Table
  /** Where this one listens. */
  bind: Endpoint
  isForgotten: (host: string) => boolean
}

/** Who the hosts are, by what gossip and the table know of them, and how they are met. */
export class Hosts {
  readonly #parts: HostsParts

  constructor(parts: HostsParts) {
    this.#parts = parts
  }

  /** What a host calls itself, else its id. */
  nameOf = (host: string): string => {
    const member = this.#parts.agent.member(host)
    return (member && decodeTags(member.meta).host) ?? host
  }

  /** All hosts that were ever heard of and that nobody was told to forget, this one first. */
  list = (): Listed[] => {
    const { agent, table, isForgotten } = this.#parts
    return membersOf(table, agent, this.nameOf, performance.now()).filter(({ host }) => !isForgotten(host))
  }

  /** The others of them, by id: those that answer, and those that don't. */
  others(): { alive: string[]; away: string[] } {
    const { alive = [], away = [] } = Object.groupBy(
      this.list().filter(({ state }) => state !== 'self'),
      ({ state }) => (state === 'alive' ? 'alive' : 'away'),
    )
    const ids = (all: Listed[]) => all.map(({ host }) => host)
    return { alive: ids(alive), away: ids(away) }
  }

  /** How many gossip reaches now, this one included. */
  get alive(): number {
    return this.#parts.agent.members().filter(({ status }) => status === 'alive').length
  }

  /** Joins the hosts at these addresses that aren't members yet, at this host's own port. Tells whether this one is alone. */
  greet(addresses: readonly string[]): boolean {
    const { agent, bind } = this.#parts
    const alive = agent.members().filter(({ status }) => status === 'alive' || status === 'suspect')
    const members = new Set(alive.map(({ endpoint }) => endpoint.address))
    const missing = addresses.filter(each => each !== bind.address && !members.has(each))
    if (missing.length > 0) void agent.join(missing.map(address => ({ address, port: bind.port })))
    return members.size <= 1
  }

  /** Where the others were met last. */
  met(): Endpoint[] {
    const { agent, table } = this.#parts
    const all = agent.members().filter(({ name, status }) => name !== table.origin && status === 'alive')
    return all.map(({ endpoint }) => endpoint)
  }

  /** These others knew this host at another address. */
  appear(peers: readonly Endpoint[]): void {
    this.#parts.agent.move(peers)
  }

  /** Over a stream; one that isn't a member gets nothing. */
  send(host: string, message: Buffer): void {
    const { agent } = this.#parts
    const member = agent.member(host)
    if (member) agent.sendReliably(member.endpoint, message)
  }
}
