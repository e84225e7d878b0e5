import type { EndpointSpec } from './faces.ts'

/**
 * A locally administered MAC that tells its IPv4 address, as Docker's do: a container that comes back with its address
 * comes back with its MAC, and no neighbour's cache is wrong. Without IPv4 it is made from the endpoint's id.
 */
export function macOf({ id, ipv4 }: EndpointSpec): string {
  const octets = ipv4
    ? (ipv4.split('/')[0] ?? '').split('.').map(Number)
    : [...id.slice(0, 4)].map((_, i) => hash(id, i))
  return ['02', '42', ...octets.map(octet => octet.toString(16).padStart(2, '0'))].join(':')
}

/** FNV-1a, one octet of it. */
function hash(text: string, salt: number): number {
  let value = 0x811c9dc5 ^ salt
  for (const character of text) value = Math.imul(value ^ character.charCodeAt(0), 0x01000193)
  return (value >>> 12) & 0xff
}
