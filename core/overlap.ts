import { overlap } from './addresses.ts'
import { Refused } from './errors.ts'
import type { Network } from './records.ts'

/** Two networks of one host that share addresses would take each other's packets: refused, naming both. */
export function overlapping(network: Network, others: Iterable<Network>): void {
  const pools = poolsOf(network)
  for (const other of others) {
    const [mine, theirs] = clash(pools, poolsOf(other)) ?? []
    if (mine)
      throw new Refused(
        `subnet ${mine} overlaps with ${theirs} of network ${other.id}; choose another --subnet`,
      )
  }
}

const poolsOf = ({ ipv4, ipv6 }: Network) => [...ipv4, ...ipv6].map(subnet => subnet.pool)

function clash(mine: readonly string[], theirs: readonly string[]): [string, string] | undefined {
  return mine.flatMap(a => theirs.map((b): [string, string] => [a, b])).find(([a, b]) => overlap(a, b))
}
