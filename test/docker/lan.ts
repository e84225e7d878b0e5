import { type Bed, type Container, driver, type NetworkOptions } from './support.ts'

/** The network that host and machine outside share: containers live there beside them. */
export const lan = { Subnet: '10.250.0.0/24', Gateway: '10.250.0.254', IPRange: '10.250.0.64/27' }
const lan6 = { Subnet: 'fd00:250::/64', Gateway: 'fd00:250::fe', IPRange: 'fd00:250::64:0/112' }

/** Networks of a mode on the host's link to the LAN. `TSNET_DRIVER=macvlan` runs what both can do on Docker's own driver. */
export const networkOf =
  (mode: 'macvlan' | 'ipvlan') =>
  (bed: Bed, name: string, { opt = {}, ...rest }: NetworkOptions = {}) =>
    bed.network(name, {
      subnets: [lan, lan6],
      ...rest,
      opt: { ...(driver === 'tsnet' && { mode }), parent: 'eth0', ...opt },
    })

/** What is beyond link `lanp` of the host, which scenarios may ill-treat. */
export const beyond = { Subnet: '10.252.0.0/24', Gateway: '10.252.0.1', IPRange: '10.252.0.64/27' }

/** Runs a scenario with `lanp`, which leads to the machine outside; it makes that link again when it asks for it. */
export async function pair(bed: Bed, body: (make: () => Promise<void>) => Promise<void>): Promise<void> {
  const make = async () => {
    const { namespace } = bed.outside
    const links = ['ip', 'link', 'add', 'lanp', 'type', 'veth', 'peer', 'name', 'lanq']
    await bed.host.exec(...links)
    await bed.plugOutside(namespace, 'lanq')
    await bed.outside.exec('ip', 'address', 'add', '10.252.0.1/24', 'dev', 'lanq')
    await bed.outside.exec('ip', 'link', 'set', 'lanq', 'up')
    await bed.host.exec('ip', 'address', 'add', '10.252.0.2/24', 'dev', 'lanp')
    await bed.host.exec('ip', 'link', 'set', 'lanp', 'up')
  }
  await make()
  try {
    await body(make)
  } finally {
    await bed.host.attempt(['ip', 'link', 'delete', 'lanp'])
  }
}

/** What a container sees of its link, without what its address makes different. */
export async function facts(one: Container): Promise<object> {
  const { Pid } = (await one.inspect()).State
  // With the host's `ip`, which tells more than the container's.
  const ip = (...argv: string[]) => one.host.exec('nsenter', `--target=${Pid}`, '--net', 'ip', ...argv)
  const [link, routes] = [await ip('-d', 'link', 'show', 'eth0'), await ip('route')]
  const lines = routes
    .replaceAll(/10\.\d+\.0\.\d+/g, '…')
    .trim()
    .split('\n')
  return {
    link: /(mac|ip)vlan +mode \w+( bridge| private| vepa)?/.exec(link)?.[0],
    mtu: /mtu \d+/.exec(link)?.[0],
    routes: lines.map(line => line.trim()),
  }
}

/** So that it can also run in User Mode Linux, which has no packet filter but that of bridges: no rules of Docker's, no bridge network of ours. */
export const plain = {
  daemonJson: { iptables: false },
  ...(driver === 'tsnet' && { first: { mode: 'ipvlan' } }),
} as const
