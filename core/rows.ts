import type { Proto, Rate, Route } from './records.ts'

/**
 * A row is one thing in the kernel, as plain data. Wanted rows come from the modes, present rows from the kernel;
 * `diff` compares them. Links are named, never numbered: an ifindex goes no further than `kernel/`.
 */
export type Row =
  | LinkRow
  | AddressRow
  | FdbRow
  | NeighbourRow
  | RouteRow
  | SysctlRow
  | ChainRow
  | SetRow
  | ElementRow
  | PortRow
  | AcceptRow
  | ShortcutRow
  | RateRow

export type LinkRow = {
  kind: 'link'
  name: string
  type: 'bridge' | 'veth' | 'vxlan' | 'macvlan' | 'ipvlan' | 'vlan'
  up: boolean
  /** Bytes; absent leaves the kernel's choice. */
  mtu?: number
  mac?: string
  /** Bridge that this link is a port of. */
  master?: string
  /** The other end of a veth: given at birth, never compared, for libnetwork moves and renames it. */
  peer?: { name: string; mac?: string; mtu?: number; inside?: Inside }
  /** Bridge port: frames may leave by the port they came in (IFLA_BRPORT_MODE). */
  hairpin?: boolean
  /** Bridge port: isolated ports don't reach each other (IFLA_BRPORT_ISOLATED). */
  isolated?: boolean
  /** VXLAN: network identifier, 24 bits. */
  vni?: number
  /** VXLAN: UDP port that it sends to and is reached at. */
  udpPort?: number
  /** VXLAN: source address of its packets; its family is that of every destination. */
  local?: string
  /** VXLAN: its packets may be cut on the way only if the packet inside may (IFLA_VXLAN_DF inherit), so senders learn the path's MTU. */
  inheritDf?: boolean
  /** Bridge port: answers ARP and ND for neighbours behind it, and keeps such requests from it (IFLA_BRPORT_NEIGH_SUPPRESS). */
  suppress?: boolean
  /** Bridge port: takes the source of a frame for the place of that MAC (IFLA_BRPORT_LEARNING). */
  learning?: boolean
  /** Bridge port: only frames from MACs that the FDB has behind it come in (IFLA_BRPORT_LOCKED). */
  locked?: boolean
  /** Bridge port: broadcast and multicast go out (IFLA_BRPORT_BCAST_FLOOD and MCAST_FLOOD). */
  flood?: boolean
  /** macvlan, ipvlan and VLAN: the link that its frames leave by. */
  parent?: string
  /** macvlan and ipvlan: how links of one parent reach each other. */
  mode?: MacvlanMode | IpvlanMode
  /** ipvlan: whether links of one parent reach each other, and by whom. */
  flag?: 'bridge' | 'private' | 'vepa'
  /** VLAN: its identifier, 1 to 4094 (IEEE 802.1Q). */
  tag?: number
  /** macvlan and ipvlan: moved into a container's namespace once it is made, never compared. */
  inside?: Inside & { prefix: string }
  /** Read only: a bridge or VLAN that somebody else made. Adding it means using it, deleting it means letting go of it. */
  adopted?: boolean
}

export type MacvlanMode = 'bridge' | 'private' | 'vepa' | 'passthru'
export type IpvlanMode = 'l2' | 'l3' | 'l3s'

/** How a link is furnished in a container's namespace: with addresses in CIDR form and routes, up, and sending no faster than `rate`. */
export type Inside = { namespace: string; addresses: string[]; routes: Route[]; rate?: Rate }

/** Read by what it is: with `scope` link, the host never calls itself by it where another address would do. */
export type AddressRow = { kind: 'address'; link: string; address: string; scope?: 'link' }

/**
 * A MAC behind a tunnel end point: an entry of the VXLAN link and one of its bridge, made and read as one. The all-zero MAC is
 * where frames for everybody go, and may have many destinations. Read only: `to` is empty where the two tables disagree.
 */
export type FdbRow = { kind: 'fdb'; link: string; mac: string; to: string }
export const EVERYBODY = '00:00:00:00:00:00'

/** A permanent entry of the neighbour table: `address` without prefix length is at this MAC. */
export type NeighbourRow = { kind: 'neighbour'; link: string; address: string; mac: string }

/**
 * A way to a prefix by a neighbour of the link, or without `via` on the link; packets of the host's own have the source `src`, or
 * the address that link `srcOf` has now.
 */
export type RouteRow = { kind: 'route'; to: string; link: string; via?: string; src?: string; srcOf?: string }

/**
 * `key` is the path below /proc/sys, `net/ipv4/ip_forward`. Those of the whole host are never taken back; deleting one of a
 * link gives it the value of `conf/default`.
 */
export type SysctlRow = { kind: 'sysctl'; key: string; value: string }

/** A chain of table `inet tsnet`. `rules` are nft's own words. The kernel keeps their digest in the chain's comment. */
export type ChainRow = { kind: 'chain'; name: string; hook?: string; rules: string[] }

/** A named set or map of table `inet tsnet`. `type` are nft's type words of each field of the key. */
export type SetRow = {
  kind: 'set'
  name: string
  type: FieldType[]
  value?: FieldType[] | 'verdict'
  interval?: boolean
}

export type FieldType = 'ipv4_addr' | 'ipv6_addr' | 'inet_proto' | 'inet_service' | 'ifname' | 'vni'

/** An element: `key` and `value` are the fields as nft prints them. Its set is a SetRow of the same name. */
export type ElementRow = { kind: 'element'; set: string; key: string[]; value?: string[] }

/**
 * A host port held by a socket that is bound and never listens, so that no other program takes the port and a stray
 * packet is refused rather than swallowed. It lives as long as the daemon.
 */
export type PortRow = { kind: 'port'; proto: Proto; address: string; port: number }

/**
 * "Leave our bridges to us" in an iptables FORWARD chain: an accept in our own table doesn't override a DROP policy in
 * another. `backend` tells which of the two iptables kernels holds the chain.
 */
export type AcceptRow = { kind: 'accept'; backend: 'legacy' | 'nft'; family: 'ipv4' | 'ipv6' }

/**
 * Frames for `mac` from other ports of the bridge that have a shortcut go straight to the container behind `link`, a port of
 * the bridge itself, and what it sends is looked at likewise. Without `mac` the link is a tunnel, and frames for all MACs that it has
 * FDB entries for go straight into it. It goes with its link.
 */
export type ShortcutRow = { kind: 'shortcut'; link: string; bridge: string; mac?: string }

/** What a link sends waits its turn in a token bucket (`tc qdisc show`, kind tbf). It goes with its link. */
export type RateRow = { kind: 'rate'; link: string } & Rate

/** must: has to be there. may: absent is fine, present is corrected. Rows that are neither must not be there. */
export type Presence = 'must' | 'may'
export type Wanted = { row: Row; presence: Presence }

/** What the kernel takes as the identity of a row. */
export function key(row: Row): string {
  switch (row.kind) {
    case 'link':
      return `link ${row.name}`
    case 'address':
      return `address ${row.link} ${row.address}`
    case 'fdb':
      return `fdb ${row.link} ${row.mac}${row.mac === EVERYBODY ? ` ${row.to}` : ''}`
    case 'neighbour':
      return `neighbour ${row.link} ${row.address}`
    case 'route':
      return `route ${row.to}`
    case 'sysctl':
      return `sysctl ${row.key}`
    case 'chain':
    case 'set':
      return `${row.kind} ${row.name}`
    case 'element':
      return `element ${row.set} ${row.key.join(' . ')}`
    case 'port':
      return `port ${row.proto} ${row.address} ${row.port}`
    case 'accept':
      return `accept ${row.backend} ${row.family}`
    case 'shortcut':
    case 'rate':
      return `${row.kind} ${row.link}`
  }
}

/**
 * add: it is absent. set: it is there, what differs can be changed in place. replace: what differs is given at birth,
 * so delete and add. delete: nobody wants it.
 */
export type Verb = 'add' | 'set' | 'replace' | 'delete'
export type Step = {
  verb: Verb
  row: Row /** The present row, for set, replace and delete. */
  was?: Row
  reason: string
}
