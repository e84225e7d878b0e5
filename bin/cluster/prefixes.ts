import { Refused } from '../../core/errors.ts'
import type { Log } from '../../core/settle.ts'
import { contains, formatPrefix, includes, overlaps, type Prefix, parsePrefix } from '../../ipam/prefix.ts'
import { type Change, type Entry, kinds } from '../../vxlan-fdb/index.ts'

/** A pool whose addresses somebody else divides among the hosts, and what this host was given of it, if anything. */
export type Divided = { network: string; pool: string; prefix?: string }

export type PrefixesParts = {
  /** This host's origin in the replicated table. */
  self: string
  /** Such pools of this host's networks, as they are now. */
  own: () => Divided[]
  /** Whether a host is there, by what this one sees. */
  isThere: (host: string) => boolean
  /** Whether an earlier life of this host knew that one. */
  isVeteran: (host: string) => boolean
  /** Whether all that others know has been heard in this life: what was heard before came in no order that means anything. */
  isSettled: () => boolean
  write: (entries: Entry[]) => void
  /** Whose a contested prefix was in the last life, and what the next one has to know of it. */
  held: Iterable<[string, string]>
  keep: (contested: string, host: string | undefined) => void
  /** What people call a host. */
  nameOf: (host: string) => string
  log: Log
}

type Claim = { host: string; text: string; prefix: Prefix; since: number }
/** `to` is whose claim counts instead. */
type Judged = { winners: Claim[]; losers: { claim: Claim; to: Claim }[] }

/**
 * Prefixes of pools that hosts were given by somebody else, such as Kubernetes: each host says its own, and nobody can prove it. Of two that
 * overlap one counts. What this host was given itself is certain. Else one of a host that is there goes before one of a host that isn't, for
 * what a dead node had is given to the next; then what counted before; then what was heard of first.
 */
export class Prefixes {
  readonly #parts: PrefixesParts
  /** By pool, who claims what. */
  readonly #claims = new Map<string, Map<string, Claim>>()
  readonly #judged = new Map<string, Judged>()
  readonly #held: Map<string, string>
  /** By pool, what the log tells of it. */
  readonly #logged = new Map<string, string>()
  /** What this host says by now; undefined before its life began. */
  #told: Map<string, Entry> | undefined
  #clock = 0

  constructor(parts: PrefixesParts) {
    this.#parts = parts
    this.#held = new Map(parts.held)
  }

  /** All that this host says, at the beginning of a life. */
  entries(): Entry[] {
    this.#told = this.#said()
    return [...this.#told.values()]
  }

  /** What this host was given may be something else now, or its networks are others. */
  refresh(): void {
    this.#judged.clear()
    const before = this.#told
    if (!before) return
    this.#told = this.#said()
    const isNew = ([id, { value }]: [string, Entry]) => !before.get(id)?.value?.equals(value as Buffer)
    const entries = [
      ...[...before]
        .filter(([id]) => !this.#told?.has(id))
        .map(([, each]) => ({ ...each, value: undefined })),
      ...[...this.#told].filter(isNew).map(([, each]) => each),
    ]
    if (entries.length > 0) this.#parts.write(entries)
  }

  /** Records of other hosts are new. Answers the pools of this host's networks that they are about. */
  hear(changes: readonly Change[]): Divided[] {
    const heard = changes.filter(({ kind, origin }) => kind === kinds.prefix && origin !== this.#parts.self)
    for (const { network, key: pool, origin, value } of heard)
      this.#note(idOf({ network, pool }), origin, value && prefixOf(pool, value.toString()))
    const ids = new Set(heard.map(({ network, key: pool }) => idOf({ network, pool })))
    return ids.size === 0 ? [] : this.pools().filter(each => ids.has(idOf(each)))
  }

  /** Hosts came or went. Answers the pools where that decides. */
  met(): Divided[] {
    const contested = this.pools().filter(each => this.#judge(each).losers.length > 0)
    for (const each of contested) this.#judged.delete(idOf(each))
    return contested
  }

  /** Pools of this host's networks that are divided so. */
  pools(): Divided[] {
    return this.#parts.own()
  }

  has(network: string, pool: string): boolean {
    return this.pools().some(each => each.network === network && each.pool === pool)
  }

  /** Whether an address of a network lies in what counts as a host's own. */
  owns(network: string, address: Buffer, host: string): boolean {
    const value = BigInt(`0x${address.toString('hex')}`)
    const place = { family: address.length === 4 ? 4 : 6, value } as const
    const isHosts = (claim: Claim) => claim.host === host && includes(claim.prefix, place)
    return this.pools().some(each => each.network === network && this.#judge(each).winners.some(isHosts))
  }

  /** What of a pool other hosts give addresses of, in CIDR form. */
  elsewhere(network: string, pool: string): Map<string, string> {
    const { winners } = this.#judge({ network, pool })
    const others = winners.filter(({ host }) => host !== this.#parts.self)
    return new Map(others.map(({ text, host }) => [text, host]))
  }

  #said(): Map<string, Entry> {
    return new Map(
      this.pools().flatMap(({ prefix, ...of }): [string, Entry][] =>
        prefix === undefined ? [] : [[idOf(of), entryOf({ ...of, prefix })]],
      ),
    )
  }

  #note(id: string, host: string, prefix: Prefix | undefined): void {
    const claims = this.#claims.get(id) ?? new Map<string, Claim>()
    this.#claims.set(id, claims)
    this.#judged.delete(id)
    claims.delete(host)
    const since = this.#parts.isSettled() ? ++this.#clock : 0
    if (prefix) claims.set(host, { host, text: formatPrefix(prefix), prefix, since })
  }

  #judge(of: Divided): Judged {
    const id = idOf(of)
    const known = this.#judged.get(id)
    if (known) return known
    const judged = judge([...this.#own(id), ...(this.#claims.get(id)?.values() ?? [])], (a, b) =>
      this.#compare(id, a, b),
    )
    this.#judged.set(id, judged)
    this.#keep(id, judged)
    this.#tell(of, judged)
    return judged
  }

  #own(id: string): Claim[] {
    const text = this.pools().find(each => idOf(each) === id)?.prefix
    if (text === undefined) return []
    return [{ host: this.#parts.self, text, prefix: parsePrefix(text, 'prefix'), since: 0 }]
  }

  #compare(id: string, a: Claim, b: Claim): number {
    const { self, isThere, isVeteran } = this.#parts
    const better = (is: (claim: Claim) => boolean) => Number(is(b)) - Number(is(a))
    return (
      better(({ host }) => host === self) ||
      better(({ host }) => isThere(host)) ||
      better(({ host, text }) => this.#held.get(`${text} ${id}`) === host) ||
      a.since - b.since ||
      better(({ host }) => isVeteran(host)) ||
      (a.host < b.host ? -1 : 1)
    )
  }

  /** Who keeps what others claim, too, keeps it through restarts. */
  #keep(id: string, { losers }: Judged): void {
    const { isSettled, keep } = this.#parts
    const held = new Map(losers.map(({ to }) => [`${to.text} ${id}`, to.host]))
    for (const [contested, host] of held) {
      if (this.#held.get(contested) === host) continue
      this.#held.set(contested, host)
      keep(contested, host)
    }
    for (const contested of this.#held.keys()) {
      if (held.has(contested) || !contested.endsWith(` ${id}`) || !isSettled()) continue
      this.#held.delete(contested)
      keep(contested, undefined)
    }
  }

  #tell(of: Divided, { losers }: Judged): void {
    const { nameOf, log } = this.#parts
    const now = losers.map(({ claim, to }) => `${claim.host} ${claim.text} ${to.host}`).join()
    if ((this.#logged.get(idOf(of)) ?? '') === now) return
    this.#logged.set(idOf(of), now)
    for (const { claim, to } of losers)
      log.error(
        { network: of.network, hosts: [to.host, claim.host] },
        `${nameOf(claim.host)} says that ${claim.text} is its own, and ${nameOf(to.host)} says so of ${to.text}: ${nameOf(to.host)} keeps it, and the other's claim counts for nothing`,
      )
  }
}

const idOf = ({ network, pool }: Divided) => `${pool} ${network}`

const entryOf = ({ network, pool, prefix }: Required<Divided>): Entry => ({
  network,
  kind: kinds.prefix,
  key: pool,
  value: Buffer.from(prefix),
})

/** Undefined for what isn't written as we do, or not inside of the pool: whoever wrote it signed nonsense. */
function prefixOf(pool: string, text: string): Prefix | undefined {
  try {
    const prefix = parsePrefix(text, 'prefix')
    return formatPrefix(prefix) === text && contains(parsePrefix(pool, 'pool'), prefix) ? prefix : undefined
  } catch (error) {
    if (error instanceof Refused) return undefined
    throw error
  }
}

function judge(all: readonly Claim[], compare: (a: Claim, b: Claim) => number): Judged {
  const judged: Judged = { winners: [], losers: [] }
  if (!areTangled(all)) return { winners: [...all], losers: [] }
  for (const claim of all.toSorted(compare)) {
    const to = judged.winners.find(({ prefix }) => overlaps(prefix, claim.prefix))
    if (to) judged.losers.push({ claim, to })
    else judged.winners.push(claim)
  }
  return judged
}

/** Whether any two overlap: then two do that are next to each other in the order of their addresses. */
function areTangled(claims: readonly Claim[]): boolean {
  const all = claims
    .map(({ prefix }) => prefix)
    .sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : a.length - b.length))
  return all.some((each, at) => at > 0 && overlaps(all[at - 1] as Prefix, each))
}
