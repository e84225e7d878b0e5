/** How a node takes what it hears about others and about itself: memberlist's state.go, aliveNode and on. */
import { endpointText } from './endpoint.ts'
import { aliveMessage, type Claim, isGone, type Member, plausible, readClaim, type Status } from './member.ts'
import type { MessageOf } from './messages.ts'
import { confirm, deadline, suspicion } from './suspicion.ts'
import type { Turn } from './turn.ts'

/** So that a key in wrong hands costs bounded memory. */
const mostMembers = 65_536

export function heardAlive(turn: Turn, message: MessageOf<'alive'>): void {
  const { state } = turn
  const claim = readClaim(message, state.config.vsn)
  if (!claim) return
  const member = state.members.get(claim.name)
  if (member === state.self) heardOfSelf(turn, claim)
  else if (member) heardOfMember(turn, member, claim)
  else if (claim.incarnation > 0 && plausible(claim.incarnation, 0)) welcome(turn, claim)
}

function welcome(turn: Turn, claim: Claim): void {
  const { state } = turn
  if (state.members.size >= mostMembers) return
  const member: Member = { ...claim, status: 'dead', since: turn.now }
  state.members.set(claim.name, member)
  const at = Math.floor(turn.random() * (state.probeOrder.length + 1))
  state.probeOrder.splice(at, 0, claim.name)
  accept(turn, member, claim)
}

function heardOfMember(turn: Turn, member: Member, claim: Claim): void {
  const moved = endpointText(member.endpoint) !== endpointText(claim.endpoint)
  const newer = moved || claim.incarnation > member.incarnation
  if (moved && !reclaimable(turn, member)) conflict(turn, member, claim)
  else if (newer && plausible(claim.incarnation, member.incarnation)) accept(turn, member, claim)
}

function reclaimable(turn: Turn, { status, since }: Member): boolean {
  const { deadNodeReclaimTime } = turn.state.config.timing
  if (status === 'dead') return deadNodeReclaimTime > 0 && turn.now - since > deadNodeReclaimTime
  return status === 'left'
}

function conflict(turn: Turn, member: Member, { endpoint, incarnation }: Claim): void {
  // What is older than we know is an echo from before a move, not somebody who claims the name now.
  if (incarnation >= member.incarnation)
    turn.event({ type: 'conflict', member: { ...member }, claimed: endpoint })
}

function accept(turn: Turn, member: Member, claim: Claim): void {
  const { state } = turn
  const updated = !member.meta.equals(claim.meta)
  const { status } = member
  state.suspicions.delete(member.name)
  forgetEndpoint(turn, member)
  Object.assign(member, claim)
  state.names.set(endpointText(member.endpoint), member.name)
  turn.spread(aliveMessage(member), member.name)
  if (state.lost.delete(member.name)) state.lastReturn = turn.now
  become(turn, member, 'alive')
  if (status === 'dead' || status === 'left') turn.about('join', member)
  else {
    if (status === 'suspect') turn.about('alive', member)
    if (updated) turn.about('update', member)
  }
}

function forgetEndpoint(turn: Turn, { endpoint, name }: Member): void {
  const { names } = turn.state
  if (names.get(endpointText(endpoint)) === name) names.delete(endpointText(endpoint))
}

function become(turn: Turn, member: Member, status: Status): void {
  if (member.status === status) return
  member.status = status
  member.since = turn.now
}

/** What we said earlier, or in an earlier life, or what another node says that goes by our name. */
function heardOfSelf(turn: Turn, claim: Claim): void {
  const { self, leaving } = turn.state
  if (leaving !== 'no' || claim.incarnation < self.incarnation) return
  const moved = endpointText(claim.endpoint) !== endpointText(self.endpoint)
  const same = claim.meta.equals(self.meta) && claim.vsn.every((version, i) => version === self.vsn[i])
  if (moved) conflict(turn, self, claim)
  else if (claim.incarnation > self.incarnation || !same) refute(turn, claim.incarnation)
}

/** Says that we are alive, above whatever was said of us. */
function refute(turn: Turn, accused: number): void {
  if (!plausible(accused, turn.state.self.incarnation)) return
  announce(turn, accused)
  adjustAwareness(turn, 1)
}

/** Tells everybody about ourselves anew. */
export function announce(turn: Turn, above = turn.state.self.incarnation): void {
  const { self } = turn.state
  self.incarnation = Math.max(self.incarnation, above) + 1
  turn.outputs.push({ kind: 'persist', incarnation: self.incarnation })
  turn.spread(aliveMessage(self), self.name)
}

export function adjustAwareness(turn: Turn, by: number): void {
  const { state } = turn
  const most = state.config.timing.awarenessMaxMultiplier - 1
  state.awareness = Math.min(most, Math.max(0, state.awareness + by))
}

type Accusation = MessageOf<'suspect'> | MessageOf<'dead'>

function accused(turn: Turn, { Node, Incarnation }: Accusation): Member | undefined {
  const member = turn.state.members.get(Node)
  const credible = member && Incarnation >= member.incarnation && plausible(Incarnation, member.incarnation)
  return credible ? member : undefined
}

export function heardSuspect(turn: Turn, message: MessageOf<'suspect'>): void {
  const { state } = turn
  const member = accused(turn, message)
  if (!member) return
  const running = state.suspicions.get(member.name)
  if (running) {
    if (!confirm(running, message.From)) return
    watch(turn, member.name)
    turn.spread(message, member.name)
  } else if (member.status === 'alive') {
    if (member === state.self) refute(turn, message.Incarnation)
    else suspect(turn, member, message)
  }
}

function suspect(turn: Turn, member: Member, message: MessageOf<'suspect'>): void {
  const { state } = turn
  turn.spread(message, member.name)
  member.incarnation = message.Incarnation
  become(turn, member, 'suspect')
  state.suspicions.set(
    member.name,
    suspicion(message.From, turn.now, state.members.size, state.config.timing),
  )
  watch(turn, member.name)
  turn.about('suspect', member)
}

/** Sets the timer that ends a suspicion. */
function watch(turn: Turn, name: string): void {
  const running = turn.state.suspicions.get(name)
  if (running) turn.state.schedule.add(deadline(running), { timer: 'suspicion', name })
}

export function suspicionEnded(turn: Turn, name: string): void {
  const { state } = turn
  const member = state.members.get(name)
  const running = state.suspicions.get(name)
  if (!member || !running || turn.now < deadline(running)) return
  heardDead(turn, { type: 'dead', Incarnation: member.incarnation, Node: name, From: state.self.name })
}

export function heardDead(turn: Turn, message: MessageOf<'dead'>): void {
  const { state } = turn
  const member = accused(turn, message)
  if (!member) return
  if (member === state.self && state.leaving === 'no') refute(turn, message.Incarnation)
  else if (!isGone(member)) bury(turn, member, message)
}

function bury(turn: Turn, member: Member, message: MessageOf<'dead'>): void {
  const { state } = turn
  state.suspicions.delete(member.name)
  turn.spread(message, member.name)
  member.incarnation = message.Incarnation
  become(turn, member, message.Node === message.From ? 'left' : 'dead')
  if (member.status === 'dead') state.lost.set(member.name, { endpoint: member.endpoint, since: turn.now })
  if (member !== state.self) turn.about(member.status, member)
}

/** Those long gone are no members any more; the rejoin loop alone remembers the dead. */
export function forgetGone(turn: Turn): void {
  const { members } = turn.state
  const { gossipToTheDeadTime } = turn.state.config.timing
  for (const member of members.values()) {
    if (member === turn.state.self || !isGone(member) || turn.now - member.since <= gossipToTheDeadTime)
      continue
    members.delete(member.name)
    forgetEndpoint(turn, member)
    turn.about('forget', member)
  }
}
