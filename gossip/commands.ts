import { largestMeta } from './config.ts'
import { pushPull } from './exchange.ts'
import { encodeMessage } from './messages.ts'
import { announce, heardDead } from './rules.ts'
import { farewell } from './spread.ts'
import type { InputOf, State } from './state.ts'
import type { Turn } from './turn.ts'

/** Bytes of compound, framing and type around a user message. */
const userOverhead = 5

/** Most bytes of a user message in a datagram. A larger one would wait in the queue for ever. */
export const largestUserMessage = (state: State): number => state.config.packetSize - userOverhead

export function join(turn: Turn, { peers }: InputOf<'join'>): void {
  for (const peer of peers) pushPull(turn, peer, true)
}

/**
 * Nobody believes that a member which is well has another address now, unless it has left the one before. So peers are told just that, with an
 * incarnation of the last life, and meet this one then.
 */
export function move(turn: Turn, { peers }: InputOf<'move'>): void {
  const { name, incarnation } = turn.state.self
  for (const peer of peers)
    turn.send(peer, { type: 'dead', Incarnation: incarnation - 1, Node: name, From: name })
  for (const peer of peers) pushPull(turn, peer, true)
}

export function leave(turn: Turn): void {
  const { state } = turn
  if (state.leaving !== 'no') return
  state.leaving = 'telling'
  const { name, incarnation } = state.self
  heardDead(turn, { type: 'dead', Incarnation: incarnation, Node: name, From: name })
  farewell(turn)
}

export function setMeta(turn: Turn, { meta }: InputOf<'meta'>): void {
  if (meta.length > largestMeta)
    throw new RangeError(`meta data has ${largestMeta} bytes at most, not ${meta.length}`)
  turn.state.self.meta = meta
  announce(turn)
}

export function setAckPayload({ state }: Turn, { payload }: InputOf<'ackPayload'>): void {
  state.ackPayload = payload
}

export function broadcast(turn: Turn, { payload, name }: InputOf<'broadcast'>): void {
  turn.state.userQueue.add(encodeMessage({ type: 'user', payload: fitting(turn, payload) }), name)
  turn.wakeGossip()
}

export function sendUser(turn: Turn, { to, payload, reliable }: InputOf<'send'>): void {
  if (reliable) turn.dial({ purpose: 'user', to }, { type: 'user', payload })
  else turn.send(to, { type: 'user', payload: fitting(turn, payload) })
}

function fitting({ state }: Turn, payload: Buffer): Buffer {
  const most = largestUserMessage(state)
  if (payload.length <= most) return payload
  throw new RangeError(`a message in a datagram has ${most} bytes at most, not ${payload.length}`)
}
