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

const plain = new Map(RANKS.map((name, at) => [name, at]))
const deleting = new Map(RANKS.flatMap((name, at) => (/^delete /.test(name) ? [[name.slice(7), at]] : [])))

function rank({ row: { kind }, verb }: Step): number {
  return (verb === 'delete' ? deleting.get(kind) : undefined) ?? (plain.get(kind) as number)
}

/** A step with its place in the caller's list, where its outcome belongs. */
export type Placed<R extends Step['row'] = Step['row']> = { at: number; step: Step & { row: R } }

/** The steps in the order in which they are applied. */
export function ordered(steps: readonly Step[]): Placed[] {
  const places: Placed[][] = RANKS.map(() => [])
  for (const [at, step] of steps.entries()) places[rank(step)]?.push({ at, step })
  return places.flat()
}

/** Those steps that are about rows of the given kinds. */
export function about<K extends Step['row']['kind']>(
  placed: readonly Placed[],
  ...kinds: K[]
): Placed<Extract<Step['row'], { kind: K }>>[] {
  return placed.filter(({ step }) => (kinds as string[]).includes(step.row.kind)) as never
}
