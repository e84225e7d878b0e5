import { BlockList, isIPv4 } from 'node:net'

/** An address without its prefix length. */
export const host = (cidr: string): string => cidr.split('/', 1)[0] ?? cidr

/** A route to everywhere. */
export const isDefault = ({ to }: { to: string }): boolean => to === '0.0.0.0/0' || to === '::/0'

/** A pool, ready to be asked what lies in it. */
export function network(cidr: string): BlockList {
  const list = new BlockList()
  extend(list, cidr)
  return list
}

/** One pool more. */
export function extend(list: BlockList, cidr: string): void {
  const [address = '', length = ''] = cidr.split('/')
  list.addSubnet(address, Number(length), family(address))
}

export const contains = (pool: BlockList, address: string): boolean => pool.check(address, family(address))

/** Two pools overlap exactly when one holds the other's first address. */
export const overlap = (a: string, b: string): boolean =>
  family(a) === family(b) && (contains(network(a), host(b)) || contains(network(b), host(a)))

const family = (address: string) => (isIPv4(host(address)) ? 'ipv4' : 'ipv6')
