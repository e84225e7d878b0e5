import type { Forgotten, Member as Listed } from '../../cli/answers.ts'
import { Refused } from '../../core/errors.ts'
import type { Log } from '../../core/settle.ts'
import { type Entry, type Output, orderOf, type Table } from '../../vxlan-fdb/index.ts'

export type ForgettingParts = {
  table: Table
  /** Hosts that are known. */
  members: () => Listed[]
  nameOf: (host: string) => string
  /** This host is told that another one is gone for good. */
  succeed: (host: string) => void
  log: Log
}

type Of<T extends Output['type']> = Extract<Output, { type: T }>

/** Hosts that are gone for good: the operator's order, and what comes of those that were given anywhere. */
export class Forgetting {
  readonly #parts: ForgettingParts

  constructor(parts: ForgettingParts) {
    this.#parts = parts
  }

  /** @throws Refused for a host that isn't known, for this one, and for one that answers. */
  order(words: string): Forgotten {
    const { host, name, state } = this.#meant(words)
    if (state === 'self') throw new Refused(`${name} is this host: ask another one to forget it`)
    if (state === 'alive' || state === 'suspect')
      throw new Refused(
        `host ${name} answers, and nobody obeys an order to forget one that does. Switch it off, or stop its tsnetd, first`,
      )
    this.#parts.succeed(host)
    this.#parts.log.warn({ host, name }, 'a host is forgotten by order of the operator')
    return { host, name }
  }

  /** What this host was told to forget, for those who were away then. */
  entries(): Entry[] {
    const { heirs, fences, origin } = this.#parts.table
    return [...heirs].flatMap(([lost, by]) => (by === origin ? orderOf(lost, fences.get(lost) ?? 0) : []))
  }

  isForgotten(host: string): boolean {
    const { logs, fences } = this.#parts.table
    return (fences.get(host) ?? 0) > (logs.get(host)?.fence ?? 0)
  }

  /** An order counts from now on. */
  counts({ origin, by }: Of<'fence'>): void {
    if (by === undefined) return
    const [name, giver] = [origin, by].map(each => this.#parts.nameOf(each))
    this.#parts.log.warn(
      { host: origin, by },
      `host ${name} is forgotten by an order that was given on host ${giver}`,
    )
  }

  /** Nobody forgets a host that answers. */
  isDefied({ fence, by }: Of<'defied'>): void {
    this.#parts.log.error(
      { by, fence },
      `host ${this.#parts.nameOf(by)} gave the order to forget this host, which was here all the time: it keeps what it has. Whoever gives such orders has the gossip key`,
    )
  }

  #meant(words: string): Listed {
    const all = this.#parts.members()
    const found = all.filter(({ host, name }) => host === words || name === words)
    if (found.length > 1)
      throw new Refused(
        `several hosts are called ${words}: give the id, ${found.map(({ host }) => host).join(' or ')}`,
      )
    const [one] = found
    if (!one)
      throw new Refused(`no host is called ${words}; there are ${all.map(({ name }) => name).join(', ')}`)
    return one
  }
}
