/** What has been asked of this host. Records are plain data; the store keeps them, the modes turn them into rows. */

export type Proto = 'tcp' | 'udp' | 'sctp'

/** One address pool of a network as Docker's IPAMData (or CNI's range) names it. All addresses carry their prefix length. */
export type Subnet = {
  /** Network address in CIDR form, `10.77.0.0/24` or `fd00:77::/64`. */
  pool: string
  /** Gateway with prefix length; absent when none was allocated. */
  gateway?: string
  /** Addresses kept away from containers, by name. */
  aux: Record<string, string>
}

export type Network = {
  /** 64 hex digits from an engine, 25 base-36 characters from Swarm: opaque. */
  id: string
  mode: string
  /** Parsed by the mode's own `options` shape. */
  options: Record<string, unknown>
  internal: boolean
  ipv4: Subnet[]
  ipv6: Subnet[]
  /** What all hosts call it, where Docker's id differs per host; without, it is known by its id. */
  shared?: string
  /** Name of the CNI configuration that it was made for; Docker knows nothing of it. */
  conflist?: string
  /** What this host itself is called in it, without prefix length; only where hosts are the way to their containers. */
  own?: { ipv4?: string; ipv6?: string }
  /** Milliseconds since 1970 when it was created. */
  created: number
}

/** A port that a container wants to be reached at, as asked for. */
export type PortRequest = {
  proto: Proto
  /** Port inside the container, 1 to 65535. */
  port: number
  /** Host address to listen at; empty means every address of both families. */
  hostIp: string
  /** First host port; 0 asks for an ephemeral one. */
  hostPort: number
  /** Last host port of a range to choose from; equal to hostPort or 0 when there is no range. */
  hostPortEnd: number
  /** Whoever asks listens at the host port itself, before or after. */
  held?: boolean
}

/** A port as it was granted: one row per host address family. */
export type Publication = {
  proto: Proto
  hostIp: string
  hostPort: number
  address: string
  port: number
  /** By whoever asked for it, not by us. */
  held?: boolean
}

/** How fast something may be sent: bytes a second on the average, and bytes that may go at once. */
export type Rate = { rate: number; burst: number }

/** Whom an endpoint belongs to that a CNI runtime asked for: its link is born in the sandbox's namespace. */
export type Attachment = {
  /** Name of the configuration. */
  conflist: string
  container: string
  /** Name of the link inside. */
  ifname: string
  /** Path of the namespace, and the number of its file: a path may come to mean another one. */
  namespace: string
  inode: number
  /** Kubernetes' UID of the pod, which outlives its sandboxes. */
  pod?: string
  /** Besides those that the network gives. */
  routes: Route[]
  /** Limits of what it receives and of what it sends. */
  bandwidth?: { ingress?: Rate; egress?: Rate }
}

/** `to` in CIDR form; without `via` it is on the link. */
export type Route = { to: string; via?: string }

export type Endpoint = {
  id: string
  network: string
  /** Addresses with prefix length; at least one of the two. */
  ipv4?: string
  ipv6?: string
  mac: string
  /** `--driver-opt` words of this endpoint. */
  options: Record<string, string>
  /** Ports the user asked to publish; programmed only while `external`. */
  ports: PortRequest[]
  /** Path of the sandbox's namespace once the endpoint was joined. */
  sandbox?: string
  attachment?: Attachment
  /** Granted publications while this endpoint is its container's way to the outside. */
  published: Publication[]
  /** Milliseconds since 1970 when it was created: younger ones are never collected as garbage. */
  created: number
}

/** A pool that the IPAM driver handed out. */
export type Pool = {
  id: string
  /** Docker's, Swarm's, and that of networks which CNI configurations made. */
  space: 'local' | 'global' | 'cni'
  pool: string
  /** Sub-range that automatic addresses come from. */
  range?: string
  /** Link of the host behind which a DHCP server gives the addresses. */
  dhcp?: string
}

/** What a DHCP server granted, and to which MAC; RFC 2131's times in milliseconds since 1970. */
export type Granted = {
  mac: string
  hostname?: string
  address: string
  /** Prefix length. */
  length: number
  router?: string
  server: string
  /** MAC that the server is reached at. */
  via: string
  renew: number
  rebind: number
  expires: number
}

/** An address that the IPAM driver handed out. */
export type Lease = {
  id: string
  pool: string
  address: string
  gateway: boolean
  created: number
  /** Whose it is, if it isn't ours to give. */
  dhcp?: Granted
}

/** What this host must not forget of itself and of others in its cluster: its own key and counters, and their keys. */
export type Identity = { id: string; value: string }

/** One change of a record; a missing value deletes it. */
export type Change =
  | { table: 'network'; id: string; value?: Network }
  | { table: 'endpoint'; id: string; value?: Endpoint }
  | { table: 'pool'; id: string; value?: Pool }
  | { table: 'lease'; id: string; value?: Lease }
  | { table: 'identity'; id: string; value?: Identity }

export type Records = {
  networks: Map<string, Network>
  endpoints: Map<string, Endpoint>
  pools: Map<string, Pool>
  leases: Map<string, Lease>
  identities: Map<string, Identity>
}

/** The tables of records, by the word that a change calls them. */
export const tables = {
  network: 'networks',
  endpoint: 'endpoints',
  pool: 'pools',
  lease: 'leases',
  identity: 'identities',
} as const

export function emptyRecords(): Records {
  return {
    networks: new Map(),
    endpoints: new Map(),
    pools: new Map(),
    leases: new Map(),
    identities: new Map(),
  }
}

export function applyChange(records: Records, { table, id, value }: Change): void {
  const rows = records[tables[table]] as Map<string, unknown>
  if (value === undefined) rows.delete(id)
  else rows.set(id, value)
}
