import type { Step } from '../core/rows.ts'

/**
 * The order in which one apply() works, so that steps of one kind can travel together; equal ranks keep their order.
 * Elements that are deleted go first, for a verdict may hold the chain that is to go, and others come last, when their
 * sets and chains are there. A shortcut goes before its link goes. Sysctls come before addresses: disable_ipv6 refuses them.
 */
const RANKS = [
  'delete element',
  'delete shortcut',
  'delete chain',
  'set',
  'chain',
  'delete set',
  'link',
  'sysctl',
  'address',
  'fdb',
  'neighbour',
  'shortcut',
  'port',
  'accept',
  'element',
]

function rank({ row, verb }: Step): number {
  const special = RANKS.indexOf(`${verb} ${row.kind}`)
  return special < 0 ? RANKS.indexOf(row.kind) : special
}

/** A step with its place in the caller's list, where its outcome belongs. */
export type Placed<R extends Step['row'] = Step['row']> = { at: number; step: Step & { row: R } }

/** The steps in the order in which they are applied. */
export function ordered(steps: readonly Step[]): Placed[] {
  return steps.map((step, at) => ({ at, step })).sort((a, b) => rank(a.step) - rank(b.step) || a.at - b.at)
}

/** Those steps that are about rows of the given kinds. */
export function about<K extends Step['row']['kind']>(
  placed: readonly Placed[],
  ...kinds: K[]
): Placed<Extract<Step['row'], { kind: K }>>[] {
  return placed.filter(({ step }) => (kinds as string[]).includes(step.row.kind)) as never
}
