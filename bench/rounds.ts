import { median } from './table.ts'

/** What is compared, by name: each runs once a round and answers figures by name. */
export type Contenders = Record<string, () => Promise<Record<string, number>>>
export type Medians = Record<string, Record<string, number>>

/**
 * Lets the contenders take turns, each round beginning with another one, so that a slow minute of the machine meets all of
 * them. Answers the median of each figure. The first round is not counted.
 */
export async function rounds(contenders: Contenders, times: number): Promise<Medians> {
  const seen: Record<string, Record<string, number[]>> = {}
  const names = Object.keys(contenders)
  for (let round = 0; round <= times; round++)
    for (let turn = 0; turn < names.length; turn++) {
      const name = names[(round + turn) % names.length] as string
      const figures = await contenders[name]?.()
      if (round > 0) keep(seen, name, figures ?? {})
    }
  return medians(seen)
}

function keep(
  seen: Record<string, Record<string, number[]>>,
  name: string,
  figures: Record<string, number>,
): void {
  const mine = seen[name] ?? {}
  seen[name] = mine
  for (const [what, value] of Object.entries(figures)) {
    const values = mine[what] ?? []
    mine[what] = values
    values.push(value)
  }
}

function medians(seen: Record<string, Record<string, number[]>>): Medians {
  const of = (figures: Record<string, number[]>) =>
    Object.fromEntries(Object.entries(figures).map(([what, values]) => [what, median(values)]))
  return Object.fromEntries(Object.entries(seen).map(([name, figures]) => [name, of(figures)]))
}
