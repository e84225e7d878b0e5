/** Failure detection: SWIM's probe with Lifeguard's health score, as in memberlist's probeNode. */
import { addressBytes } from './endpoint.ts'
import { isGone, type Member, understands } from './member.ts'
import type { MessageOf } from './messages.ts'
import { adjustAwareness, forgetGone, heardSuspect } from './rules.ts'
import type { Probe } from './state.ts'
import type { Turn } from './turn.ts'

/** Probes the next member in turn; without one, asks again an interval later. */
export function probeNext(turn: Turn): void {
  const { state } = turn
  const member = state.leaving === 'no' ? nextTarget(turn) : undefined
  if (member) probe(turn, member)
  else turn.after(state.config.timing.probeInterval, { timer: 'probe' })
}

function probe(turn: Turn, member: Member): void {
  const { state } = turn
  const { probeInterval, probeTimeout } = state.config.timing
  const wait = probeInterval * (state.awareness + 1)
  const sequence = turn.nextSequence()
  state.probe = {
    sequence,
    name: member.name,
    sent: turn.now,
    end: turn.now + wait,
    nacksWanted: 0,
    nacks: 0,
  }
  turn.after(probeTimeout, { timer: 'probeTimeout', sequence })
  turn.after(wait, { timer: 'probeEnd', sequence })
  ping(turn, member, sequence)
}

/** One that is not believed alive is told so at once, that it may refute: Lifeguard's buddy system. */
function ping(turn: Turn, member: Member, sequence: number): void {
  const { self } = turn.state
  const message = { type: 'ping', SeqNo: sequence, Node: member.name, ...sourceFields(turn) } as const
  const { incarnation: Incarnation, name: Node } = member
  if (member.status === 'alive') turn.send(member.endpoint, message)
  else turn.sendAlone(member.endpoint, message, { type: 'suspect', Incarnation, Node, From: self.name })
}

export function sourceFields(turn: Turn) {
  const { endpoint, name } = turn.state.self
  return { SourceAddr: addressBytes(endpoint.address), SourcePort: endpoint.port, SourceNode: name }
}

/** Round robin over a list that is shuffled at each end. */
function nextTarget(turn: Turn): Member | undefined {
  const { state } = turn
  for (let tried = 0; tried <= state.members.size; tried++) {
    if (state.probeAt >= state.probeOrder.length) reorder(turn)
    const member = state.members.get(state.probeOrder[state.probeAt++] ?? '')
    if (member && !isGone(member)) return member
  }
  return undefined
}

function reorder(turn: Turn): void {
  const { state } = turn
  forgetGone(turn)
  state.probeOrder = turn.shuffle([...state.members.keys()].filter(name => name !== state.self.name))
  state.probeAt = 0
}

/** No answer in time: asks others to ping it, and asks it over a stream, which tells lost datagrams from a lost node. */
export function probeTimedOut(turn: Turn, sequence: number): void {
  const { state } = turn
  const { probe } = state
  const member = probe?.sequence === sequence ? state.members.get(probe.name) : undefined
  if (!probe || !member) return
  const helpers = turn.pick(
    state.config.timing.indirectChecks,
    other => other !== member && other.status === 'alive',
  )
  for (const helper of helpers) askHelper(turn, helper, member, sequence)
  probe.nacksWanted = helpers.filter(helper => understands(helper, 4)).length
  if (!understands(member, 3)) return
  const message = { type: 'ping', SeqNo: sequence, Node: member.name, ...sourceFields(turn) } as const
  turn.dial({ purpose: 'probe', to: member.endpoint, sequence }, message, probe.end - turn.now)
}

function askHelper(turn: Turn, helper: Member, member: Member, sequence: number): void {
  turn.send(helper.endpoint, {
    type: 'indirectPing',
    SeqNo: sequence,
    Target: addressBytes(member.endpoint.address),
    Port: member.endpoint.port,
    Node: member.name,
    Nack: understands(helper, 4),
    ...sourceFields(turn),
  })
}

export function heardNack(turn: Turn, { SeqNo }: MessageOf<'nack'>): void {
  const { probe } = turn.state
  if (probe?.sequence === SeqNo) probe.nacks++
}

/** An answer to a ping of ours, by whatever way. */
export function answered(turn: Turn, { SeqNo, Payload }: MessageOf<'ack'>): void {
  const { state } = turn
  const { probe } = state
  if (probe?.sequence !== SeqNo) return
  const member = state.members.get(probe.name)
  if (member)
    turn.event({ type: 'ack', member: { ...member }, payload: Payload, took: turn.now - probe.sent })
  adjustAwareness(turn, -1)
  finish(turn, probe)
}

/** A nack that is missing too says that the fault may be ours. */
export function probeFailed(turn: Turn, sequence: number): void {
  const { state } = turn
  const { probe } = state
  if (probe?.sequence !== sequence) return
  adjustAwareness(turn, probe.nacksWanted ? Math.max(0, probe.nacksWanted - probe.nacks) : 1)
  const member = state.members.get(probe.name)
  finish(turn, probe)
  if (!member) return
  const { incarnation: Incarnation, name: Node } = member
  heardSuspect(turn, { type: 'suspect', Incarnation, Node, From: state.self.name })
}

function finish(turn: Turn, probe: Probe): void {
  turn.state.probe = undefined
  const next = probe.sent + turn.state.config.timing.probeInterval
  turn.after(Math.max(0, next - turn.now), { timer: 'probe' })
}
