/** How a message of the table travels in one of gossip's: how it was sent, who sent it, and itself. */
export type Via = 'direct' | 'broadcast' | 'stream'

const MARKS: Record<Via, number> = { direct: 0xe1, broadcast: 0xe2, stream: 0xe3 }

/** `origin` is 32 hex digits. */
export const enclose = (via: Via, origin: string, bytes: Buffer): Buffer =>
  Buffer.concat([Buffer.from([MARKS[via]]), Buffer.from(origin, 'hex'), bytes])

/** Undefined for what isn't ours. */
export function disclose(payload: Buffer): { via: Via; from: string; bytes: Buffer } | undefined {
  const via = (Object.keys(MARKS) as Via[]).find(each => MARKS[each] === payload[0])
  if (!via || payload.length < 17) return undefined
  return { via, from: payload.toString('hex', 1, 17), bytes: payload.subarray(17) }
}

/** Orders about gossip keys and the replies to them: JSON in a message of its own. */
const KEYS = 0xe4

export const encloseKeys = (message: object): Buffer =>
  Buffer.concat([Buffer.of(KEYS), Buffer.from(JSON.stringify(message))])

/** Undefined for what isn't one. */
export const discloseKeys = (payload: Buffer): string | undefined =>
  payload[0] === KEYS ? payload.toString('utf8', 1) : undefined
