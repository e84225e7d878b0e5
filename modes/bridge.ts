import { isIPv4, isIPv6 } from 'node:net'
import { contains, host, network as networkOf } from '../core/addresses.ts'
import { Refused } from '../core/errors.ts'
import type { Listener, Mode, Sandbox } from '../core/faces.ts'
import type { Endpoint, Network, PortRequest, Publication, Rate, Subnet } from '../core/records.ts'
import type { Inside, Row, SysctlRow, Wanted } from '../core/rows.ts'
import { type BridgeOptions, bridgeOptions, type GatewayMode } from './bridge-options.ts'
import { element, type Ingress, may, must } from './firewall.ts'

/**
 * A bridge on this host: one veth pair a container, the bridge's address is the gateway, egress is masqueraded, ports
 * are published by DNAT in the kernel.
 */
export const bridge: Mode = {
  options: (words, network) => bridgeOptions(words, network),
  endpointWords: [],
  link: bridgeName,
  network: network => [...bridgeRows(network), ...filterRows(network)].map(must),
  endpoint: (network, endpoint) => [
    ...linkRows(network, endpoint),
    ...shortcutRows(network, endpoint),
    ...rateRows(network, endpoint),
    ...publishedRows(network, endpoint),
  ],
  sandbox,
  mtu: network => optionsOf(network).mtu,
  listeners,
  hostLink,
}

const optionsOf = (network: Network) => network.options as BridgeOptions

/** 15 characters at most (IFNAMSIZ); 44 bits of the id are left, so a clash needs millions of links. */
export function bridgeName(network: Network): string {
  return optionsOf(network).bridge ?? `tsb-${network.id.slice(0, 11)}`
}
function hostLink(endpoint: Endpoint): string {
  return `tsv-${endpoint.id.slice(0, 11)}`
}
const sandboxLink = ({ id, attachment }: Endpoint) => attachment?.ifname ?? `tsc-${id.slice(0, 11)}`

function bridgeRows(network: Network): Row[] {
  const { mtu } = optionsOf(network)
  const name = bridgeName(network)
  return [
    {
      kind: 'link',
      name,
      type: 'bridge',
      up: true,
      ...(mtu !== undefined && { mtu }),
    },
    ...gatewayAddresses(network).map((address): Row => ({ kind: 'address', link: name, address })),
    ...linkSysctls(name, network),
  ]
}

/** What the bridge itself is called by: every gateway, and for IPv6 the link-local address that routers need (RFC 4861). */
function gatewayAddresses(network: Network): string[] {
  const { inhibit4, gateway4, gateway6 } = optionsOf(network)
  const of = (subnets: Subnet[]) => subnets.flatMap(subnet => subnet.gateway ?? [])
  return [
    ...(inhibit4 || gateway4 === 'isolated' ? [] : of(network.ipv4)),
    ...(gateway6 === 'isolated' || network.ipv6.length === 0 ? [] : [...of(network.ipv6), 'fe80::1/64']),
  ]
}

function linkSysctls(name: string, network: Network): SysctlRow[] {
  const set = (key: string, value: string): SysctlRow => ({ kind: 'sysctl', key, value })
  return [
    // 127.0.0.1 as the source of a packet to a published port; chain `raw` keeps everybody else away from it.
    ...(network.ipv4.length > 0 ? [set(`net/ipv4/conf/${name}/route_localnet`, '1')] : []),
    // A container must not be able to become this host's router.
    ...(network.ipv6.length > 0 ? [set(`net/ipv6/conf/${name}/accept_ra`, '0')] : []),
  ]
}

function filterRows(network: Network): Row[] {
  const name = bridgeName(network)
  const { gateway4, gateway6, isolation, trusted } = optionsOf(network)
  return [
    // Isolated ports keep frames apart; a packet that a container sends to its neighbour by way of the gateway is dropped.
    ...(isolation ? [] : [element('same', [name, name])]),
    ...(network.internal ? [element('internal', [name])] : []),
    element('ingress4', [name], [`jump ${ingress(network, gateway4)}`]),
    element('ingress6', [name], [`jump ${ingress(network, gateway6)}`]),
    ...trusted.map(outside => element('trusted', [outside, name])),
    ...(network.internal ? [] : egressRows(network)),
  ]
}

function ingress(network: Network, mode: GatewayMode): Ingress {
  if (network.internal) return 'closed'
  return mode === 'nat-unprotected' ? 'unprotected' : mode === 'isolated' ? 'closed' : mode
}

function egressRows(network: Network): Row[] {
  const name = bridgeName(network)
  const { gateway4, gateway6, host4, host6, masquerade } = optionsOf(network)
  const nat = (subnet: Subnet, family: 4 | 6, mode: GatewayMode, source: string | undefined) => {
    if (!masquerade || mode === 'routed') return []
    return source
      ? [element(`snat${family}`, [subnet.pool], [source])]
      : [element(`masq${family}`, [subnet.pool])]
  }
  return [
    ...network.ipv4.map(subnet => element('subnets4', [subnet.pool, name])),
    ...network.ipv6.map(subnet => element('subnets6', [subnet.pool, name])),
    ...network.ipv4.flatMap(subnet => nat(subnet, 4, gateway4, host4)),
    ...network.ipv6.flatMap(subnet => nat(subnet, 6, gateway6, host6)),
  ]
}

/** Once joined, libnetwork has taken the other end away: a pair that died with its container must not come back. */
function linkRows(network: Network, endpoint: Endpoint): Wanted[] {
  const { isolation, mtu } = optionsOf(network)
  const size = mtu === undefined ? {} : { mtu }
  const row: Row = {
    kind: 'link',
    name: hostLink(endpoint),
    type: 'veth',
    up: true,
    master: bridgeName(network),
    peer: { name: sandboxLink(endpoint), mac: endpoint.mac, ...size, ...inside(network, endpoint) },
    // With br_netfilter a DNATed packet stays on the bridge, and one that a container sends to its own published port, or to a service of
    // Kubernetes that it serves itself, leaves by the port it came in.
    hairpin: endpoint.published.length > 0 || endpoint.attachment !== undefined,
    isolated: isolation,
    ...size,
  }
  return [endpoint.sandbox === undefined ? must(row) : may(row)]
}

/** What libnetwork does itself for Docker: the container's end is furnished as it is born. */
function inside(network: Network, endpoint: Endpoint): { inside?: Inside } {
  const { attachment, ipv4, ipv6 } = endpoint
  if (!attachment) return {}
  const { gateway4, gateway6, routes } = sandbox(network, endpoint)
  const { egress } = attachment.bandwidth ?? {}
  return {
    inside: {
      namespace: attachment.namespace,
      addresses: [ipv4, ipv6].filter(each => each !== undefined),
      routes: [
        ...(gateway4 ? [{ to: '0.0.0.0/0', via: gateway4 }] : []),
        ...(gateway6 ? [{ to: '::/0', via: gateway6 }] : []),
        ...routes,
        ...attachment.routes,
      ],
      ...(egress && { rate: filled(network, egress) }),
    },
  }
}

/** Records of networks that are older than the option don't have it. */
export function hasShortcut(network: Network): boolean {
  const { isolation, shortcut = true } = optionsOf(network)
  return shortcut && !isolation
}

/** Bytes of Ethernet's header, with a VLAN tag. */
const HEADER = 18
const MTU = 1500

/** A bucket that can't hold a packet lets none pass. */
function filled(network: Network, { rate, burst }: Rate): Rate {
  return { rate, burst: Math.max(burst, (optionsOf(network).mtu ?? MTU) + HEADER) }
}

/** What a container receives waits at the host's end; what it sends waits at its own end, where the kernel lets it wait for room. */
function rateRows(network: Network, endpoint: Endpoint): Wanted[] {
  const { ingress } = endpoint.attachment?.bandwidth ?? {}
  return ingress ? [must({ kind: 'rate', link: hostLink(endpoint), ...filled(network, ingress) })] : []
}

function shortcutRows(network: Network, endpoint: Endpoint): Wanted[] {
  // It leads past the host's end.
  if (!hasShortcut(network) || endpoint.attachment?.bandwidth) return []
  return [
    must({
      kind: 'shortcut',
      link: hostLink(endpoint),
      bridge: bridgeName(network),
      mac: endpoint.mac.toLowerCase(),
    }),
  ]
}

function publishedRows(network: Network, endpoint: Endpoint): Wanted[] {
  return endpoint.published.flatMap(port => publicationRows(network, port)).map(must)
}

function publicationRows(network: Network, port: Publication): Row[] {
  const family = isIPv4(port.address) ? 4 : 6
  const { gateway4, gateway6, trusted } = optionsOf(network)
  const open = element(`open${family}`, [port.address, port.proto, String(port.port)])
  if ((family === 4 ? gateway4 : gateway6) === 'routed') return [open]
  const { proto, hostIp, hostPort, held } = port
  return [
    ...(held ? [] : [{ kind: 'port', proto, address: hostIp, port: hostPort } as const]),
    mapping(family, port),
    ...(trusted.length > 0 ? [open] : []),
  ]
}

function mapping(family: 4 | 6, { proto, hostIp, hostPort, address, port }: Publication): Row {
  const outer = [proto, String(hostPort)]
  const inner = [address, String(port)]
  const everywhere = hostIp === '0.0.0.0' || hostIp === '::'
  return everywhere
    ? element(`any${family}`, outer, inner)
    : element(`ports${family}`, [hostIp, ...outer], inner)
}

/** Without a host address, a port is published for every family that the container has. */
function listeners(network: Network, endpoint: Endpoint, request: PortRequest): Listener[] {
  const { gateway4, gateway6, publishAddress } = optionsOf(network)
  const at = request.hostIp || (publishAddress ?? '')
  const found = [
    ...listener(endpoint.ipv4, at === '' ? '0.0.0.0' : isIPv4(at) && at, gateway4),
    ...listener(endpoint.ipv6, at === '' ? '::' : isIPv6(at) && at, gateway6),
  ]
  if (found.length > 0) return found
  const family = isIPv4(at) ? 'IPv4' : 'IPv6'
  throw new Refused(
    `port ${request.port}/${request.proto} can't be published at ${at}: the container has no ${family} address here`,
  )
}

function listener(address: string | undefined, hostIp: string | false, mode: GatewayMode): Listener[] {
  if (address === undefined || hostIp === false) return []
  return [{ hostIp, address: host(address), mapped: mode !== 'routed' }]
}

function sandbox(network: Network, endpoint: Endpoint): Sandbox {
  const gateway4 = gatewayFor(network, endpoint.ipv4, network.ipv4, 'DefaultGatewayIPv4')
  const gateway6 = gatewayFor(network, endpoint.ipv6, network.ipv6, 'DefaultGatewayIPv6')
  return {
    link: sandboxLink(endpoint),
    prefix: optionsOf(network).prefix,
    ...(gateway4 && { gateway4 }),
    ...(gateway6 && { gateway6 }),
    routes: [],
  }
}

/** The gateway of the subnet that the address is in; Docker's auxiliary names choose another one. */
export function gatewayFor(
  network: Network,
  address: string | undefined,
  subnets: Subnet[],
  auxiliary: string,
): string | undefined {
  if (network.internal || address === undefined) return undefined
  const subnet = subnets.find(each => contains(networkOf(each.pool), host(address)))
  const gateway = subnet?.aux[auxiliary] ?? subnet?.gateway
  return gateway && host(gateway)
}
