import type { Row, Step } from '../core/rows.ts'

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
  'rate',
  'sysctl',
  'address',
  'fdb',
  'neighbour',
  'route',
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
export type Placed<R extends Row = Row> = { at: number; step: Step & { row: R } }

/** Steps by their ranks, in the order in which they are applied. */
export type Ordered = readonly (readonly Placed[])[]

export function ordered(steps: readonly Step[]): Placed[][] {
  const ranks: Placed[][] = RANKS.map(() => [])
  for (let at = 0; at < steps.length; at++) {
    const step = steps[at] as Step
    ranks[rank(step)]?.push({ at, step })
  }
  return ranks
}

/** Those steps that are about rows of the given kinds. Looks at ranks, not at steps: every room asks, of ten thousand steps too. */
export function about<K extends Row['kind']>(
  ordered: Ordered,
  ...kinds: K[]
): Placed<Extract<Row, { kind: K }>>[] {
  const asked: readonly string[] = kinds
  const ranks = ordered.filter(([first]) => first && asked.includes(first.step.row.kind))
  return ([] as Placed[]).concat(...ranks) as never
}

/** Takes the elements that are to be deleted out of what is to be done. */
export const takeDeletedElements = (ordered: Placed[][]): Ordered =>
  ordered.splice(RANKS.indexOf('delete element'), 1, [])

/** As many as one send of netlink takes. What is made for them is garbage before the next ones come, while that costs nothing. */
const PART = 256

export function* parts<R extends Row>(steps: readonly Placed<R>[]): Generator<readonly Placed<R>[]> {
  for (let at = 0; at < steps.length; at += PART) yield steps.slice(at, at + PART)
}
