/** A tick of gossip: what waits to be passed on goes to a few members. */
import type { Member } from './member.ts'
import type { Turn } from './turn.ts'

export function gossip(turn: Turn): void {
  const { state } = turn
  const { gossipNodes, gossipInterval } = state.config.timing
  state.lastGossip = turn.now
  for (const { endpoint } of turn.pick(gossipNodes, member => listens(turn, member))) {
    const messages = turn.batch()
    if (messages.length === 0) break
    turn.packet(endpoint, messages)
  }
  farewell(turn)
  state.gossiping = state.queue.size + state.userQueue.size > 0
  if (state.gossiping) turn.after(gossipInterval, { timer: 'gossip' })
}

/** The dead too, for a while: one that is wrongly so can refute only what it hears. */
function listens(turn: Turn, { status, since }: Member): boolean {
  if (status === 'dead') return turn.now - since <= turn.state.config.timing.gossipToTheDeadTime
  return status !== 'left'
}

/** Leaving is done when its message has been sent often enough. */
export function farewell(turn: Turn): void {
  const { state } = turn
  if (state.leaving !== 'telling' || (turn.company && state.queue.has(state.self.name))) return
  state.leaving = 'done'
  turn.outputs.push({ kind: 'left' })
}
