import { Refused } from '../core/errors.ts'
import type { Granted, Lease, Pool } from '../core/records.ts'
import { formatPrefix, includes, type Prefix, parseAddress } from './prefix.ts'

/** The DHCP servers of the LANs behind this host's links. Throws Refused telling why nothing was granted. */
export type Dhcp = {
  /** What a new client would be offered, without taking it. */
  offer(link: string): Promise<{ address: string; router?: string }>
  /** An address for a MAC, kept until it is released; `address` if it has to be a certain one. */
  lease(link: string, client: { mac: string; hostname?: string }, address?: string): Promise<Granted>
  release(link: string, granted: Granted): void
}

/**
 * What the server behind a link says of its LAN, as far as Docker wants to know: the gateway.
 * @throws Refused when the pool asked for isn't that LAN, or nobody said which it is.
 */
export async function offerFor(
  dhcp: Dhcp | undefined,
  link: string,
  request: { pool: string; range: string },
  pool: Prefix,
): Promise<{ gateway?: string }> {
  if (!request.pool) throw new Refused(`ipam-opt dhcp=${link} needs --subnet: the one of the LAN on ${link}`)
  if (request.range) throw new Refused(`--ip-range ${request.range} is for the LAN's DHCP server to choose`)
  const { address, router } = await on(dhcp).offer(link)
  refuseStrange(link, address, pool)
  const isInside = router !== undefined && includes(pool, addressOf(router))
  return isInside ? { gateway: `${router}/${pool.length}` } : {}
}

/** @throws Refused when the server grants none, or one that isn't in the pool. */
export async function lease(
  dhcp: Dhcp | undefined,
  link: string,
  { mac, address, hostname }: { mac?: string; address: string; hostname?: string },
  pool: Prefix,
): Promise<Granted> {
  if (!mac)
    throw new Refused(
      `Docker names no MAC to lease an address on ${link} for: restart it, with TSNET_DHCP=on`,
    )
  const client = { mac, ...(hostname !== undefined && { hostname }) }
  const granted = await on(dhcp).lease(link, client, address || undefined)
  try {
    refuseStrange(link, granted.address, pool)
  } catch (error) {
    on(dhcp).release(link, granted)
    throw error
  }
  return granted
}

/** Gives what of these leases is a server's back to it, to be called when they are off our own records. */
export function givingBack(
  dhcp: Dhcp | undefined,
  { dhcp: link }: Pool,
  leases: readonly Lease[],
): () => void {
  const granted = leases.flatMap(each => each.dhcp ?? [])
  return () => {
    if (link) for (const each of granted) dhcp?.release(link, each)
  }
}

/** Who has the address of a lease from a server. */
export const ownerOf = (lease: Lease | undefined) => lease?.dhcp?.mac

function on(dhcp: Dhcp | undefined): Dhcp {
  if (!dhcp) throw new Refused('ipam-opt dhcp needs a daemon with TSNET_DHCP=on')
  return dhcp
}

function refuseStrange(link: string, address: string, pool: Prefix): void {
  if (!includes(pool, addressOf(address)))
    throw new Refused(
      `the DHCP server on ${link} gives ${address}, which is not inside subnet ${formatPrefix(pool)}`,
    )
}

const addressOf = (text: string) => parseAddress(text) as { family: 4; value: bigint }
