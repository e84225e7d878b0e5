import { contains, host, isDefault, network as networkOf } from '../core/addresses.ts'
import type { BlockRows, Elsewhere, Mode, Underlay } from '../core/faces.ts'
import type { Endpoint, Network } from '../core/records.ts'
import type { Inside, Row, Wanted } from '../core/rows.ts'
import { bridgeName } from './bridge.ts'
import { element, must } from './firewall.ts'
import { bool, readWords } from './options.ts'
import { digest, familyOf, linkName, overlay } from './overlay.ts'
import { overlayOptions } from './overlay-options.ts'

/**
 * A flat network of containers on many nodes. Each node has a bridge, and routes by which the others' containers are reached: straight
 * where the two nodes share a link, else through a VXLAN port of the bridge. A container has its address alone, with no subnet around
 * it, so whatever it sends passes its node's IP layer and what hangs there: services, policies, accounting.
 */
export const nodes: Mode = {
  ...overlay,
  options: ({ direct, ...words }, network) => ({
    ...overlayOptions({ ...words, mode: 'overlay' }, network),
    ...(direct !== undefined && readWords(nodesWords, {}, { direct })),
    gateway4: 'nat-unprotected',
    gateway6: 'nat-unprotected',
    // Past the bridge is past the services.
    shortcut: false,
  }),
  network: (network, self) => networkRows(network, self),
  endpoint: (network, endpoint, self) => [
    ...overlay.endpoint(network, endpoint, self).map(alone),
    ...selfRows(endpoint),
  ],
  elsewhere: {
    links: network => overlay.elsewhere?.links(network) ?? [],
    remote: remoteRows,
    holder: holderRows,
    blocks: { block: blockRows, stray: strayRows },
  },
}

const nodesWords = {
  /** Nodes that share a link send each other packets of containers as they are. */
  direct: bool,
} as const

function networkRows(network: Network, self: Underlay | undefined): Wanted[] {
  const name = bridgeName(network)
  const mac = self && { mac: macOf(network, (self.ipv4 ?? self.ipv6) as string) }
  const rows = overlay.network(network, self).flatMap(({ row }): Row[] => {
    if (row.kind === 'link' && row.name === name) return [{ ...row, ...mac }]
    // With br_netfilter a packet to a service leaves by the tunnel in the name of the container's MAC. Only members are heard (`tunnel`).
    if (row.kind === 'link' && row.type === 'vxlan') return [{ ...row, locked: false }]
    // All nodes have this address: none may call itself by it where others see it.
    if (row.kind === 'address' && !row.address.startsWith('fe80:')) return [{ ...row, scope: 'link' }]
    // The answer of a neighbour comes back through us by itself, so a service can tell who asked.
    return row.kind === 'element' && /^subnets[46]$/.test(row.set) ? [] : [row]
  })
  const pools = (family: 4 | 6) => network[`ipv${family}`].map(({ pool }) => element(`pods${family}`, [pool]))
  return [...rows, ...ownRows(network, name), ...pools(4), ...pools(6), ...hostRows(network, name)].map(must)
}

/**
 * Of all addresses the kernel chooses those of the link that a packet leaves by, when it masquerades (RFC 6724, rule 5; inet_select_addr in
 * net/ipv4/devinet.c).
 */
const ownRows = ({ own = {} }: Network, link: string): Row[] =>
  Object.values(own).map(address => ({ kind: 'address', link, address: whole(address) }))

/**
 * What comes in through the tunnel may go back by the nodes' own link. A pod that is told of another node as the shorter way would send
 * past its own node.
 */
function hostRows({ ipv4 }: Network, bridge: string): Row[] {
  const set = (link: string, key: string, value: string): Row => ({
    kind: 'sysctl',
    key: `net/ipv4/conf/${link}/${key}`,
    value,
  })
  // With 1 at `all` no link's own value counts; other links keep theirs, which is 1 unless somebody changed it.
  const silent = ['all', bridge].map(link => set(link, 'send_redirects', '0'))
  return ipv4.length > 0 ? [...silent, set(bridge, 'rp_filter', '2')] : []
}

/** A container that asks for its own published port. */
const selfRows = ({ published }: Endpoint): Wanted[] =>
  [...new Set(published.map(({ address }) => address))].map(address =>
    must(element(`selves${familyOf(address)}`, [address, address])),
  )

/** The container's end: its address alone, and a way to the gateway that isn't in its subnet. */
function alone(wanted: Wanted): Wanted {
  const { row } = wanted
  if (row.kind !== 'link' || !row.peer?.inside) return wanted
  const { addresses, routes } = row.peer.inside
  const gateways = routes
    .filter(isDefault)
    .flatMap(({ via }) => (via === undefined ? [] : { to: whole(via) }))
  const inside: Inside = {
    ...row.peer.inside,
    addresses: addresses.map(each => whole(host(each))),
    routes: [...gateways, ...routes],
  }
  return { ...wanted, row: { ...row, peer: { ...row.peer, inside } } }
}

const whole = (address: string) => `${address}/${address.includes(':') ? 128 : 32}`

/** MAC of a node's bridge: every node can tell those of all. */
function macOf(network: Network, vtep: string): string {
  const bytes = digest(`node ${vtep} of ${network.shared ?? network.id}`).subarray(0, 4)
  return ['02', '75', ...[...bytes].map(byte => byte.toString(16).padStart(2, '0'))].join(':')
}

/**
 * What a node goes by at the other end of the tunnel: its tunnel end point among addresses of IPv4, else an address of the link, for one that
 * is reached by another link is refused (ip6_route_check_nh_onlink in net/ipv6/route.c). IPv4 may lead by it as well (RTA_VIA).
 */
function hopOf(network: Network, vtep: string, family: 4 | 6): string {
  if (family === 4 && familyOf(vtep) === 4) return vtep
  const bytes = digest(`hop ${vtep} of ${network.shared ?? network.id}`)
  return `fe80::75:${bytes.subarray(0, 2).toString('hex')}:${bytes.subarray(2, 4).toString('hex')}`
}

/** The link that the other node is on, too. */
function sharedLink(
  { options }: Network,
  { links = [] }: Underlay,
  vtep: string,
  family: 4 | 6,
): string | undefined {
  if (familyOf(vtep) !== family || options.direct === false) return undefined
  const found = links.find(({ prefix }) => familyOf(prefix) === family && contains(networkOf(prefix), vtep))
  return found?.name
}

/** Nobody's word makes a way to what isn't the network's. */
const isIn = ({ ipv4, ipv6 }: Network, address: string) =>
  [...ipv4, ...ipv6].some(
    ({ pool }) => familyOf(pool) === familyOf(address) && contains(networkOf(pool), address),
  )

/** The way to a prefix by another node. */
function wayTo(network: Network, to: string, vtep: string, self: Underlay): Row[] {
  if (!isIn(network, host(to))) return []
  const family = familyOf(to)
  const real = family === 4 ? self.ipv4 : self.ipv6
  const own = network.own?.[`ipv${family}`]
  const link = sharedLink(network, self, vtep, family)
  const src = link === undefined ? (own ?? real) : real
  const way =
    link !== undefined
      ? { link, via: vtep }
      : { link: bridgeName(network), via: hopOf(network, vtep, family) }
  return [{ kind: 'route', to, ...way, ...(src !== undefined && { src }) }]
}

/** Addresses that lie in blocks of other nodes than their own. */
function remoteRows(...[network, { addresses, vtep }, self]: Parameters<Elsewhere['remote']>): Row[] {
  return addresses.flatMap(address => wayTo(network, whole(address), vtep, self))
}

function blockRows(...[network, prefix, vtep, self]: Parameters<BlockRows['block']>): Row[] {
  return wayTo(network, prefix, vtep, self)
}

/** What is here, or in no block of another node's, ends at the bridge: two nodes never send it to each other. */
function strayRows(...[network, address]: Parameters<BlockRows['stray']>): Row[] {
  return [{ kind: 'route', to: whole(address), link: bridgeName(network) }]
}

function holderRows(...[network, vtep, self]: Parameters<Elsewhere['holder']>): Row[] {
  const family = familyOf(vtep)
  if ((family === 4 ? self.ipv4 : self.ipv6) === undefined) return []
  const mac = macOf(network, vtep)
  const families = ([4, 6] as const).filter(each => network[`ipv${each}`].length > 0)
  const hops = new Set(families.map(each => hopOf(network, vtep, each)))
  const bridge = bridgeName(network)
  return [
    { kind: 'fdb', link: linkName(network, family), mac, to: vtep },
    ...[...hops].map((address): Row => ({ kind: 'neighbour', link: bridge, address, mac })),
  ]
}
