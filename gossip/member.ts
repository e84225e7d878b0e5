import { type Config, largestMeta, type Vsn } from './config.ts'
import { addressBytes, addressText, type Endpoint } from './endpoint.ts'
import type { MessageOf, NodeState } from './messages.ts'

/** In the order of their numbers in a push/pull. */
export const statuses = ['alive', 'suspect', 'dead', 'left'] as const
export type Status = (typeof statuses)[number]

export type Member = {
  readonly name: string
  endpoint: Endpoint
  meta: Buffer
  vsn: Vsn
  incarnation: number
  status: Status
  /** When the status last changed. */
  since: number
}

/** What an alive message claims, checked. */
export type Claim = Omit<Member, 'status' | 'since'>

const longestName = 255
/** A forged incarnation near 2^32 could never be refuted, so one is believed only so far above the last. */
export const farthestJump = 1 << 20
/** Of a node never heard of before. */
const highestFirst = 2 ** 31

/** undefined for a claim that no honest node makes, or that would break the cluster if it were believed. */
export function readClaim(alive: MessageOf<'alive'>, own: Vsn): Claim | undefined {
  const address = addressText(alive.Addr)
  const vsn = readVsn(alive.Vsn)
  if (!address || !vsn || !compatible(own, vsn)) return undefined
  if (
    !alive.Node ||
    Buffer.byteLength(alive.Node) > longestName ||
    alive.Meta.length > largestMeta ||
    !alive.Port
  )
    return undefined
  const endpoint = { address, port: alive.Port }
  return { name: alive.Node, endpoint, meta: alive.Meta, vsn, incarnation: alive.Incarnation }
}

/** undefined for fewer than six bytes, which end older memberlists, and for a range that is none. */
function readVsn(bytes: Buffer): Vsn | undefined {
  const [pMin, pMax, pCur, dMin, dMax, dCur] = bytes
  if (!pMin || !pMax || pMin > pMax) return undefined
  if (pCur === undefined || dMin === undefined || dMax === undefined || dCur === undefined) return undefined
  return [pMin, pMax, pCur, dMin, dMax, dCur]
}

/**
 * Either speaks what the other understands. memberlist asks this of a push/pull only; one node that slips in by gossip
 * then stops every push/pull in the cluster, so here it is asked of gossip as well.
 */
function compatible(a: Vsn, b: Vsn): boolean {
  return speaks(a, b) && speaks(b, a)
}

const speaks = ([, , p, , , d]: Vsn, [pMin, pMax, , dMin, dMax]: Vsn): boolean =>
  p >= pMin && p <= pMax && d >= dMin && d <= dMax

/** Whether an incarnation may follow the one that is known; 0 is of a node not yet known. */
export const plausible = (incarnation: number, known: number): boolean =>
  incarnation <= (known ? known + farthestJump : highestFirst)

export const aliveMessage = (member: Claim): MessageOf<'alive'> => ({
  type: 'alive',
  Node: member.name,
  Incarnation: member.incarnation,
  Addr: addressBytes(member.endpoint.address),
  Port: member.endpoint.port,
  Meta: member.meta,
  Vsn: Buffer.from(member.vsn),
})

export const nodeState = (member: Member): NodeState => {
  const { Node, type: _, ...rest } = aliveMessage(member)
  return { Name: Node, State: statuses.indexOf(member.status), ...rest }
}

export const ownMember = (config: Config, now: number): Member => ({
  name: config.name,
  endpoint: config.endpoint,
  meta: config.meta,
  vsn: config.vsn,
  incarnation: config.incarnation,
  status: 'alive',
  since: now,
})

export const isGone = ({ status }: Member): boolean => status === 'dead' || status === 'left'

/** Highest protocol version that the member understands; 3 brought TCP pings, 4 nacks, 5 CRC. */
export const understands = (member: Member | undefined, protocol: number): boolean =>
  member !== undefined && member.vsn[1] >= protocol
