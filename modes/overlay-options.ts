import { Refused } from '../core/errors.ts'
import {
  type BridgeOptions,
  bridgeLabels,
  bridgeWords,
  type Families,
  plain,
  settled,
} from './bridge-options.ts'
import { bool, choice, integer, pattern, readWords } from './options.ts'

const { bridge: _, ...shared } = bridgeWords

/** `-o` words of overlay mode: those of bridge mode but the bridge's name, and its own. `docs/overlay.md` has them for people. */
export const overlayWords = {
  ...shared,
  mode: choice('overlay'),
  /** What all hosts call the network, where Docker's id differs from host to host. */
  name: pattern(/^[\w.:-]{1,128}$/, 'a name of 1 to 128 letters, digits and "_.:-"'),
  /** VXLAN network identifier, RFC 7348. */
  vni: integer(1, 0xffffff),
  /** Bytes of the largest packet that hosts can send to each other. */
  underlay_mtu: integer(576, 65535),
  /** Broadcast and multicast reach other hosts: a copy for each of them. */
  multicast: bool,
  /** What becomes of a packet that is too large for the way between two hosts, though not for their links. */
  path_mtu: choice('discover', 'fragment'),
  /** The user keeps the addresses of hosts apart, instead of tsnet. */
  addresses: choice('manual'),
} as const

const { 'com.docker.network.bridge.name': __, ...common } = bridgeLabels

/** What Docker's overlay calls the MTU is that of the network between the hosts. */
const labels = {
  ...common,
  'com.docker.network.driver.mtu': 'underlay_mtu',
  'com.docker.network.driver.overlay.vxlanid_list': 'vni',
} as const

export type OverlayOptions = BridgeOptions & {
  name?: string
  vni?: number
  underlayMtu?: number
  multicast: boolean
  /** Records of networks that are older than the option don't have it. */
  pathMtu?: 'discover' | 'fragment'
  addresses?: 'manual'
}

/** Parses the `-o` words of an overlay network; throws Refused with a sentence that names the word and what is allowed. */
export function overlayOptions(words: Readonly<Record<string, string>>, network: Families): OverlayOptions {
  if ('encrypted' in words)
    throw new Refused(
      'option "encrypted" is not known: tsnet does not encrypt VXLAN; put hosts that meet over a network you do not trust into a VPN, and give TSNET_VTEP its address',
    )
  const { name, vni, underlay_mtu, multicast, path_mtu, addresses, ...given } = readWords(
    overlayWords,
    labels,
    plain(words),
  )
  return {
    ...settled(given, network),
    multicast: multicast ?? false,
    ...(path_mtu !== undefined && { pathMtu: path_mtu }),
    ...(name !== undefined && { name }),
    ...(vni !== undefined && { vni }),
    ...(addresses !== undefined && { addresses }),
    ...(underlay_mtu !== undefined && { underlayMtu: underlay_mtu }),
  }
}
