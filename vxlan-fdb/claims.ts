import { type Endpoint, endpointOf } from './endpoint.ts'
import { kinds, type Row } from './record.ts'

/** Several origins say that an address is theirs: the winner is believed. */
export type Conflict = { network: string; claim: string; winner: Row; losers: Row[] }

export type ClaimsParts = {
  rank: (row: Row, claim: string) => number
  /** Who held what is contested, by claim. */
  incumbents: ReadonlyMap<string, string>
  /** Whether somebody's table was equal to ours in this life. */
  isSettled: () => boolean
  /** Whether an earlier life knew this origin. */
  isVeteran: (origin: string) => boolean
}

/** Who says that an IP or a MAC is his. Text as `ip 0a5a0005`, `mac 02420a5a0005`. */
export class Claims {
  readonly #parts: ClaimsParts
  /** Of each claim, who makes it and since when. */
  readonly #rows = new Map<string, Map<Row, number>>()
  #clock = 0

  constructor(parts: ClaimsParts) {
    this.#parts = parts
  }

  /** Takes in that one row has taken another's place. Returns the claims that it is about. */
  replace(before: Row | undefined, after: Row | undefined): string[] {
    const touched = new Map<string, number | undefined>()
    for (const claim of claimsOf(before)) {
      const rows = this.#rows.get(claim)
      touched.set(claim, before && rows?.get(before))
      if (before && rows?.delete(before) && rows.size === 0) this.#rows.delete(claim)
    }
    for (const claim of claimsOf(after)) {
      const rows = this.#rows.get(claim) ?? new Map<Row, number>()
      if (after) this.#rows.set(claim, rows.set(after, touched.get(claim) ?? this.#time()))
      touched.set(claim, undefined)
    }
    return [...touched.keys()]
  }

  /**
   * The best first: by rank; then who held it when it was contested last; then who was there first; then whose key was pinned before this
   * life, the lower origin, the newer of one origin.
   */
  contenders(claim: string): Row[] {
    const rows = this.#rows.get(claim)
    if (!rows) return []
    return rows.size < 2
      ? [...rows.keys()]
      : [...rows].sort((a, b) => this.#compare(claim, a, b)).map(([row]) => row)
  }

  /** What is heard before anybody has agreed came in no order that means anything. */
  #time(): number {
    return this.#parts.isSettled() ? ++this.#clock : 0
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

  #compare(claim: string, [a, since]: [Row, number], [b, until]: [Row, number]): number {
    const { rank, incumbents, isVeteran } = this.#parts
    if (a.origin === b.origin) return b.epoch - a.epoch || b.seq - a.seq
    const holder = incumbents.get(claim)
    return (
      rank(b, claim) - rank(a, claim) ||
      Number(b.origin === holder) - Number(a.origin === holder) ||
      since - until ||
      Number(isVeteran(b.origin)) - Number(isVeteran(a.origin)) ||
      (a.origin < b.origin ? -1 : 1)
    )
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

/** 4 or 16 bytes of the address that a claim is about: a MAC 02:42 and four octets is that of its IPv4 address, as Docker's are. */
export function addressIn(claim: string): Buffer | undefined {
  const [, hex] = /\0(?:ip |mac 0242)([0-9a-f]+)$/.exec(claim) ?? []
  return hex === undefined ? undefined : Buffer.from(hex, 'hex')
}

/** What a record says by itself of its right to its addresses: its writer's word. */
export const statedRank = (row: Row): number => endpointOf(row.value)?.blockEpoch ?? -1
