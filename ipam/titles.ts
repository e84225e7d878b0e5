import type { Given } from './blocks.ts'

/** What tells whose the blocks of a pool are. Each part is the word of the one host that has a right to it. */
export type Titles = {
  founder: string | undefined
  /** What a host says that it gave away. */
  given(host: string): Given | undefined
  /** Who took the place of a host that was forgotten. */
  heirOf(host: string): string | undefined
}

/** From founder to giver to receiver no way is longer, and a ring of gifts has no end. */
const longest = 32

/**
 * Whose a block is: what the founder has given away is the receiver's, and so on. Who says that it is his, and nobody gave it to him, is not
 * asked. Undefined while it isn't known who had the pool at its birth.
 */
export function ownerOf(block: number, { founder, given, heirOf }: Titles): string | undefined {
  let owner = founder
  let giver: string | undefined
  for (let steps = 0; owner !== undefined && steps < longest; steps++) {
    const heir = heirOf(owner)
    const next = heir !== undefined && heir !== giver ? heir : receiver(given(owner), block)
    if (next === undefined) return owner
    giver = owner
    owner = next
  }
  return owner
}

const receiver = (given: Given = {}, block: number): string | undefined =>
  Object.entries(given).find(([, blocks]) => blocks.includes(block))?.[0]

/** Both; what the later one says of a block goes before. */
export function merged(earlier: Given = {}, later: Given = {}): Given {
  const again = new Set(Object.values(later).flat())
  const all = Object.entries(earlier).map(([host, blocks]): [string, number[]] => [
    host,
    [...blocks.filter(block => !again.has(block)), ...(later[host] ?? [])],
  ])
  const rest = Object.entries(later).filter(([host]) => !(host in earlier))
  return Object.fromEntries([...all, ...rest].filter(([, blocks]) => blocks.length > 0))
}

/** The host that those who voted hold to be the founder: by one's own vote, or else by most of the others'. */
export function founderOf(own: string | undefined, votes: Iterable<string | undefined>): string | undefined {
  if (own !== undefined) return own
  const counts = Map.groupBy(
    [...votes].filter(vote => vote !== undefined),
    vote => vote,
  )
  return [...counts].sort(([a, x], [b, y]) => y.length - x.length || (a < b ? -1 : 1))[0]?.[0]
}
