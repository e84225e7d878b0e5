import { dumpAddresses, getLink, listen, NetlinkError, open, RTNLGRP } from '@tsnet/netlink'
import { plain } from './fields.ts'

/** The link that has an address of this host: its name, MTU in bytes, and the prefix around the address; undefined when none has it. */
export function linkOf(address: string): { name: string; mtu: number; prefix: string } | undefined {
  const socket = open({ protocol: 'route' })
  try {
    const found = socket
      .dump(dumpAddresses())
      .find(({ local, address: prefix = '' }) => plain(local ?? prefix) === plain(address))
    const [link] = found ? socket.batch([getLink({ index: found.index })]) : []
    if (!found || link === undefined || link instanceof NetlinkError) return undefined
    const { name = '', mtu = 0 } = link
    return { name, mtu, prefix: `${address}/${found.prefixLength}` }
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
