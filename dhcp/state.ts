import type { Message } from './message.ts'

/** Who asks: `mac` is that of the link which will have the address. */
export type Client = { mac: string; hostname?: string }

/** What a server granted. Times in milliseconds since 1970. */
export type Lease = {
  address: string
  /** Prefix length. */
  length: number
  router?: string
  server: string
  /** MAC that the server's answer came from: its own, or that of the relay before it. */
  via: string
  /** T1 and T2 of RFC 2131: when the server is asked to go on, and when any server is. */
  renew: number
  rebind: number
  expires: number
}

/** INIT-REBOOT and REBOOTING are one here, and INIT and SELECTING: to wait is to have asked. */
export type Phase = 'selecting' | 'requesting' | 'rebooting' | 'bound' | 'renewing' | 'rebinding'

export type State = {
  client: Client
  phase: Phase
  xid: number
  /** When this exchange began. */
  began: number
  /** When it was last asked: times of a lease count from there. */
  asked: number
  tries: number
  /** When a tick is due. */
  wake: number
  /** The only address that will do. */
  wanted?: string
  /** Only wants to know what would be offered. */
  inquires: boolean
  offer?: Lease
  lease?: Lease
  /** A container uses the address, though the server doesn't vouch for it any more. */
  lost: boolean
}

export type Input = { type: 'heard'; message: Message; via: string } | { type: 'tick' }

export type Output =
  /** Without `to`, to everybody. */
  | { type: 'send'; message: Message; to?: { address: string; mac: string } }
  /** Answers an inquiry. */
  | { type: 'offered'; offer: Lease }
  /** The server offers another address than the one wanted. */
  | { type: 'elsewhere'; offered: string }
  /** Granted, granted for longer, or again after it was lost. */
  | { type: 'bound'; lease: Lease; again: boolean }
  /** Somebody's address has no lease any more; it is asked for again and again. */
  | { type: 'lost'; lease: Lease; why: 'refused' | 'expired'; words?: string }

export type Turn = { state: State; outputs: Output[] }
