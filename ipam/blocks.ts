/**
 * Blocks of a pool with one owner each, without a server. Plain data; `blocks-step.ts` has the rules.
 *
 * What a host says of a pool is one record, its `Word`, which the replicated table carries to everybody. A block is a number: its
 * place in the pool.
 */

/** What must survive a crash. */
export type Disk = {
  /** Raised by a `forget` of this host, which takes everything away. */
  generation: number
  /** Addresses are handed out of these. They are never given away, so nobody else can have got one from a life that this disk has forgotten. */
  kept: number[]
  /** To be given away, or kept. */
  free: number[]
  fences: Record<string, Fence>
  /** Hosts that an operator told this one to succeed: the life they were last seen in, and what they had. */
  heir: Record<string, { life: number; blocks: number[]; deeds?: Deed[] }>
  /** By which this host, or one whose place it took, got its blocks. */
  deeds?: Deed[]
}

/** The giver's signed word that blocks are the receiver's, all that he ever gave it. Whoever shows it: it stands for itself, when the giver is gone too. */
export type Deed = { from: string; to: string; blocks: number[]; seal: string }

/** What is known beside the words: who may be believed. */
export type Law = {
  /** Whether an order to forget a host was right: its fence is anybody's word. */
  isForgotten(host: string): boolean
  /** Whether this host may have been given up by the others for good reason. */
  mayBeLost(): boolean
  /** Who took the place of a host that was forgotten. */
  heirOf(host: string): string | undefined
  /** This host's signature under a text, and whether one is that of a host. */
  sign(text: string): string
  isSigned(host: string, text: string, seal: string): boolean
}

/** Everybody is honest. */
export const trusting: Law = {
  isForgotten: () => true,
  mayBeLost: () => true,
  heirOf: () => undefined,
  sign: () => '',
  isSigned: () => true,
}

/** Words of a host of a lower generation count for nothing. `life` is the last one of them that was heard. */
export type Fence = { generation: number; life: number }

/** Wants blocks of a giver, in the life that the giver is in: what an earlier life of it gave is refused. */
export type Ask = { id: string; of: string; life: number; count: number }
export type Gift = { to: string; ask: string; blocks: number[]; deed?: Deed }

/**
 * How much this life of a host knows. 0: its disk may be an old one. 1: what was kept is still its own. 2: so is what is free.
 */
export type Level = 0 | 1 | 2

export type Word = {
  /** Higher than of any earlier life of the host: the epoch of its replicated records. */
  life: number
  generation: number
  level: Level
  kept: number[]
  free: number[]
  deeds?: Deed[]
  /** Those that are on its disk: others rely on them. */
  fences: Record<string, Fence>
  ask?: Ask
  gifts: Gift[]
}

export type Input =
  /** The network was made on this host: the whole pool is its own. */
  | { type: 'create'; blocks: number }
  /** Somebody's record is new. */
  | { type: 'heard'; from: string; word: Word }
  /** Our replicated table and somebody's are equal, by asking him (not by hearsay). */
  | { type: 'agreed'; with: string }
  /** All other hosts that were ever seen, alive or not. */
  | { type: 'members'; hosts: string[] }
  /** How many blocks this host wants to hand out of: one more before the last one is full. */
  | { type: 'want'; kept: number }
  /** Whoever was asked for blocks hasn't answered in time. */
  | { type: 'elsewhere' }
  | { type: 'persisted'; version: number }
  /** An operator says that a host is off, and that this one succeeds it. */
  | { type: 'forget'; host: string }

export type Output =
  /** Make it durable, then answer `persisted`. A later version holds all of an earlier one. */
  | { type: 'persist'; version: number; disk: Disk }
  /** Write this as our record. */
  | { type: 'publish'; word: Word }
  /** Addresses of this block may be handed out, in this life. */
  | { type: 'usable'; block: number }
  /** We were forgotten. Whatever has an address of these blocks has to go, or to get another one. */
  | { type: 'lost'; blocks: number[] }

export const emptyDisk = (): Disk => ({ generation: 0, kept: [], free: [], fences: {}, heir: {} })

/**
 * Prefix length of the blocks of a pool: 64 addresses each, but at least 16 blocks in a small pool and at most 4096 in a large one.
 */
export function blockLength(pool: { family: 4 | 6; length: number }): number {
  const bits = pool.family === 4 ? 32 : 128
  const usual = Math.max(bits - 6, pool.length)
  return Math.min(Math.max(pool.length + 4, Math.min(usual, pool.length + 12)), bits)
}
