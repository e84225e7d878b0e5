import type { Endpoint } from './endpoint.ts'

/** Least, most and current version, of memberlist's protocol and of the application's (the delegate's). */
export type Vsn = readonly [
  pMin: number,
  pMax: number,
  pCur: number,
  dMin: number,
  dMax: number,
  dCur: number,
]

/** Protocol 2 is spoken and 1 to 5 understood, as memberlist does by default; serf's agent adds 2, 5, 5. */
export const serfVsn: Vsn = [1, 5, 2, 2, 5, 5]
export const defaultVsn: Vsn = [1, 5, 2, 1, 1, 1]

/** Most bytes of meta data of a node. */
export const largestMeta = 512

/** Times are in milliseconds. */
export type Timing = {
  probeInterval: number
  probeTimeout: number
  /** Peers that are asked to ping a node that didn't answer. */
  indirectChecks: number
  suspicionMult: number
  suspicionMaxTimeoutMult: number
  retransmitMult: number
  gossipInterval: number
  gossipNodes: number
  gossipToTheDeadTime: number
  pushPullInterval: number
  /** The health score stays below. */
  awarenessMaxMultiplier: number
  /** After this a dead node's name may come back with another address; 0 is never. */
  deadNodeReclaimTime: number
  /** How often a member that was lost, or a seed that is none yet, may be tried; how long a lost one is remembered. */
  rejoinInterval: number
  rejoinTime: number
}

/** memberlist's DefaultLANConfig; rejoining is ours. */
export const lan: Timing = {
  probeInterval: 1000,
  probeTimeout: 500,
  indirectChecks: 3,
  suspicionMult: 4,
  suspicionMaxTimeoutMult: 6,
  retransmitMult: 4,
  gossipInterval: 200,
  gossipNodes: 3,
  gossipToTheDeadTime: 30_000,
  pushPullInterval: 30_000,
  awarenessMaxMultiplier: 8,
  deadNodeReclaimTime: 0,
  rejoinInterval: 2000,
  rejoinTime: 72 * 3_600_000,
}

/** memberlist's DefaultWANConfig. */
export const wan: Timing = {
  ...lan,
  probeInterval: 5000,
  probeTimeout: 3000,
  suspicionMult: 6,
  gossipInterval: 500,
  gossipNodes: 4,
  gossipToTheDeadTime: 60_000,
  pushPullInterval: 60_000,
}

/** memberlist's DefaultLocalConfig. */
export const local: Timing = {
  ...lan,
  probeTimeout: 200,
  indirectChecks: 1,
  suspicionMult: 3,
  retransmitMult: 2,
  gossipInterval: 100,
  gossipToTheDeadTime: 15_000,
  pushPullInterval: 15_000,
}

export type Config = {
  name: string
  /** Where the others reach this node. */
  endpoint: Endpoint
  meta: Buffer
  vsn: Vsn
  /** The first one of this life: above every one of an earlier life. */
  incarnation: number
  /** Tried again and again while they are no members. */
  seeds: readonly Endpoint[]
  /** Room for messages in one datagram, in bytes. */
  packetSize: number
  timing: Timing
}
