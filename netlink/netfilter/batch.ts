import { attribute, attributes } from '../attributes.ts'
import { be16, be32, u8 } from '../codec.ts'
import { body, type Request } from '../message.ts'

/** struct nfgenmsg (linux/netfilter/nfnetlink.h), the head of every nfnetlink message. */
export const nfgenmsg = { family: u8, version: u8, resource: be16 }

/** NFNL_SUBSYS_NFTABLES; a batch's begin and end name their subsystem as resource. */
export const NFTABLES = 10

export const batchSet = attributes({ generation: attribute(1, 'NFNL_BATCH_GENID', be32) })
const batch = body(nfgenmsg, batchSet)

/** NFNL_MSG_BATCH_BEGIN */
export const batchBegin = (generation?: number): Request<undefined> => ({
  type: 0x10,
  flags: 0,
  body: batch,
  value: generation === undefined ? { resource: NFTABLES } : { resource: NFTABLES, generation },
})

/** NFNL_MSG_BATCH_END */
export const batchEnd: Request<undefined> = {
  type: 0x11,
  flags: 0,
  body: batch,
  value: { resource: NFTABLES },
}
