import { Refused } from './errors.ts'
import type { Network, Pool } from './records.ts'

/**
 * Of a network that spans hosts each host gives addresses. Docker's own address driver knows of this host alone, so two containers
 * would get one address.
 * @throws Refused with the command that works, unless the user said that the hosts' ranges are kept apart by hand.
 */
export function refuseDuplicates(network: Network, pools: Iterable<Pool>): void {
  if (network.options.addresses === 'manual') return
  const ours = new Set([...pools].map(({ pool }) => pool))
  const foreign = [...network.ipv4, ...network.ipv6].find(({ pool }) => !ours.has(pool))
  if (!foreign) return
  const name = network.shared ?? 'NAME'
  throw new Refused(
    `the hosts of an overlay network would give one address of ${foreign.pool} to several containers, for it is not from tsnet's address driver: ` +
      `create it with "docker network create -d tsnet --ipam-driver tsnet -o mode=${network.mode} -o name=${name} --subnet ${foreign.pool} ${name}", ` +
      'or with -o addresses=manual when you give each host an --ip-range of its own',
  )
}
