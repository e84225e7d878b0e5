import type { Endpoint, Network, Pool, Records } from '../core/records.ts'
import type { Addresses } from './addresses.ts'
import { formatAddress, type Prefix } from './prefix.ts'

/** `created` in milliseconds since 1970; `registration` of dockerd in which the address was last asked for. */
export type Grant = { gateway: boolean; created: number; registration: number }

/** A pool that was handed out. */
export type Held = {
  record: Pool
  prefix: Prefix
  addresses: Addresses<Grant>
  registration: number
  /** Milliseconds since 1970 of when this process first saw it. */
  since: number
}

/** Pools and addresses that our own records name, whatever Docker says. */
export type InUse = { pools: Set<string>; addresses: Set<string> }

export function inUse({ networks, endpoints }: Records): InUse {
  const subnets = [...networks.values()].flatMap(subnetsOf)
  const addresses = [
    ...subnets.flatMap(({ gateway, aux }) => [gateway, ...Object.values(aux)]),
    ...[...networks.values()].flatMap(({ own }) => Object.values(own ?? {})),
    ...[...endpoints.values()].flatMap(addressesOf),
  ]
  return {
    pools: new Set(subnets.map(({ pool }) => pool)),
    addresses: new Set(addresses.flatMap(address => address?.split('/')[0] ?? [])),
  }
}

/**
 * What of a pool was made before a time and is named by nobody. `used` are the addresses that Docker has in it, undefined when
 * Docker doesn't know the pool. The gateway of a pool that is in use always stays.
 */
export function forgotten(
  held: Held,
  used: ReadonlySet<string> | undefined,
  known: InUse,
  before: number,
): { pool: boolean; addresses: bigint[] } {
  const kept = used !== undefined || known.pools.has(held.record.pool)
  const named = (address: string) => used?.has(address) || known.addresses.has(address)
  const grants = [...held.addresses.grants()]
  const addresses = grants
    .filter(([, { gateway, created }]) => created <= before && !(kept && gateway))
    .filter(([value]) => !named(formatAddress(held.prefix.family, value)))
    .map(([value]) => value)
  return { pool: !kept && held.since <= before && addresses.length === grants.length, addresses }
}

const subnetsOf = ({ ipv4, ipv6 }: Network) => [...ipv4, ...ipv6]
const addressesOf = ({ ipv4, ipv6 }: Endpoint) => [ipv4, ipv6]
