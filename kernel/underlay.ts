import { dumpAddresses, getLink, NetlinkError, open } from '@tsnet/netlink'
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
