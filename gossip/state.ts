import { Broadcasts } from './broadcasts.ts'
import type { Config } from './config.ts'
import { type Endpoint, endpointText } from './endpoint.ts'
import { type Member, ownMember } from './member.ts'
import type { Message } from './messages.ts'
import { Schedule } from './schedule.ts'
import type { StreamMessage } from './stream.ts'
import type { Suspicion } from './suspicion.ts'

export type Input =
  /** What a datagram held. */
  | { kind: 'packet'; from: Endpoint; messages: readonly Message[] }
  /** What the peer sent that opened a stream to us; answered by a `reply` to that stream, or not at all. */
  | { kind: 'stream'; stream: number; from: Endpoint; message: StreamMessage }
  /** How a `dial` went. */
  | { kind: 'answer'; dial: number; message: StreamMessage }
  | { kind: 'hangup'; dial: number; reason: string }
  /** Due at `state.schedule.next`. */
  | { kind: 'tick' }
  | { kind: 'join'; peers: readonly Endpoint[] }
  /** This node was known to peers at another address. */
  | { kind: 'move'; peers: readonly Endpoint[] }
  | { kind: 'leave' }
  | { kind: 'meta'; meta: Buffer }
  /** Goes with each answer to a member's ping from now on. */
  | { kind: 'ackPayload'; payload: Buffer }
  /** To some; to everybody if each that hears it for the first time broadcasts it too. A later one of the name replaces it. */
  | { kind: 'broadcast'; payload: Buffer; name?: string }
  /** To one; over a stream if it must arrive. */
  | { kind: 'send'; to: Endpoint; payload: Buffer; reliable: boolean }

export type InputOf<K extends Input['kind']> = Extract<Input, { kind: K }>

/** What a member's life may bring. */
export type Change = 'join' | 'update' | 'suspect' | 'alive' | 'dead' | 'left' | 'forget'
type ChangeEvent<T> = T extends Change ? { type: T; member: Readonly<Member> } : never

export type Event =
  | ChangeEvent<Change>
  /** Somebody claims a member's name at another address. */
  | { type: 'conflict'; member: Readonly<Member>; claimed: Endpoint }
  /** A push/pull that was not merged, since not every node would understand every other. */
  | { type: 'refused'; from: Endpoint; reason: string }
  /** A user message; `from` is the peer that passed it on, which need not be the one it is of. */
  | { type: 'user'; payload: Buffer; from: Endpoint }
  /** The user state of a push/pull. */
  | { type: 'userState'; userState: Buffer; join: boolean; from: Endpoint }
  /** A member answered a probe after so many milliseconds. */
  | { type: 'ack'; member: Readonly<Member>; payload: Buffer; took: number }

export type Output =
  | { kind: 'packet'; to: Endpoint; messages: readonly Buffer[]; crc: boolean }
  /** Opens a stream, sends, and hands back one answer (to `user`: none, the hang-up without a reason will do). */
  | { kind: 'dial'; dial: number; to: Endpoint; message: StreamMessage; wait: number | undefined }
  | { kind: 'reply'; stream: number; message: StreamMessage }
  | { kind: 'event'; event: Event }
  /** To be known at the next start, where the first incarnation must be higher. */
  | { kind: 'persist'; incarnation: number }
  /** How an attempt to join ended. */
  | { kind: 'contacted'; peer: Endpoint; error?: string }
  /** After `leave`: the others have been told. */
  | { kind: 'left' }

type Recurring<T> = T extends string ? { timer: T } : never
type Numbered<T> = T extends string ? { timer: T; sequence: number } : never
export type Timer =
  | Recurring<'probe' | 'gossip' | 'pushPull' | 'rejoin'>
  | Numbered<'probeTimeout' | 'probeEnd' | 'relayEnd'>
  | { timer: 'suspicion'; name: string }

export type Probe = {
  sequence: number
  name: string
  sent: number
  end: number
  nacksWanted: number
  nacks: number
}

export type Dial =
  | { purpose: 'pushPull'; to: Endpoint; join: boolean }
  | { purpose: 'probe'; to: Endpoint; sequence: number }
  | { purpose: 'user'; to: Endpoint }

export type State = {
  readonly config: Config
  readonly self: Member
  readonly members: Map<string, Member>
  /** Names by `endpointText`: the one last heard of there. */
  readonly names: Map<string, string>
  readonly suspicions: Map<string, Suspicion>
  readonly schedule: Schedule<Timer>
  /** memberlist's own messages, and the user's, which take what room is left. */
  readonly queue: Broadcasts
  readonly userQueue: Broadcasts
  /** Lifeguard's health score: 0 is healthy. */
  awareness: number
  sequence: number
  probe: Probe | undefined
  probeOrder: string[]
  probeAt: number
  /** Pings made for others. */
  readonly relays: Map<number, { to: Endpoint; sequence: number; nack: boolean }>
  readonly dials: Map<number, Dial>
  /** Members that died, to be found again after any time. */
  readonly lost: Map<string, { endpoint: Endpoint; since: number }>
  /** When one of them last came back. */
  lastReturn: number
  /** Answers that sources outside the cluster may yet have. */
  readonly strangers: { left: number; at: number }
  ackPayload: Buffer
  lastGossip: number
  gossiping: boolean
  leaving: 'no' | 'telling' | 'done'
}

/** A cluster of one. `random` gives numbers from 0 up to 1. */
export function start(config: Config, now: number, random: () => number): State {
  const self = ownMember(config, now)
  const schedule = new Schedule<Timer>()
  const { probeInterval, pushPullInterval, rejoinInterval } = config.timing
  schedule.add(now + random() * probeInterval, { timer: 'probe' })
  schedule.add(now + random() * pushPullInterval, { timer: 'pushPull' })
  // Seeds are asked at once.
  schedule.add(config.seeds.length > 0 ? now : now + random() * rejoinInterval, { timer: 'rejoin' })
  return {
    config,
    self,
    schedule,
    members: new Map([[self.name, self]]),
    names: new Map([[endpointText(self.endpoint), self.name]]),
    suspicions: new Map(),
    queue: new Broadcasts(),
    userQueue: new Broadcasts(),
    awareness: 0,
    sequence: Math.floor(random() * 2 ** 31),
    probe: undefined,
    probeOrder: [],
    probeAt: 0,
    relays: new Map(),
    dials: new Map(),
    lost: new Map(),
    lastReturn: Number.NEGATIVE_INFINITY,
    strangers: { left: 0, at: now },
    ackPayload: Buffer.alloc(0),
    lastGossip: Number.NEGATIVE_INFINITY,
    gossiping: false,
    leaving: 'no',
  }
}
