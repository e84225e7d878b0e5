/** What others ask of us: an answer to a ping, a ping on their behalf. */
import { addressText, type Endpoint, endpointText } from './endpoint.ts'
import type { MessageOf } from './messages.ts'
import { answered, sourceFields } from './probe.ts'
import type { Turn } from './turn.ts'

/** Answers a second to sources that are no members: a node that has just joined is known to few. */
const strangersPerSecond = 50
const nothing = Buffer.alloc(0)

/**
 * A ping names the address to answer to, so it could aim our answer at anybody. It goes to a member's address, or back to
 * where the ping came from, then with nothing that would make it larger than the ping.
 */
export function heardPing(turn: Turn, ping: MessageOf<'ping'>, from: Endpoint): void {
  if (!isForUs(turn, ping)) return
  const known = memberEndpoint(turn, from, ping)
  const ack = { type: 'ack', SeqNo: ping.SeqNo } as const
  if (known) turn.send(known, { ...ack, Payload: turn.state.ackPayload })
  else if (isOwnSource(from, ping) && admitStranger(turn)) turn.sendAlone(from, { ...ack, Payload: nothing })
}

export const isForUs = (turn: Turn, { Node }: MessageOf<'ping'>): boolean =>
  Node === '' || Node === turn.state.self.name

type Sourced = MessageOf<'ping'> | MessageOf<'indirectPing'>

function source({ SourceAddr, SourcePort }: Sourced): Endpoint | undefined {
  const address = SourceAddr && addressText(SourceAddr)
  return address && SourcePort ? { address, port: SourcePort } : undefined
}

function memberEndpoint(turn: Turn, from: Endpoint, message: Sourced): Endpoint | undefined {
  return turn.memberAt(source(message) ?? from)?.endpoint
}

function isOwnSource(from: Endpoint, message: Sourced): boolean {
  const named = source(message)
  return !named || endpointText(named) === endpointText(from)
}

function admitStranger({ now, state: { strangers } }: Turn): boolean {
  const earned = ((now - strangers.at) * strangersPerSecond) / 1000
  strangers.left = Math.min(strangersPerSecond, strangers.left + earned)
  strangers.at = now
  if (strangers.left < 1) return false
  strangers.left--
  return true
}

/** Pings one member for another; for anybody else we would be a reflector. */
export function heardIndirectPing(turn: Turn, request: MessageOf<'indirectPing'>, from: Endpoint): void {
  const { state } = turn
  const to = memberEndpoint(turn, from, request)
  const address = addressText(request.Target)
  const target = address && turn.memberAt({ address, port: request.Port })
  if (!to || !target || (request.Node && request.Node !== target.name)) return
  const sequence = turn.nextSequence()
  state.relays.set(sequence, { to, sequence: request.SeqNo, nack: request.Nack })
  turn.after(state.config.timing.probeTimeout, { timer: 'relayEnd', sequence })
  turn.send(target.endpoint, { type: 'ping', SeqNo: sequence, Node: target.name, ...sourceFields(turn) })
}

export function heardAck(turn: Turn, ack: MessageOf<'ack'>): void {
  const { relays } = turn.state
  const relay = relays.get(ack.SeqNo)
  relays.delete(ack.SeqNo)
  if (relay) turn.send(relay.to, { type: 'ack', SeqNo: relay.sequence, Payload: nothing })
  else answered(turn, ack)
}

export function relayEnded(turn: Turn, sequence: number): void {
  const { relays } = turn.state
  const relay = relays.get(sequence)
  if (!relay) return
  relays.delete(sequence)
  if (relay.nack) turn.send(relay.to, { type: 'nack', SeqNo: relay.sequence })
}
