import { heardAck, heardIndirectPing, heardPing, relayEnded } from './answers.ts'
import { broadcast, join, leave, move, sendUser, setAckPayload, setMeta } from './commands.ts'
import type { Endpoint } from './endpoint.ts'
import { pushPullTick } from './exchange.ts'
import type { Message, MessageOf } from './messages.ts'
import { heardNack, probeFailed, probeNext, probeTimedOut } from './probe.ts'
import { rejoinTick } from './rejoin.ts'
import { heardAlive, heardDead, heardSuspect, suspicionEnded } from './rules.ts'
import { gossip } from './spread.ts'
import type { Input, InputOf, Output, State, Timer } from './state.ts'
import { accepted, ended } from './streams.ts'
import { Turn } from './turn.ts'

/**
 * The whole protocol: what follows from one input, at time `now` in milliseconds of a clock that never goes back. The state
 * is changed in place; the same state, input, time and random numbers give the same outputs, whose order is binding.
 * Throws RangeError for a command that cannot be, and changes nothing then.
 */
export function step(state: State, input: Input, now: number, random: () => number): Output[] {
  const turn = new Turn(state, now, random)
  const take = inputs[input.kind] as (turn: Turn, input: Input) => void
  take(turn, input)
  return turn.outputs
}

const inputs: { [K in Input['kind']]: (turn: Turn, input: InputOf<K>) => void } = {
  packet: heardPacket,
  stream: accepted,
  answer: (turn, { dial, message }) => ended(turn, dial, message),
  hangup: (turn, { dial, reason }) => ended(turn, dial, reason),
  tick,
  join,
  move,
  leave,
  meta: setMeta,
  ackPayload: setAckPayload,
  broadcast,
  send: sendUser,
}

function heardPacket(turn: Turn, { from, messages }: InputOf<'packet'>): void {
  for (const message of messages) {
    const hear = packets[message.type] as (turn: Turn, message: Message, from: Endpoint) => void
    hear(turn, message, from)
  }
}

type Hear<T extends Message['type']> = (turn: Turn, message: MessageOf<T>, from: Endpoint) => void

const packets: { [T in Message['type']]: Hear<T> } = {
  ping: heardPing,
  indirectPing: heardIndirectPing,
  ack: heardAck,
  nack: heardNack,
  suspect: heardSuspect,
  alive: heardAlive,
  dead: heardDead,
  user: (turn, { payload }, from) => turn.event({ type: 'user', payload, from }),
  err() {},
}

/** A process that was stopped for longer than this was out of the world: the time it missed counts for nobody. */
const longestLateness = 500

function tick(turn: Turn): void {
  const { state, now } = turn
  const late = now - state.schedule.next
  if (late > longestLateness) postpone(state, late)
  for (let timer = state.schedule.take(now); timer; timer = state.schedule.take(now)) ring(turn, timer)
}

function postpone(state: State, by: number): void {
  state.schedule.shift(by)
  if (state.probe) state.probe.end += by
  for (const suspicion of state.suspicions.values()) suspicion.start += by
}

function ring(turn: Turn, timer: Timer): void {
  const due = timers[timer.timer] as (turn: Turn, timer: Timer) => void
  due(turn, timer)
}

const timers: { [T in Timer['timer']]: (turn: Turn, timer: Extract<Timer, { timer: T }>) => void } = {
  probe: probeNext,
  probeTimeout: (turn, { sequence }) => probeTimedOut(turn, sequence),
  probeEnd: (turn, { sequence }) => probeFailed(turn, sequence),
  relayEnd: (turn, { sequence }) => relayEnded(turn, sequence),
  suspicion: (turn, { name }) => suspicionEnded(turn, name),
  gossip,
  pushPull: pushPullTick,
  rejoin: rejoinTick,
}
