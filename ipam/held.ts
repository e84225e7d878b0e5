import type { Change } from '../core/records.ts'
import type { Addresses } from './addresses.ts'
import { formatAddress } from './prefix.ts'
import type { Grant, Held } from './reclaim.ts'

export const dropLease = (id: string): Change => ({ table: 'lease', id })

export function leaseId({ record, prefix }: Held, value: bigint): string {
  return `${record.id}/${formatAddress(prefix.family, value)}`
}

/** Which addresses rested longest isn't recorded: those behind the one that was given last did, mostly. */
export function startBehindNewest(addresses: Addresses<Grant>): void {
  const newest = addresses
    .grants()
    .reduce(
      (best, [value, { created }]) =>
        created > best.created || (created === best.created && value > best.value)
          ? { value, created }
          : best,
      { value: 0n, created: 0 },
    )
  addresses.startAfter(newest.value)
}
