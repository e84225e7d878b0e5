import { Address6 } from 'ip-address'

/** An address as text in its shortest form, and a port. */
export type Endpoint = { readonly address: string; readonly port: number }

export const endpointText = ({ address, port }: Endpoint): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`

/** 4 or 16 bytes. Throws what ip-address throws for IPv6 text that is no address. */
export function addressBytes(address: string): Buffer {
  if (!address.includes(':')) return Buffer.from(address.split('.', 4).map(Number))
  const bytes = new Address6(address).toUnsignedByteArray()
  return Buffer.concat([Buffer.alloc(16 - bytes.length), Buffer.from(bytes)])
}

const mapped = Buffer.from('00000000000000000000ffff', 'hex')
const dotted = (bytes: Buffer, at: number): string =>
  `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`

/**
 * undefined unless there are 4 or 16 bytes. Go writes an IPv4 address in either length, and memberlist takes the two for
 * different nodes; here they are the same.
 */
export function addressText(bytes: Buffer): string | undefined {
  if (bytes.length === 4) return dotted(bytes, 0)
  if (bytes.length !== 16) return undefined
  if (bytes.subarray(0, 12).equals(mapped)) return dotted(bytes, 12)
  return Address6.fromUnsignedByteArray([...bytes]).correctForm()
}
