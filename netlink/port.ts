import { ip } from './address.ts'
import { checked, native } from './native.ts'
import { Writer } from './writer.ts'

const IPPROTO = { tcp: 6, udp: 17, sctp: 132 } as const

export type PortOptions = {
  proto: keyof typeof IPPROTO
  /** IPv4 or IPv6 address without prefix length; `0.0.0.0` and `::` are every address. */
  address: string
  /** 0 lets the kernel choose. */
  port: number
  /** With `::`, leaves IPv4 alone (IPV6_V6ONLY). Default true. */
  v6only?: boolean
  /** Path of a network namespace; the caller's own without. */
  namespace?: string
}

/**
 * Takes a port by a socket that is bound, without SO_REUSEADDR, and never listens; fs.closeSync(fd) gives it back.
 * Throws NetlinkError: EADDRINUSE, EADDRNOTAVAIL, EPROTONOSUPPORT (sctp without its module), EACCES.
 */
export function bindPort({ proto, address, port, v6only = true, namespace = '' }: PortOptions): {
  fd: number
  port: number
} {
  const bytes = new Writer(16)
  ip.write(bytes, address)
  const fd = native.bindPort(
    IPPROTO[proto],
    namespace,
    bytes.bytes.subarray(0, bytes.at),
    port,
    v6only ? 1 : 0,
  )
  checked(fd, `bind ${proto} ${address.includes(':') ? `[${address}]` : address}:${port}`)
  return { fd, port: port || native.portOf(fd) }
}
