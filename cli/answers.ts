/** What the daemon tells an operator. Plain data: printed for people by `print.ts`, as it is by `--json`. */

export type Status = {
  version: string
  /** Seconds since the daemon started. */
  uptime: number
  state: string
  /** What is wrong with the records on disk. */
  complaint?: string
  modes: string[]
  docker: { socket: string; version?: string; trouble?: string }
  counts: { networks: number; endpoints: number; pools: number; addresses: number }
  cluster?: ClusterStatus
  /** Why there is none. */
  alone?: string
}

export type ClusterStatus = {
  /** This host's id: 32 hex digits made from its signing key. */
  host: string
  bind: string
  tunnel: { ends: string[]; port: number; mtu: number }
  members: { alive: number; known: number }
  /** All that the others know was heard since the start. */
  complete: boolean
  keys: number
}

export type Member = {
  name: string
  host: string
  address: string
  /** `lost`: known from its records alone. `self` is this host. */
  state: 'self' | 'alive' | 'suspect' | 'dead' | 'left' | 'lost'
  incarnation: number
  tunnel: string[]
  /** Its table was equal to ours so many seconds ago; absent when it never was. */
  agreed?: number
}

export type Network = {
  id: string
  /** As Docker calls it; absent without Docker's API. */
  name?: string
  /** What all hosts call it. */
  key: string
  mode: string
  internal: boolean
  subnets: string[]
  vni?: number
  here: number
  elsewhere: number
  /** Names of the hosts that have endpoints of it. */
  hosts: string[]
}

export type Endpoint = {
  network: string
  id: string
  container?: string
  mac: string
  addresses: string[]
  host: string
  /** Where frames for it go; absent for one that is here. */
  tunnel?: string
  /** `0.0.0.0:8080->80/tcp` */
  published: string[]
  /** Addresses or MACs of it that are another host's, by the rule of conflicts: nothing is sent here for them. */
  refused?: { address: string; keeper: string }[]
}

/**
 * A line of the forwarding and neighbour tables. `missing`: wanted and not in the kernel; `extra`: there and not wanted; `contested`: no line of
 * the kernel, but an address that several hosts say is theirs.
 */
export type FdbLine = { network: string; line: string; state: 'same' | 'missing' | 'extra' | 'contested' }

export type Plan = { steps: string[] }

export type Forgotten = { host: string; name: string }

/** Who has which gossip key. Keys are told in full only when that was asked for. */
export type Keys = {
  keys: { key: string; hosts: number; primary: number }[]
  hosts: number
  /** Hosts that did not answer or could not do it, and why. */
  trouble: { host: string; reason: string }[]
}
