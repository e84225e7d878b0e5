/**
 * Who owns a pool at its birth. Every host of the cluster has one vote for each pool, and owns it alone whom all others that it knows of
 * voted for, and who voted for itself.
 *
 * **Why never two.** A host votes for itself only with its first vote, and an owner never votes again. Of two owners that knew of each
 * other each would have voted for the other one, so not for itself. Those who didn't are kept apart as soon as they both know a
 * third host, for that one has one vote too. A vote is on disk before anybody hears of it.
 */
export type Ballot = { vote?: string | undefined; founded: boolean }

/**
 * The vote that a host has to cast now. Of hosts that voted for themselves at the same time the lowest one stays; the others
 * yield to it, and whoever voted for one that yielded follows.
 *
 * @param may whether it may stand itself.
 */
export function voteOf(
  self: string,
  mine: Ballot,
  others: ReadonlyMap<string, Ballot>,
  may: boolean,
): string | undefined {
  const { vote, founded } = mine
  if (founded) return vote
  const standing = [...others].filter(([host, ballot]) => ballot.vote === host)
  const lowest = standing.map(([host]) => host).sort()[0]
  const best = standing.find(([, ballot]) => ballot.founded)?.[0] ?? lowest
  if (vote === undefined) return best ?? (may ? self : undefined)
  if (vote === self) return best !== undefined && (best < self || others.get(best)?.founded) ? best : self
  const followed = others.get(vote)?.vote ?? vote
  return followed === self ? vote : followed
}
