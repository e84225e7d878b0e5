import { attribute, attributes } from '../attributes.ts'
import { u8, u16, u32, u64 } from '../codec.ts'
import { body, command, NLM_F, type Request } from '../message.ts'
import { struct } from '../struct.ts'
import { type Qdisc, TC_ROOT, tcmsg, trafficSet } from './traffic.ts'
import { RTM } from './types.ts'

/** TC_LINKLAYER_ETHERNET: the kernel computes times itself and needs no table of them. */
const ETHERNET = 1
/** Nanoseconds of a tick, in which a bucket's size is told (PSCHED_SHIFT in net/pkt_sched.h). */
const TICK = 64
const MOST = 0xffffffff

/** struct tc_tbf_qopt: two struct tc_ratespec, of which the second is not used here, then bytes of the queue and ticks of the bucket. */
const parameters = struct({
  cellLog: u8,
  linkLayer: u8,
  overhead: u16,
  cellAlign: u16,
  mpu: u16,
  rate: u32,
  peakCells: u32,
  peakAlign: u32,
  peakRate: u32,
  limit: u32,
  buffer: u32,
  mtu: u32,
})

export const tbfSet = attributes({
  parms: attribute(1, 'TCA_TBF_PARMS', parameters),
  rate64: attribute(4, 'TCA_TBF_RATE64', u64),
  burst: attribute(6, 'TCA_TBF_BURST', u32),
})
const tbfBody = body(tcmsg, attributes({ ...trafficSet.table, options: attribute(2, 'TCA_OPTIONS', tbfSet) }))

/** A bucket of tokens: bytes a second, bytes that may go at once, and bytes that wait at most. */
export type Tbf = { rate: number; burst: number; limit: number }

/** `tc qdisc replace dev … root handle … tbf rate … burst … limit …` */
export const replaceTbf = (index: number, handle: number, { rate, burst, limit }: Tbf): Request<undefined> =>
  command(RTM.NEWQDISC, NLM_F.CREATE | NLM_F.REPLACE, tbfBody, {
    index,
    handle,
    parent: TC_ROOT,
    kind: 'tbf',
    options: {
      parms: {
        cellLog: 0,
        linkLayer: ETHERNET,
        overhead: 0,
        cellAlign: 0,
        mpu: 0,
        rate: Math.min(rate, MOST),
        peakCells: 0,
        peakAlign: 0,
        peakRate: 0,
        limit,
        buffer: 0,
        mtu: 0,
      },
      burst,
      ...(rate > MOST && { rate64: BigInt(rate) }),
    },
  })

/** `tc qdisc del dev … root`. ENOENT when the link has none but the kernel's own. */
export const delRoot = (index: number): Request<undefined> =>
  command(RTM.DELQDISC, 0, tbfBody, { index, parent: TC_ROOT })

/** What a qdisc of this kind was told; the size of the bucket as its ticks give it, which may be some bytes off. */
export function readTbf({ options }: Qdisc): Tbf | undefined {
  const { parms, rate64 } = options ? tbfSet.read(options, 0, options.length) : {}
  if (!parms) return undefined
  const rate = rate64 === undefined ? parms.rate : Number(rate64)
  return { rate, burst: Math.round((parms.buffer * TICK * rate) / 1e9), limit: parms.limit }
}
