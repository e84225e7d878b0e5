import type { Conflict } from './claims.ts'
import type { Change } from './record.ts'

/** What the table asks of the world. */
export type Output =
  /** As one datagram to a member. It may be lost, doubled, late. */
  | { type: 'direct'; to: string; bytes: Buffer }
  /** Into the gossip queue as a user message. The table itself says again what it heard so, when it was new. */
  | { type: 'broadcast'; bytes: Buffer }
  /** By a connection to a member, whole or not at all. At most 64 KiB. */
  | { type: 'stream'; to: string; bytes: Buffer }
  /** These records were new. */
  | { type: 'changed'; changes: Change[] }
  /** Two origins claim one address, or no longer (`conflict` absent). To be made durable: who wins goes on to be the one that was first. */
  | { type: 'conflict'; claim: string; conflict: Conflict | undefined }
  /** This member's table and ours were equal. After the first one, what peers say is known as a whole. */
  | { type: 'agreed'; member: string }
  /** To be made durable and handed to `start` of the next life. */
  | { type: 'pin'; origin: string; key: Buffer }
  | { type: 'fence'; origin: string; fence: number; by?: string | undefined }
  /** Somebody has writings of ours that we don't know of: this disk is older than they are, or two hosts have one key. Nothing of ours is
   * sent until the input `epoch` says that this one is durable. */
  | { type: 'epoch'; epoch: number }
  /** We were forgotten: what was ours may be others' by now. Nothing of ours is accepted until a `start` with this fence. */
  | { type: 'fenced'; fence: number }
  /** Somebody gave the order to forget us, which isn't obeyed: we were here all the time. To be made durable as our fence before the
   * `epoch` that comes with it. */
  | { type: 'defied'; fence: number; by: string }
  /** Dropped: what is wrong with it. */
  | { type: 'refused'; from: string; reason: string }

export type Outputs = Output[]
