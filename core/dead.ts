import type { EndpointSpec } from './faces.ts'
import type { Endpoint, Records } from './records.ts'
import type { Row } from './rows.ts'

/** Who died without anybody telling us: Docker sends neither Leave nor DeleteEndpoint for what it lost by a SIGKILL. */

/**
 * Docker's address book gives an address of a network to one endpoint at a time: who had it before is gone. Its link must
 * go before two containers answer for one address.
 */
export function predecessors({ endpoints }: Records, { id, network, ipv4, ipv6 }: EndpointSpec): Endpoint[] {
  const same = (one: string | undefined, other: string | undefined) => one !== undefined && one === other
  return [...endpoints.values()]
    .filter(each => each.network === network && each.id !== id)
    .filter(each => same(each.ipv4, ipv4) || same(each.ipv6, ipv6))
}

/** Endpoints that hold ports. */
export const publishers = ({ endpoints }: Records): Endpoint[] =>
  [...endpoints.values()].filter(each => each.sandbox !== undefined && each.published.length > 0)

/** Those of them whose link is gone: it lived as long as their sandbox. */
export function linkless(
  records: Records,
  present: readonly Row[],
  link: (endpoint: Endpoint) => string,
): Endpoint[] {
  const links = new Set(present.flatMap(row => (row.kind === 'link' ? row.name : [])))
  return publishers(records).filter(each => !links.has(link(each)))
}

/**
 * Those of them whose sandbox is from before Docker's last start, and Docker has unmounted it. The kernel takes its time, at
 * worst seconds, to clear away such a namespace and the link with it.
 */
export async function orphaned(
  records: Records,
  activated: number,
  isNamespace: (path: string) => Promise<boolean>,
): Promise<Endpoint[]> {
  const old = publishers(records).filter(each => each.created < activated)
  const mounted = await Promise.all(old.map(each => isNamespace(each.sandbox ?? '')))
  return old.filter((_, i) => !mounted[i])
}
