export { ip, mac } from './address.ts'
export * as bpf from './bpf.ts'
export type { Options } from './channel.ts'
export { NetlinkError, TransactionError } from './error.ts'
export * as ethernet from './ethernet.ts'
export { ETH_P, Frames, type FramesOptions } from './frames.ts'
export { type Listener, listen, NFNLGRP, RTNLGRP } from './listener.ts'
export { type Dump, NLM_F, type Received, type Request } from './message.ts'
export { enterNamespace } from './native.ts'
export * from './netfilter/conntrack.ts'
export { type NftablesEvent, readNftables } from './netfilter/events.ts'
export {
  type Expression,
  expression,
  lookedUp,
  NFT_CMP,
  NFT_CT,
  NFT_FIB,
  NFT_META,
  NFT_NAT,
  NFT_PAYLOAD,
  NFT_REG,
} from './netfilter/expressions.ts'
export * from './netfilter/nftables.ts'
export { NFPROTO, NFT_MSG, NFT_SET, NFT_SET_ELEM, VERDICT } from './netfilter/tables.ts'
export type { Outcome } from './part.ts'
export { bindPort, type PortOptions } from './port.ts'
export * from './route/address.ts'
export * from './route/link.ts'
export * from './route/neighbour.ts'
export * from './route/policy.ts'
export * from './route/route.ts'
export * from './route/tbf.ts'
export * from './route/traffic.ts'
export { RTM } from './route/types.ts'
export { open, Socket } from './socket.ts'
