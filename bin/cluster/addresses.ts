import { Address4, Address6 } from 'ip-address'

/** 4 or 16 bytes of an address, with or without its prefix length. */
export function toBytes(address: string): Buffer {
  const [text = ''] = address.split('/')
  return Buffer.from(text.includes(':') ? padded(new Address6(text)) : new Address4(text).toArray())
}

/** As `inet_ntop` writes it. */
export function toText(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.')
  return Address6.fromUnsignedByteArray([...bytes]).correctForm()
}

function padded(address: Address6): number[] {
  const bytes = address.toUnsignedByteArray()
  return [...new Array(16 - bytes.length).fill(0), ...bytes]
}

export const macBytes = (mac: string): Buffer => Buffer.from(mac.replaceAll(':', ''), 'hex')
export const macText = (bytes: Buffer): string => (bytes.toString('hex').match(/../g) ?? []).join(':')
