import { createHash } from 'node:crypto'
import { contains, host, network as networkOf } from '../core/addresses.ts'
import type { Mode, OnParent, Sandbox } from '../core/faces.ts'
import { interfaceId } from '../core/mac.ts'
import type { Endpoint, Network, Route, Subnet } from '../core/records.ts'
import type { LinkRow, Row, Wanted } from '../core/rows.ts'
import { gatewayFor } from './bridge.ts'
import { may, must } from './firewall.ts'
import { admit } from './lan-admit.ts'
import type { LanOptions } from './lan-options.ts'

/** What macvlan and ipvlan have in common: each container has a link of its own on one of the host's, its parent. */
export function lan(type: 'macvlan' | 'ipvlan', options: Mode['options']): Mode {
  return {
    options,
    endpointWords: [],
    link: ({ id }) => `tsh-${id.slice(0, 11)}`,
    network: network => networkRows(type, network).map(must),
    endpoint: (network, endpoint) => [
      linkRow(type, network, endpoint),
      ...(optionsOf(network).hostAccess ? hostWays(type, network, endpoint) : []),
    ],
    sandbox,
    mtu: network => optionsOf(network).mtu,
    // Containers have addresses of the LAN: whatever listens there is reached without being published.
    listeners: () => [],
    hostLink: containerLink,
    onParent: onParent(type),
  }
}

export const optionsOf = (network: Network) => network.options as LanOptions

const short = ({ id }: { id: string }) => id.slice(0, 11)
const containerLink = (endpoint: Endpoint) => `tsm-${short(endpoint)}`
const hostLink = (network: Network) => `tsh-${short(network)}`

/** Without one of the user's, a pair of ours whose other end leads nowhere. */
const parentOf = (network: Network) => optionsOf(network).parent ?? `tsp-${short(network)}`
const nowhere = (network: Network) => `tsq-${short(network)}`

/** `eth0.10` is VLAN 10 of eth0; any other name is that of a link which has to be there. */
export function vlanOf(name: string): { parent: string; tag: number } | undefined {
  const [, parent = '', tag = ''] = /^([^.]+)\.([1-9]\d{0,3})$/.exec(name) ?? []
  return tag !== '' && Number(tag) <= 4094 ? { parent, tag: Number(tag) } : undefined
}

const isRouted = (network: Network) => /^l3/.test(optionsOf(network).link)

const sysctl = (key: string, value: string): Row => ({ kind: 'sysctl', key, value })

/** Nothing leads out of the network. */
const isClosed = (network: Network) => network.internal || optionsOf(network).parent === undefined

function networkRows(type: 'macvlan' | 'ipvlan', network: Network): Row[] {
  return [...parentRows(network), ...(optionsOf(network).hostAccess ? hostRows(type, network) : [])]
}

function parentRows(network: Network): Row[] {
  const { parent } = optionsOf(network)
  if (parent === undefined) return pairRows(network)
  const vlan = vlanOf(parent)
  return vlan ? [{ kind: 'link', name: parent, type: 'vlan', up: true, ...vlan }] : []
}

/** Not a dummy, for which kernels need a module. The host answers nobody at the pair's other end, nor passes anything on. */
function pairRows(network: Network): Row[] {
  const other = nowhere(network)
  const { mtu } = optionsOf(network)
  return [
    {
      kind: 'link',
      name: parentOf(network),
      type: 'veth',
      up: true,
      peer: { name: other, ...(mtu !== undefined && { mtu }) },
      ...(mtu !== undefined && { mtu }),
    },
    { kind: 'link', name: other, type: 'veth', up: true },
    sysctl(`net/ipv4/conf/${other}/arp_ignore`, '8'),
    sysctl(`net/ipv4/conf/${other}/forwarding`, '0'),
    ...(network.ipv6.length > 0 ? [sysctl(`net/ipv6/conf/${other}/disable_ipv6`, '1')] : []),
  ]
}

/**
 * The host's own link on the parent: nothing passes between a parent and what hangs on it. The LAN knows the host by the parent's MAC and
 * must go on to: with arp_filter (Documentation/networking/ip-sysctl.rst) the link answers those alone whom a route leads to by it.
 */
function hostRows(type: 'macvlan' | 'ipvlan', network: Network): Row[] {
  const link = hostLink(network)
  return [
    {
      ...onParentRow(type, network),
      name: link,
      up: true,
      ...(type === 'macvlan' && { mac: macOf(network) }),
    },
    ...(type === 'macvlan' ? [sysctl(`net/ipv4/conf/${link}/arp_filter`, '1')] : []),
    ...(network.ipv6.length > 0 ? [sysctl(`net/ipv6/conf/${link}/accept_ra`, '0')] : []),
    ...hostAddresses(network).map((address): Row => ({ kind: 'address', link, address })),
  ]
}

function onParentRow(type: 'macvlan' | 'ipvlan', network: Network): Omit<LinkRow, 'name' | 'up'> {
  const { link, flag, mtu } = optionsOf(network)
  return {
    kind: 'link',
    type,
    parent: parentOf(network),
    mode: link,
    ...(flag !== undefined && { flag }),
    ...(mtu !== undefined && { mtu }),
  }
}

/** Locally administered, and the same each time the link is made: neighbours that remember it stay right. */
function macOf({ id }: Network): string {
  const bytes = createHash('sha256').update(`host on ${id}`).digest('hex').slice(0, 8)
  return ['02', '76', ...(bytes.match(/../g) as string[])].join(':')
}

/** Name of the auxiliary address that the host's link gets. */
const HOST = 'host'

/**
 * What the host's link goes by: the auxiliary address `host`, if the user set one aside. In IPv4 it does without, for the host answers
 * for all its addresses on any of its links, so it speaks by that of the parent. In IPv6 it answers for those of the link alone, so it gets one that its MAC makes.
 */
function hostAddresses(network: Network): string[] {
  const { ipv4, ipv6 } = network
  return [
    ...ipv4.flatMap(({ aux }) => (aux[HOST] === undefined ? [] : `${host(aux[HOST])}/32`)),
    ...ipv6.flatMap(({ pool, aux }) => {
      const own = aux[HOST] ?? made(pool, macOf(network))
      return own === undefined ? [] : `${host(own)}/128`
    }),
  ]
}

/** The prefix of 64 bits with what the MAC makes, as autoconfiguration does; in the kernel's way of writing it. */
function made(pool: string, mac: string): string | undefined {
  const [prefix = '', length] = pool.split('/')
  if (Number(length) > 64 || !prefix.endsWith('::')) return undefined
  const head = prefix.slice(0, -2).split(':').filter(Boolean)
  if (head.length > 4) return undefined
  const groups = [...head, ...Array(4 - head.length).fill('0'), interfaceId(mac)]
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
}

/**
 * Each container has a route of its own, which wins over the one that leads to the LAN by the parent; and where it has a MAC of its own,
 * the host knows that: asking would tell the whole LAN that the host's address is at the MAC of its link here.
 */
function hostWays(type: 'macvlan' | 'ipvlan', network: Network, { ipv4, ipv6, mac }: Endpoint): Wanted[] {
  const link = hostLink(network)
  const ways = (address: string | undefined, subnets: Subnet[], length: number): Row[] => {
    if (address === undefined) return []
    const to = host(address)
    return [
      { kind: 'route', to: `${to}/${length}`, link, ...hostSource(network, address, subnets) },
      ...(type === 'macvlan' ? [{ kind: 'neighbour', link, address: to, mac } as const] : []),
    ]
  }
  return [...ways(ipv4, network.ipv4, 32), ...ways(ipv6, network.ipv6, 128)].map(must)
}

/** The host's own address in the container's subnet, else whatever the parent goes by. */
function hostSource(
  network: Network,
  address: string,
  subnets: Subnet[],
): { src: string } | { srcOf: string } {
  const pool = subnets.map(each => networkOf(each.pool)).find(each => contains(each, host(address)))
  const own = hostAddresses(network).find(each => pool !== undefined && contains(pool, host(each)))
  return own === undefined ? { srcOf: parentOf(network) } : { src: host(own) }
}

/** Once joined, libnetwork has taken it away, and when its container dies it is gone. */
function linkRow(type: 'macvlan' | 'ipvlan', network: Network, endpoint: Endpoint): Wanted {
  const row = containerRow(type, network, endpoint)
  return endpoint.sandbox === undefined ? must(row) : may(row)
}

const containerRow = (type: 'macvlan' | 'ipvlan', network: Network, endpoint: Endpoint): LinkRow => ({
  ...onParentRow(type, network),
  name: containerLink(endpoint),
  up: false,
  ...(type === 'macvlan' && { mac: endpoint.mac }),
})

/** In layer 3 the kernel asks nobody for a MAC, so the way out is the link itself. */
function sandbox(network: Network, endpoint: Endpoint): Sandbox {
  const { prefix } = optionsOf(network)
  const base = { link: containerLink(endpoint), prefix, routes: [] as Route[], alone: true }
  if (isClosed(network)) return base
  if (isRouted(network)) return { ...base, routes: everywhere(endpoint) }
  const gateway4 = gatewayFor(network, endpoint.ipv4, network.ipv4, 'DefaultGatewayIPv4')
  const gateway6 = gatewayFor(network, endpoint.ipv6, network.ipv6, 'DefaultGatewayIPv6')
  return { ...base, ...(gateway4 && { gateway4 }), ...(gateway6 && { gateway6 }) }
}

const everywhere = ({ ipv4, ipv6 }: Endpoint): Route[] => [
  ...(ipv4 === undefined ? [] : [{ to: '0.0.0.0/0' }]),
  ...(ipv6 === undefined ? [] : [{ to: '::/0' }]),
]

function onParent(type: 'macvlan' | 'ipvlan'): OnParent {
  return {
    names: network => {
      const { parent } = optionsOf(network)
      return parent === undefined
        ? []
        : [parent, ...(vlanOf(parent) ? [vlanOf(parent)?.parent as string] : [])]
    },
    admit,
    lan: (network, { ipv4, ipv6 }) => {
      const { parent } = optionsOf(network)
      if (parent === undefined || isRouted(network)) return undefined
      return { link: parent, addresses: [ipv4, ipv6].flatMap(each => (each === undefined ? [] : host(each))) }
    },
    probes: network => optionsOf(network).probe,
    macless: type === 'ipvlan',
    again: (network, endpoint) => ({
      ...containerRow(type, network, endpoint),
      inside: {
        namespace: endpoint.sandbox,
        prefix: optionsOf(network).prefix,
        addresses: [endpoint.ipv4, endpoint.ipv6].filter(each => each !== undefined),
        routes: routesOf(sandbox(network, endpoint)),
      },
    }),
  }
}

const routesOf = ({ gateway4, gateway6, routes }: Sandbox): Route[] => [
  ...(gateway4 ? [{ to: '0.0.0.0/0', via: gateway4 }] : []),
  ...(gateway6 ? [{ to: '::/0', via: gateway6 }] : []),
  ...routes,
]
