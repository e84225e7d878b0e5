import { type Endpoint, endpointOf } from './endpoint.ts'
import { kinds, type Row } from './record.ts'

/** Several origins say that an address is theirs: the first one is believed. */
export type Conflict = { network: string; claim: string; winner: Row; losers: Row[] }

/** Who says that an IP or a MAC is his. Text as `ip 0a5a0005`, `mac 02420a5a0005`. */
export class Claims {
  readonly #rank: (row: Row) => number
  readonly #rows = new Map<string, Set<Row>>()

  constructor(rank: (row: Row) => number) {
    this.#rank = rank
  }

  /** Takes in that one row has taken another's place. Returns the claims that it is about. */
  replace(before: Row | undefined, after: Row | undefined): string[] {
    const touched = new Set<string>()
    for (const claim of claimsOf(before)) {
      const rows = this.#rows.get(claim)
      if (before && rows?.delete(before) && rows.size === 0) this.#rows.delete(claim)
      touched.add(claim)
    }
    for (const claim of claimsOf(after)) {
      const rows = this.#rows.get(claim) ?? new Set()
      if (after) this.#rows.set(claim, rows.add(after))
      touched.add(claim)
    }
    return [...touched]
  }

  /** The best first: by rank, then the lower origin, then the newer of one origin. Every member gets the same order. */
  contenders(claim: string): Row[] {
    const rows = [...(this.#rows.get(claim) ?? [])]
    return rows.length < 2 ? rows : rows.sort((a, b) => this.#compare(a, b))
  }

  /** Undefined unless two origins or more want it. */
  conflict(claim: string): Conflict | undefined {
    const [winner, ...others] = this.contenders(claim)
    const losers = others.filter(({ origin }) => origin !== winner?.origin)
    if (!winner || losers.length === 0) return undefined
    return { network: winner.network, claim: claim.slice(winner.network.length + 1), winner, losers }
  }

  wins(row: Row, claim: string): boolean {
    return this.contenders(claim)[0] === row
  }

  #compare(a: Row, b: Row): number {
    const rank = this.#rank(b) - this.#rank(a)
    if (rank !== 0) return rank
    if (a.origin !== b.origin) return a.origin < b.origin ? -1 : 1
    return b.epoch - a.epoch || b.seq - a.seq
  }
}

export function claimsOf(row: Row | undefined): string[] {
  const endpoint = row?.kind === kinds.endpoint ? endpointOf(row.value) : undefined
  if (!row || !endpoint) return []
  return [macClaim(row.network, endpoint), ...ipClaims(row.network, endpoint)]
}

export const macClaim = (network: string, { mac }: Endpoint): string => macClaimOf(network, mac)

export const macClaimOf = (network: string, mac: Buffer): string => `${network}\0mac ${mac.toString('hex')}`

export const ipClaims = (network: string, { ip4, ip6 }: Endpoint): string[] =>
  [ip4, ip6].flatMap(ip => (ip ? [`${network}\0ip ${ip.toString('hex')}`] : []))

/** What a record says by itself of its right to its addresses. */
export const statedRank = (row: Row): number => endpointOf(row.value)?.blockEpoch ?? -1
