import type { NetlinkError, TransactionError } from '@tsnet/netlink'

/** Whose messages made a transaction fail, with the first reason of each; `owners` are those of the messages, one after the other. */
export function blame<T>(owners: readonly T[], { failures }: TransactionError): Map<T, NetlinkError> {
  const guilty = new Map<T, NetlinkError>()
  for (const each of failures) {
    const owner = owners[each.index ?? -1]
    if (owner !== undefined && !guilty.has(owner)) guilty.set(owner, each)
  }
  return guilty
}
