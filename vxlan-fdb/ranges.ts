/** Sequence numbers from the first to the last, both included. */
export type Range = readonly [number, number]

/** Ranges in order, with gaps between them. */
export type Ranges = Range[]

export function cover(ranges: Ranges, [from, to]: Range): Ranges {
  if (to < from) return ranges
  const before = ranges.filter(range => range[1] < from - 1)
  const after = ranges.filter(range => range[0] > to + 1)
  const touched = ranges.slice(before.length, ranges.length - after.length)
  const merged: Range = [Math.min(from, touched[0]?.[0] ?? from), Math.max(to, touched.at(-1)?.[1] ?? to)]
  return [...before, merged, ...after]
}

export const covers = (ranges: Ranges, [from, to]: Range): boolean =>
  ranges.some(range => range[0] <= from && to <= range[1])

/** Up to where nothing is missing. */
export const complete = (ranges: Ranges): number => (ranges[0]?.[0] === 1 ? ranges[0][1] : 0)

/** What is missing between 1 and `last`. */
export function gaps(ranges: Ranges, last: number): Ranges {
  const edges = [0, ...ranges.flat(), last + 1]
  const between: Range[] = []
  for (let at = 0; at < edges.length; at += 2) {
    const [from, to] = [(edges[at] ?? 0) + 1, Math.min((edges[at + 1] ?? 0) - 1, last)]
    if (from <= to) between.push([from, to])
  }
  return between
}

/** What both have. */
export function common(a: Ranges, b: Ranges): Ranges {
  return a.flatMap(one =>
    b.flatMap(other => {
      const both: Range = [Math.max(one[0], other[0]), Math.min(one[1], other[1])]
      return both[0] <= both[1] ? [both] : []
    }),
  )
}
