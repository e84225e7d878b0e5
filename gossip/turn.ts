import { retransmitLimit, sizeOf } from './broadcasts.ts'
import { type Endpoint, endpointText } from './endpoint.ts'
import { isGone, type Member, understands } from './member.ts'
import { encodeMessage, type Message } from './messages.ts'
import { mostCompound } from './packet.ts'
import type { Change, Dial, Event, Output, State, Timer } from './state.ts'
import type { StreamMessage } from './stream.ts'

/** Bytes of a compound's own head. */
const compoundHead = 2
const framing = 2

/** One input's way through the state: what time it is, what was drawn, what is to be done. */
export class Turn {
  readonly state: State
  readonly now: number
  readonly random: () => number
  readonly outputs: Output[] = []

  constructor(state: State, now: number, random: () => number) {
    this.state = state
    this.now = now
    this.random = random
  }

  event(event: Event): void {
    this.outputs.push({ kind: 'event', event })
  }

  about(type: Change, member: Member): void {
    this.event({ type, member: { ...member } })
  }

  after(delay: number, timer: Timer): void {
    this.state.schedule.add(this.now + delay, timer)
  }

  nextSequence(): number {
    this.state.sequence = (this.state.sequence + 1) % 2 ** 32
    return this.state.sequence
  }

  /** The member last heard of at an endpoint. */
  memberAt(endpoint: Endpoint): Member | undefined {
    return this.state.members.get(this.state.names.get(endpointText(endpoint)) ?? '')
  }

  /** Sends a message, and what waits to be passed on in the room left. */
  send(to: Endpoint, message: Message): void {
    const first = encodeMessage(message)
    const room = this.state.config.packetSize - compoundHead - framing - first.length
    this.packet(to, [first, ...this.broadcasts(room, mostCompound - 1)])
  }

  sendAlone(to: Endpoint, ...messages: Message[]): void {
    this.packet(to, messages.map(encodeMessage))
  }

  packet(to: Endpoint, messages: readonly Buffer[]): void {
    this.outputs.push({ kind: 'packet', to, messages, crc: understands(this.memberAt(to), 5) })
  }

  /** What waits to be passed on and fits `room` bytes. */
  broadcasts(room: number, most = mostCompound): Buffer[] {
    const { queue, userQueue, config, members } = this.state
    const limit = retransmitLimit(config.timing.retransmitMult, members.size)
    const own = queue.take(room, limit, most)
    return [...own, ...userQueue.take(room - sizeOf(own), limit, most - own.length)]
  }

  /** Batch of a gossip tick. */
  batch(): Buffer[] {
    return this.broadcasts(this.state.config.packetSize - compoundHead)
  }

  /** Passes a message on to everybody; an older one of that name need not go on. */
  spread(message: Message, name: string): void {
    this.state.queue.add(encodeMessage(message), name)
    this.wakeGossip()
  }

  /** Gossip ticks only while there is something to pass on. */
  wakeGossip(): void {
    const { state } = this
    if (state.gossiping) return
    state.gossiping = true
    const next = state.lastGossip + state.config.timing.gossipInterval
    this.after(Math.max(0, next - this.now), { timer: 'gossip' })
  }

  /** Opens a stream; `wait` is how long, in milliseconds, if the usual deadline is too late. */
  dial(dial: Dial, message: StreamMessage, wait?: number): void {
    const id = this.nextSequence()
    this.state.dials.set(id, dial)
    this.outputs.push({ kind: 'dial', dial: id, to: dial.to, message, wait })
  }

  /** Up to `count` members, in random order, other than ourselves. */
  pick(count: number, fits: (member: Member) => boolean): Member[] {
    const { members, self } = this.state
    return this.shuffle([...members.values()].filter(member => member !== self && fits(member))).slice(
      0,
      count,
    )
  }

  /** Fisher and Yates. */
  shuffle<T>(values: T[]): T[] {
    for (let i = values.length - 1; i > 0; i--) {
      const j = Math.floor(this.random() * (i + 1))
      ;[values[i], values[j]] = [values[j] as T, values[i] as T]
    }
    return values
  }

  /** Some other member is there to be told something. */
  get company(): boolean {
    const { members, self } = this.state
    return members.values().some(member => member !== self && !isGone(member))
  }
}
