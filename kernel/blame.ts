import type { NetlinkError, TransactionError } from '@tsnet/netlink'

/**
 * Whose messages made a transaction fail, with the first reason of each; `owners` are those of the messages, one after the other. One that is
 * nobody's is nobody's guilt.
 */
export function blame<T>(
  owners: readonly (T | undefined)[],
  { failures }: Pick<TransactionError, 'failures'>,
): Map<T, NetlinkError> {
  const guilty = new Map<T, NetlinkError>()
  for (const each of failures) {
    const owner = owners[each.index ?? -1]
    if (owner !== undefined && !guilty.has(owner)) guilty.set(owner, each)
  }
  return guilty
}
