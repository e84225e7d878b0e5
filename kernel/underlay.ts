import { dumpAddresses, getLink, NetlinkError, open } from '@tsnet/netlink'

/** MTU of the link that has an address of this host, in bytes; undefined when no link has it. */
export function mtuOf(address: string): number | undefined {
  const socket = open({ protocol: 'route' })
  try {
    const found = socket.dump(dumpAddresses()).find(each => [each.local, each.address].includes(address))
    const [link] = found ? socket.batch([getLink({ index: found.index })]) : []
    return link === undefined || link instanceof NetlinkError ? undefined : link.mtu
  } finally {
    socket.close()
  }
}
