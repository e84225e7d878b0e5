import {
  type Conntrack,
  delConntrack,
  dumpAddresses,
  dumpConntracks,
  NetlinkError,
  type Socket,
} from '@tsnet/netlink'
import type { ElementRow, SetRow } from '../core/rows.ts'

const UDP = 17
const FAMILY = { ipv4_addr: 2, ipv6_addr: 10 } as const

/** A UDP port of the host that leads elsewhere from now on. Without an address it is every address of the family. */
export type Moved = { family: 2 | 10; address?: string; port: number }

/** The port that an element of a port map speaks of; undefined for other elements and protocols. */
export function movedPort(set: SetRow, row: ElementRow): Moved | undefined {
  if (set.value === undefined || set.value === 'verdict') return undefined
  const field = (type: string) => row.key[(set.type as string[]).indexOf(type)]
  const port = field('inet_service')
  const proto = field('inet_proto')
  const address = field('ipv4_addr') ?? field('ipv6_addr')
  const family = set.value.find(type => type === 'ipv4_addr' || type === 'ipv6_addr')
  if ((proto !== 'udp' && proto !== String(UDP)) || port === undefined || !family) return undefined
  return { family: FAMILY[family], port: Number(port), ...(address === undefined ? {} : { address }) }
}

/**
 * A UDP client that keeps its port keeps its conntrack entry, and with it the way to a container that is gone, or to none
 * where there is one by now. Forgets such flows; those that only pass through this host have another destination.
 */
export function forget(netfilter: Socket, route: Socket, moved: readonly Moved[]): void {
  const local = new Set(route.dump(dumpAddresses()).map(({ local, address }) => local ?? address))
  for (const { family, address, port } of moved) {
    const orig = { proto: UDP, dstPort: port, ...(address === undefined ? {} : { dst: address }) }
    const flows = netfilter
      .dump(dumpConntracks({ family, orig }))
      .filter(flow => local.has(destination(flow)))
    const failed = netfilter.batch(flows.map(delConntrack)).find(isFailure)
    if (failed) throw failed
  }
}

const destination = ({ orig }: Conntrack) => orig?.ip?.dst4 ?? orig?.ip?.dst6

/** ENOENT: it expired in the meantime. */
const isFailure = (outcome: unknown) => outcome instanceof NetlinkError && outcome.code !== 'ENOENT'
