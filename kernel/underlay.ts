import { dumpAddresses, getLink, listen, NetlinkError, open, RTNLGRP } from '@tsnet/netlink'
import { plain } from './fields.ts'

/** MTU of the link that has an address of this host, in bytes; undefined when no link has it. */
export function mtuOf(address: string): number | undefined {
  const socket = open({ protocol: 'route' })
  try {
    const found = socket
      .dump(dumpAddresses())
      .find(({ local, address: prefix = '' }) => plain(local ?? prefix) === plain(address))
    const [link] = found ? socket.batch([getLink({ index: found.index })]) : []
    return link === undefined || link instanceof NetlinkError ? undefined : link.mtu
  } finally {
    socket.close()
  }
}

/** Rings when any link or address of this host may have changed, until closed; often, while containers start. */
export function watchUnderlay(ring: () => void): { close(): void } {
  const { LINK, IPV4_IFADDR, IPV6_IFADDR } = RTNLGRP
  const listener = listen({ protocol: 'route', groups: [LINK, IPV4_IFADDR, IPV6_IFADDR] })
  return listener.on('messages', ring).on('overrun', ring)
}
