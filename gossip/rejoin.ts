/**
 * memberlist forgets the dead after 30 s, and then a partition lasts for ever. Here those lost, and seeds that are no
 * members yet, are tried again for days: in the whole cluster about one attempt per lost node and interval.
 */
import { type Endpoint, endpointText } from './endpoint.ts'
import { pushPull } from './exchange.ts'
import { isGone } from './member.ts'
import type { Turn } from './turn.ts'

export function rejoinTick(turn: Turn): void {
  const { state } = turn
  if (state.leaving === 'no') rejoin(turn)
  turn.after(state.config.timing.rejoinInterval * (0.75 + turn.random() / 2), { timer: 'rejoin' })
}

function rejoin(turn: Turn): void {
  const { state } = turn
  forgetLost(turn)
  const missing = [...state.lost.values().map(({ endpoint }) => endpoint), ...state.config.seeds].filter(
    endpoint => isMissing(turn, endpoint),
  )
  // Who knows nobody asks everybody; an answer may take as long as any stream does, while others are asked.
  if (!turn.company) for (const peer of missing) pushPull(turn, peer, true)
  else if (isOurTurn(turn, missing.length))
    for (const peer of turn.shuffle(missing).slice(0, 1)) pushPull(turn, peer, true)
}

/** How long after one came back the others are thought to be there as well, in milliseconds. */
const healing = 20_000

/** One attempt by chance among all who miss somebody; while a partition heals, one by each. */
function isOurTurn(turn: Turn, missing: number): boolean {
  const { members, lastReturn } = turn.state
  if (turn.now - lastReturn < healing) return true
  const present = members
    .values()
    .filter(member => !isGone(member))
    .toArray().length
  return turn.random() * present < missing
}

function forgetLost({ state, now }: Turn): void {
  for (const [name, { since }] of state.lost)
    if (now - since > state.config.timing.rejoinTime) state.lost.delete(name)
}

function isMissing(turn: Turn, endpoint: Endpoint): boolean {
  const member = turn.memberAt(endpoint)
  return (!member || isGone(member)) && !dialling(turn, endpoint)
}

function dialling({ state }: Turn, endpoint: Endpoint): boolean {
  const text = endpointText(endpoint)
  return state.dials.values().some(({ purpose, to }) => purpose === 'pushPull' && endpointText(to) === text)
}
