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

/** The last four groups of an IPv6 address that a MAC makes: ff:fe in its middle, the universal bit turned over (RFC 4291, appendix A). */
export function interfaceId(mac: string): string {
  const [first = '', ...rest] = mac.split(':')
  const turned = (Number.parseInt(first, 16) ^ 2).toString(16).padStart(2, '0')
  const all = [turned, ...rest.slice(0, 2), 'ff', 'fe', ...rest.slice(2)]
  return [0, 2, 4, 6].map(at => `${all[at]}${all[at + 1]}`).join(':')
}

/** FNV-1a, one octet of it. */
function hash(text: string, salt: number): number {
  let value = 0x811c9dc5 ^ salt
  for (const character of text) value = Math.imul(value ^ character.charCodeAt(0), 0x01000193)
  return (value >>> 12) & 0xff
}
