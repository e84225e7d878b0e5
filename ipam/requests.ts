import type { Clock, Store } from '../core/faces.ts'
import type { Dhcp } from './leased.ts'
import type { Space } from './pools.ts'
import type { Portion } from './portion.ts'

export type IpamDeps = {
  store: Store
  /** What of a pool, in CIDR form, is this host's; undefined when all of it is. */
  portion?(pool: string): Portion | undefined
  /** Absent when nobody may lease addresses from a LAN's DHCP server. */
  dhcp?: Dhcp | undefined
  clock: Clock
  /** Destinations of this host's routes that are on a link, in CIDR form: default pools stay clear of them. */
  routes(): Promise<readonly string[]>
  /** Something that only this host has, like the content of /etc/machine-id: IPv6 default pools derive from it. */
  seed: string
}

/** `dhcp` names the link of the host behind which a server gives the IPv4 addresses. */
export type PoolRequest = { space: Space; pool: string; range: string; v6: boolean; dhcp?: string }
export type PoolAnswer = { id: string; pool: string; gateway?: string }
/** `mac` of the container, and its name, if Docker tells them. */
export type AddressRequest = {
  pool: string
  address: string
  gateway: boolean
  mac?: string
  hostname?: string
}

/** An address that nobody else gets; it may be used once `write` has put it on the disk. */
export type Taken = { address: string; write(): Promise<void> }
