import { createHash } from 'node:crypto'
import { host } from '../core/addresses.ts'
import { sharedKey } from '../core/elsewhere.ts'
import type { Elsewhere, Mode, Underlay } from '../core/faces.ts'
import type { Endpoint, Network } from '../core/records.ts'
import { EVERYBODY, type Row, type Wanted } from '../core/rows.ts'
import { bridge, bridgeName, hasShortcut } from './bridge.ts'
import { element, must } from './firewall.ts'
import { type OverlayOptions, overlayOptions } from './overlay-options.ts'

/**
 * A bridge network on many hosts: each host that has an endpoint of it has its bridge, and one more port there, a VXLAN link
 * (RFC 7348) that knows which host has which MAC. The gateway has the same addresses and the same MAC on every host, so a
 * container leaves by the host it is on.
 */
export const overlay: Mode = {
  ...bridge,
  options: overlayOptions,
  mtu: mtuOf,
  network: (network, self) => networkRows(network, self),
  endpoint: (network, endpoint, self) => [
    ...bridge.endpoint(sized(network, self), endpoint),
    ...neighbourRows(network, endpoint.mac, ownAddresses(endpoint)).map(must),
  ],
  elsewhere: {
    links: network => [linkName(network, 4), linkName(network, 6), bridgeName(network)],
    remote: remoteRows,
    holder: holderRows,
  } satisfies Elsewhere,
}

const optionsOf = (network: Network) => network.options as OverlayOptions

type Family = 4 | 6
export const familyOf = (address: string): Family => (address.includes(':') ? 6 : 4)

/** A VXLAN link speaks one family only, so a host with both has two. */
export const linkName = (network: Network, family: Family) =>
  `${family === 4 ? 'tsx' : 'tsy'}-${network.id.slice(0, 11)}`

const localOf = (self: Underlay, family: Family) => (family === 4 ? self.ipv4 : self.ipv6)

/** Outer Ethernet, IP, UDP and VXLAN headers, the inner Ethernet header among them (RFC 7348, section 5). */
const OVERHEAD = { 4: 50, 6: 70 } as const
const UNDERLAY_MTU = 1500

/** Bytes of the largest packet of a container: what is left of the underlay's, unless the user said it. */
export function mtuOf(network: Network, self: Underlay | undefined): number {
  const { mtu, underlayMtu } = optionsOf(network)
  return mtu ?? (underlayMtu ?? self?.mtu ?? UNDERLAY_MTU) - OVERHEAD[self?.ipv6 ? 6 : 4]
}

/** The network with its MTU chosen, for what is the same in bridge mode. */
const sized = (network: Network, self: Underlay | undefined): Network => ({
  ...network,
  options: { ...network.options, mtu: mtuOf(network, self) },
})

export const digest = (text: string) => createHash('sha256').update(text).digest()

/**
 * The network's identifier on the wire. Without one of the user's choice it is the same for all who know the network by the same
 * key, from the upper half of what there is: Docker counts from 4096 upwards. Two keys may meet in one; `-o vni` parts them.
 */
export function vniOf(network: Network): number {
  return optionsOf(network).vni ?? digest(sharedKey(network)).readUIntBE(0, 3) | 0x800000
}

/** The same on every host: a container that moves finds its gateway where it was. */
function gatewayMac(network: Network): string {
  const bytes = digest(`gateway of ${sharedKey(network)}`).subarray(0, 4)
  return ['02', '74', ...[...bytes].map(byte => byte.toString(16).padStart(2, '0'))].join(':')
}

function networkRows(network: Network, self: Underlay | undefined): Wanted[] {
  const name = bridgeName(network)
  const mac = gatewayMac(network)
  const rows = bridge
    .network(sized(network, self))
    .map(({ row }) => (row.kind === 'link' && row.name === name ? { ...row, mac } : row))
  const others = self ? [...tunnelRows(network, self), ...nameRows(network, self)] : []
  return [...rows, ...silenceRows(network), ...others].map(must)
}

/** Questions for names at the gateway go to where this host answers them. */
function nameRows(network: Network, { names }: Underlay): Row[] {
  if (names === undefined) return []
  return [...network.ipv4, ...network.ipv6].flatMap(({ gateway }) =>
    gateway === undefined ? [] : ['udp', 'tcp'].map(proto => nameRow(host(gateway), proto, String(names))),
  )
}

const nameRow = (gateway: string, proto: string, port: string): Row =>
  element(`ports${familyOf(gateway)}`, [gateway, proto, '53'], [gateway, port])

/**
 * The host never asks who has an address: it knows all containers of the network, here and elsewhere. A question in the name of the
 * gateway would go to other hosts, which have the same gateway.
 */
function silenceRows(network: Network): Row[] {
  const silent = (family: string): Row => ({
    kind: 'sysctl',
    key: `net/${family}/neigh/${bridgeName(network)}/mcast_solicit`,
    value: '0',
  })
  return [
    ...(network.ipv4.length > 0 ? [silent('ipv4')] : []),
    ...(network.ipv6.length > 0 ? [silent('ipv6')] : []),
  ]
}

function tunnelRows(network: Network, self: Underlay): Row[] {
  const families = ([4, 6] as const).filter(family => localOf(self, family) !== undefined)
  return [
    ...families.flatMap(family => [tunnelRow(network, self, family), ...shortcutRows(network, family)]),
    element('vnis', [String(self.port), String(vniOf(network))]),
  ]
}

/**
 * Nothing is learnt from what comes in: `locked` lets in frames of those MACs alone that other hosts vouch for, so nobody takes a MAC
 * over by sending in its name, nor the gateway's. Two tunnels of one host are isolated from each other: what came from a host never goes to one.
 */
function tunnelRow(network: Network, self: Underlay, family: Family): Row {
  return {
    kind: 'link',
    name: linkName(network, family),
    type: 'vxlan',
    up: true,
    mtu: mtuOf(network, self),
    vni: vniOf(network),
    udpPort: self.port,
    local: localOf(self, family) as string,
    inheritDf: optionsOf(network).pathMtu !== 'fragment',
    master: bridgeName(network),
    isolated: true,
    suppress: true,
    learning: false,
    locked: true,
    flood: optionsOf(network).multicast,
  }
}

function shortcutRows(network: Network, family: Family): Row[] {
  if (!hasShortcut(network)) return []
  return [{ kind: 'shortcut', link: linkName(network, family), bridge: bridgeName(network) }]
}

const ownAddresses = ({ ipv4, ipv6 }: Endpoint) => [ipv4, ipv6].flatMap(each => (each ? host(each) : []))

const neighbourRows = (network: Network, mac: string, addresses: readonly string[]): Row[] =>
  addresses.map(address => ({ kind: 'neighbour', link: bridgeName(network), address, mac }))

function remoteRows(...[network, { mac, addresses, vtep }, self]: Parameters<Elsewhere['remote']>): Row[] {
  const family = familyOf(vtep)
  if (localOf(self, family) === undefined) return []
  return [
    { kind: 'fdb', link: linkName(network, family), mac, to: vtep },
    ...neighbourRows(network, mac, addresses),
  ]
}

function holderRows(network: Network, vtep: string, self: Underlay): Row[] {
  const family = familyOf(vtep)
  if (!optionsOf(network).multicast || localOf(self, family) === undefined) return []
  return [{ kind: 'fdb', link: linkName(network, family), mac: EVERYBODY, to: vtep }]
}
