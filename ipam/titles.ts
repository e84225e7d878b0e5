import type { Deed } from './blocks.ts'

/** What is signed of a deed. */
export const deedText = ({ from, to, blocks }: Omit<Deed, 'seal'>): string =>
  `${from} ${to} ${blocks.toSorted((a, b) => a - b).join()}`

/** What tells whose the blocks of a pool are. */
export type Titles = {
  founder: string | undefined
  /** Who has a host's deed of a block. */
  receiver(from: string, block: number): string | undefined
  /** Who took the place of a host that was forgotten. */
  heirOf(host: string): string | undefined
}

/** From founder to giver to receiver no way is longer, and a ring of gifts has no end. */
const longest = 32

/**
 * Whose a block is: what the founder has given away is the receiver's, and so on. Who says that it is his, and nobody gave it to him, is not
 * asked. Undefined while it isn't known who had the pool at its birth.
 */
export function ownerOf(block: number, { founder, receiver, heirOf }: Titles): string | undefined {
  let owner = founder
  let giver: string | undefined
  for (let steps = 0; owner !== undefined && steps < longest; steps++) {
    const heir = heirOf(owner)
    const next = heir !== undefined && heir !== giver ? heir : receiver(owner, block)
    if (next === undefined) return owner
    giver = owner
    owner = next
  }
  return owner
}

/** With one more; it takes the place of those that it says all of. */
export function filed(deeds: readonly Deed[] = [], deed: Deed): Deed[] {
  const all = new Set(deed.blocks)
  const isIn = (each: Deed) =>
    each.from === deed.from && each.to === deed.to && each.blocks.every(block => all.has(block))
  return [...deeds.filter(each => !isIn(each)), deed]
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
