import { isIP, isIPv4, isIPv6 } from 'node:net'
import { Refused } from '../core/errors.ts'
import { bool, choice, integer, linkName, parsed, pattern, readWords } from './options.ts'

const gatewayMode = choice('nat', 'nat-unprotected', 'routed', 'isolated')
export type GatewayMode = 'nat' | 'nat-unprotected' | 'routed' | 'isolated'

/** `-o` words of bridge mode. `docs/bridge.md` has the same table for people; a test compares the two. */
export const bridgeWords = {
  mode: choice('bridge'),
  /** Name of the bridge on the host. */
  bridge: linkName,
  /** Bytes; 68 is RFC 791's smallest, 1280 RFC 8200's for IPv6. */
  mtu: integer(68, 65535),
  /** Containers of this network can't reach each other, only the outside. */
  isolation: bool,
  /** Frames between containers of this network go past the bridge, where the kernel can do that. */
  shortcut: bool,
  masquerade: bool,
  gateway_mode_ipv4: gatewayMode,
  gateway_mode_ipv6: gatewayMode,
  /** Source address of egress instead of the address of whichever link it leaves by. */
  host_ipv4: parsed(isIPv4, 'an IPv4 address'),
  host_ipv6: parsed(isIPv6, 'an IPv6 address'),
  /** Host address that ports are published at when `-p` names none. */
  publish_address: parsed(text => isIP(text) > 0, 'an IP address'),
  /** The bridge gets no IPv4 address: somebody else is the gateway. */
  inhibit_ipv4: bool,
  /** Host interfaces, separated by `:`, from which published ports are reachable at the container's own address. */
  trusted_host_interfaces: pattern(/^[^\s/:]{1,15}(:[^\s/:]{1,15})*$/, 'interface names separated by ":"'),
  /** Prefix of the interface's name inside containers. */
  interface_prefix: pattern(/^[^\s/:.]{1,10}$/, 'a prefix of 1 to 10 characters'),
} as const

/** Docker's labels and ours that mean the same; `true` under enable_icc is `false` under isolation. */
export const bridgeLabels = {
  'com.docker.network.bridge.name': 'bridge',
  'com.docker.network.driver.mtu': 'mtu',
  'com.docker.network.bridge.enable_ip_masquerade': 'masquerade',
  'com.docker.network.bridge.gateway_mode_ipv4': 'gateway_mode_ipv4',
  'com.docker.network.bridge.gateway_mode_ipv6': 'gateway_mode_ipv6',
  'com.docker.network.host_ipv4': 'host_ipv4',
  'com.docker.network.host_ipv6': 'host_ipv6',
  'com.docker.network.bridge.host_binding_ipv4': 'publish_address',
  'com.docker.network.bridge.inhibit_ipv4': 'inhibit_ipv4',
  'com.docker.network.bridge.trusted_host_interfaces': 'trusted_host_interfaces',
  'com.docker.network.container_iface_prefix': 'interface_prefix',
} as const

/** Labels that libnetwork itself acts on and merely shows us. */
const engineOwn = new Set([
  'com.docker.network.enable_ipv4',
  'com.docker.network.enable_ipv6',
  'com.docker.network.advertise_addr_nmsgs',
  'com.docker.network.advertise_addr_ms',
])

const icc = 'com.docker.network.bridge.enable_icc'

export type BridgeOptions = {
  bridge?: string
  mtu?: number
  isolation: boolean
  shortcut: boolean
  masquerade: boolean
  gateway4: GatewayMode
  gateway6: GatewayMode
  host4?: string
  host6?: string
  publishAddress?: string
  inhibit4: boolean
  trusted: string[]
  prefix: string
}

export type Families = { internal: boolean; ipv4: boolean; ipv6: boolean }

/** Parses the `-o` words of a bridge network; throws Refused with a sentence that names the word and what is allowed. */
export function bridgeOptions(words: Readonly<Record<string, string>>, network: Families): BridgeOptions {
  return settled(readWords(bridgeWords, bridgeLabels, plain(words)), network)
}

type Given = Omit<ReturnType<typeof readWords<typeof bridgeWords>>, 'mode'>

/** Options from words that were read: what wasn't given has its default, what contradicts itself is refused. */
export function settled(given: Given, network: Families): BridgeOptions {
  const options: BridgeOptions = {
    isolation: given.isolation ?? false,
    shortcut: given.shortcut ?? true,
    masquerade: given.masquerade ?? true,
    gateway4: given.gateway_mode_ipv4 ?? 'nat',
    gateway6: given.gateway_mode_ipv6 ?? 'nat',
    inhibit4: given.inhibit_ipv4 ?? false,
    trusted: given.trusted_host_interfaces?.split(':') ?? [],
    prefix: given.interface_prefix ?? 'eth',
    ...(given.bridge !== undefined && { bridge: given.bridge }),
    ...(given.mtu !== undefined && { mtu: given.mtu }),
    ...(given.host_ipv4 !== undefined && { host4: given.host_ipv4 }),
    ...(given.host_ipv6 !== undefined && { host6: given.host_ipv6 }),
    ...(given.publish_address !== undefined && { publishAddress: given.publish_address }),
  }
  agree(options, network)
  return options
}

/** Leaves out what is the engine's, and turns `enable_icc` into our word. */
export function plain(words: Readonly<Record<string, string>>): Record<string, string> {
  const entries = Object.entries(words).filter(([name]) => !engineOwn.has(name))
  return Object.fromEntries(
    entries.map(([name, text]) => (name === icc ? ['isolation', opposite(text)] : [name, text])),
  )
}

function opposite(text: string): string {
  const value = bool.parse(text)
  if (value === undefined)
    throw new Refused(`option "${icc}" can't be "${text}": it has to be ${bool.allowed}`)
  return String(!value)
}

/** Options that contradict each other or the network. */
function agree(options: BridgeOptions, network: Families): void {
  const isolated = options.gateway4 === 'isolated' || options.gateway6 === 'isolated'
  if (isolated && !network.internal)
    throw new Refused(
      'gateway mode "isolated" needs an internal network: give --internal, or choose nat or routed',
    )
  if (options.mtu !== undefined && network.ipv6 && options.mtu < 1280)
    throw new Refused(`option "mtu" can't be ${options.mtu}: IPv6 needs at least 1280 (RFC 8200)`)
}
