/** Push/pull: two nodes tell each other all they know. */
import type { Vsn } from './config.ts'
import type { Endpoint } from './endpoint.ts'
import { type Member, nodeState, statuses } from './member.ts'
import type { NodeState } from './messages.ts'
import { heardAlive, heardDead, heardSuspect } from './rules.ts'
import type { PushPull } from './stream.ts'
import type { Turn } from './turn.ts'

/** Nodes up to which the interval is as configured; with each doubling beyond it grows by as much again. */
const scaleFrom = 32

export function pushPullTick(turn: Turn): void {
  const { members, config, leaving } = turn.state
  const [peer] = leaving === 'no' ? turn.pick(1, member => member.status === 'alive') : []
  if (peer) pushPull(turn, peer.endpoint, false)
  turn.after(config.timing.pushPullInterval * pushPullScale(members.size), { timer: 'pushPull' })
}

export const pushPullScale = (nodes: number): number =>
  nodes <= scaleFrom ? 1 : Math.ceil(Math.log2(nodes) - Math.log2(scaleFrom)) + 1

export function pushPull(turn: Turn, to: Endpoint, join: boolean, wait?: number): void {
  turn.dial({ purpose: 'pushPull', to, join }, localState(turn, join), wait)
}

/** Without the user state, which is the agent's to add. */
export function localState(turn: Turn, join: boolean): PushPull {
  const nodes = [...turn.state.members.values()].map(nodeState)
  return { type: 'pushPull', join, nodes, userState: Buffer.alloc(0) }
}

/** Returns why not, if it was not merged. */
export function merge(turn: Turn, from: Endpoint, remote: PushPull): string | undefined {
  const reason = incompatible(turn, remote.nodes)
  if (reason) {
    turn.event({ type: 'refused', from, reason })
    return reason
  }
  for (const node of remote.nodes) mergeNode(turn, node)
  const { userState, join } = remote
  if (userState.length) turn.event({ type: 'userState', userState, join, from })
  return undefined
}

/** Nobody is dead by hearsay: it is suspected first, and may refute. */
function mergeNode(turn: Turn, { Name: Node, State, ...rest }: NodeState): void {
  const { Incarnation } = rest
  const status = statuses[State]
  if (status === 'alive') heardAlive(turn, { type: 'alive', Node, ...rest })
  else if (status === 'left') heardDead(turn, { type: 'dead', Incarnation, Node, From: Node })
  else if (status) heardSuspect(turn, { type: 'suspect', Incarnation, Node, From: turn.state.self.name })
}

/** memberlist's verifyProtocol: every node alive on either side must speak what every other one understands. */
function incompatible(turn: Turn, remote: readonly NodeState[]): string | undefined {
  const theirs = remote
    .filter(({ State, Vsn }) => State === 0 && Vsn.length)
    .map(({ Name, Vsn }) => speaker(Name, Vsn))
  const ours = [...turn.state.members.values()].filter(isAlive).map(({ name, vsn }) => ({ name, vsn }))
  const all = [...ours, ...theirs]
  return outside(all, 0, 'protocol') ?? outside(all, 3, 'application protocol')
}

type Speaker = { name: string; vsn: Vsn }
const isAlive = ({ status }: Member): boolean => status === 'alive'
const speaker = (name: string, bytes: Buffer): Speaker => ({
  name,
  vsn: Array.from({ length: 6 }, (_, i) => bytes[i] ?? 0) as unknown as Vsn,
})

/** `offset` is where in a Vsn least, most and current version stand. */
function outside(all: readonly Speaker[], offset: 0 | 3, what: string): string | undefined {
  const at = ({ vsn }: Speaker, i: 0 | 1 | 2): number => vsn[(offset + i) as 0 | 1 | 2 | 3 | 4 | 5]
  const least = all.reduce((version, each) => Math.max(version, at(each, 0)), 0)
  const most = all.reduce((version, each) => Math.min(version, at(each, 1)), 255)
  const odd = all.find(each => at(each, 2) < least || at(each, 2) > most)
  return (
    odd && `node '${odd.name}' speaks ${what} version ${at(odd, 2)}, where ${least} to ${most} is understood`
  )
}
