import { Refused } from '../core/errors.ts'
import type { IpvlanMode, MacvlanMode } from '../core/rows.ts'
import { bridgeWords, type Families, plain } from './bridge-options.ts'
import { bool, choice, linkName, readWords } from './options.ts'

/** `-o` words that both modes have. `docs/macvlan.md` and `docs/ipvlan.md` have them for people. */
const shared = {
  /** The host's link that containers' links hang on; `eth0.10` is VLAN 10 of eth0, made when it isn't there. */
  parent: linkName,
  mtu: bridgeWords.mtu,
  interface_prefix: bridgeWords.interface_prefix,
  /** The host itself reaches the containers. */
  host_access: bool,
  /** Before a container gets an address, the LAN is asked whether somebody has it. */
  probe: bool,
} as const

export const macvlanWords = {
  mode: choice('macvlan'),
  macvlan_mode: choice('bridge', 'private', 'vepa', 'passthru'),
  ...shared,
} as const

export const ipvlanWords = {
  mode: choice('ipvlan'),
  ipvlan_mode: choice('l2', 'l3', 'l3s'),
  ipvlan_flag: choice('bridge', 'private', 'vepa'),
  ...shared,
} as const

const labels = {
  'com.docker.network.driver.mtu': 'mtu',
  'com.docker.network.container_iface_prefix': 'interface_prefix',
} as const

export type LanOptions = {
  parent?: string
  link: MacvlanMode | IpvlanMode
  flag?: 'bridge' | 'private' | 'vepa'
  mtu?: number
  prefix: string
  hostAccess: boolean
  probe: boolean
}

type Shared = {
  parent?: string
  mtu?: number
  interface_prefix?: string
  host_access?: boolean
  probe?: boolean
}

/** Throws Refused with a sentence that names the word and what is allowed. */
export function macvlanOptions(words: Readonly<Record<string, string>>, network: Families): LanOptions {
  const { macvlan_mode = 'bridge', ...given } = readWords(macvlanWords, labels, plain(words))
  if (given.host_access && macvlan_mode !== 'bridge')
    throw new Refused(
      `option "host_access" needs macvlan_mode bridge: with ${macvlan_mode} the kernel hands no frame from one link of the parent to another`,
    )
  return { link: macvlan_mode, ...settled(given, network) }
}

/** Throws Refused with a sentence that names the word and what is allowed. */
export function ipvlanOptions(words: Readonly<Record<string, string>>, network: Families): LanOptions {
  const {
    ipvlan_mode = 'l2',
    ipvlan_flag = 'bridge',
    ...given
  } = readWords(ipvlanWords, labels, plain(words))
  if (given.host_access && ipvlan_flag !== 'bridge')
    throw new Refused(
      `option "host_access" needs ipvlan_flag bridge: with ${ipvlan_flag} the kernel hands no packet from one link of the parent to another`,
    )
  return { link: ipvlan_mode, flag: ipvlan_flag, ...settled(given, network) }
}

function settled(given: Shared, { ipv6 }: Families) {
  const { parent, mtu, interface_prefix: prefix = 'eth', host_access = false, probe = true } = given
  if (mtu !== undefined && ipv6 && mtu < 1280)
    throw new Refused(`option "mtu" can't be ${mtu}: IPv6 needs at least 1280 (RFC 8200)`)
  return {
    prefix,
    hostAccess: host_access,
    probe,
    ...(parent !== undefined && { parent }),
    ...(mtu !== undefined && { mtu }),
  }
}
