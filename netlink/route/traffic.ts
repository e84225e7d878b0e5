import { attribute, attributes } from '../attributes.ts'
import { raw, s32, text, u8, u16, u32 } from '../codec.ts'
import { body, command, type Dump, dump, NLM_F, query, type Request } from '../message.ts'
import { RTM } from './types.ts'

/** struct tcmsg (linux/rtnetlink.h). Of a filter, `info` is its priority and its protocol. */
export const tcmsg = { family: u8, _pad1: u8, _pad2: u16, index: s32, handle: u32, parent: u32, info: u32 }

/** TC_H_ROOT: the qdisc that a link sends through. */
export const TC_ROOT = 0xffffffff
/** TC_H_INGRESS, and what tc calls the qdisc that is there (linux/pkt_sched.h). */
const INGRESS = 0xfffffff1
const INGRESS_HANDLE = 0xffff0000
/** TCM_IFINDEX_MAGIC_BLOCK: `parent` is the number of a block that many qdiscs share. */
const BLOCK = -1
/** ETH_P_ALL in network order. */
const ALL_PROTOCOLS = 0x0300
/** TCA_BPF_FLAG_ACT_DIRECT: what the program answers is the verdict. */
const DIRECT_ACTION = 1

export const bpfSet = attributes({
  classid: attribute(3, 'TCA_BPF_CLASSID', u32),
  fd: attribute(6, 'TCA_BPF_FD', u32),
  name: attribute(7, 'TCA_BPF_NAME', text),
  flags: attribute(8, 'TCA_BPF_FLAGS', u32),
  flagsGen: attribute(9, 'TCA_BPF_FLAGS_GEN', u32),
  tag: attribute(10, 'TCA_BPF_TAG', raw),
  id: attribute(11, 'TCA_BPF_ID', u32),
})

/** The options stay raw at first: what they mean hangs on the kind beside them. */
export const trafficSet = attributes({
  kind: attribute(1, 'TCA_KIND', text),
  options: attribute(2, 'TCA_OPTIONS', raw),
  chain: attribute(11, 'TCA_CHAIN', u32),
  hwOffload: attribute(12, 'TCA_HW_OFFLOAD', u8),
  ingressBlock: attribute(13, 'TCA_INGRESS_BLOCK', u32),
  egressBlock: attribute(14, 'TCA_EGRESS_BLOCK', u32),
})
export const bpfFilterSet = attributes({ ...trafficSet.table, options: attribute(2, 'TCA_OPTIONS', bpfSet) })

export const trafficBody = body(tcmsg, trafficSet)
export const bpfFilterBody = body(tcmsg, bpfFilterSet)

/** A queueing discipline; `ingressBlock` is the block whose filters see what comes in. */
export type Qdisc = ReturnType<typeof trafficBody.read>

/** A filter. Without `bpf`, it is of another kind. */
export type Filter = Qdisc & { priority: number; bpf?: ReturnType<typeof bpfSet.read> }

const ingress = (index: number) => ({
  index,
  handle: INGRESS_HANDLE,
  parent: INGRESS,
  kind: 'ingress',
})

/**
 * `tc qdisc add dev … ingress_block … ingress`. EEXIST when there is one. A block of filters is there as long as a qdisc uses
 * it. `ingress` and not `clsact`, which would make every link of the host look for filters on its way out, too. On a link
 * that is up, it costs a moment without sending (qdisc_graft in net/sched/sch_api.c).
 */
export const newIngress = (index: number, block: number): Request<undefined> =>
  command(RTM.NEWQDISC, NLM_F.CREATE | NLM_F.EXCL, trafficBody, { ...ingress(index), ingressBlock: block })

/** `tc qdisc del dev … ingress`. EINVAL or ENOENT when there is none. */
export const delIngress = (index: number): Request<undefined> =>
  command(RTM.DELQDISC, 0, trafficBody, ingress(index))

/**
 * `tc qdisc show dev … ingress`, of either kind. ENOENT or EBADMSG when there is none. The answer is an event, which reaches
 * the one who asked by NLM_F_ECHO only (qdisc_get_notify in net/sched/sch_api.c).
 */
export const getIngress = (index: number): Request<Qdisc> => getQdisc(index, INGRESS)

/** `tc qdisc show dev … root`, likewise. */
export const getRoot = (index: number): Request<Qdisc> => getQdisc(index, TC_ROOT)

const getQdisc = (index: number, parent: number): Request<Qdisc> => ({
  ...query(RTM.GETQDISC, trafficBody, { index, parent }, trafficBody),
  flags: NLM_F.ECHO,
})

/** `tc qdisc show`: those of every link. */
export const dumpQdiscs = (): Dump<Qdisc> => dump(RTM.GETQDISC, trafficBody, {}, trafficBody)

/** A place among the filters of a block. */
export type Place = { block: number; priority: number; handle: number }

/** `info` has the priority above and the protocol below (TC_H_MAKE in tc_new_tfilter). */
const place = ({ block, priority, handle }: Place, protocol: number) => ({
  index: BLOCK,
  handle,
  parent: block,
  info: ((priority << 16) | protocol) >>> 0,
  kind: 'bpf',
})

const program = (at: Place, { fd, name }: Program) => ({
  ...place(at, ALL_PROTOCOLS),
  options: { fd, name, flags: DIRECT_ACTION },
})

/** A program by its descriptor, and what `tc filter show` is to call it. */
export type Program = { fd: number; name: string }

/** `tc filter add block … pref … handle … bpf direct-action`. EEXIST when the place is taken, EINVAL when there is no such block. */
export const newBpfFilter = (at: Place, runs: Program): Request<undefined> =>
  command(RTM.NEWTFILTER, NLM_F.CREATE | NLM_F.EXCL, bpfFilterBody, program(at, runs))

/** `tc filter replace block … pref … handle … bpf direct-action`. */
export const replaceBpfFilter = (at: Place, runs: Program): Request<undefined> =>
  command(RTM.NEWTFILTER, NLM_F.CREATE, bpfFilterBody, program(at, runs))

/** `tc filter del block … pref … handle … bpf`. */
export const delBpfFilter = (at: Place): Request<undefined> =>
  command(RTM.DELTFILTER, 0, trafficBody, place(at, 0))

const filter = {
  read(bytes: Buffer, from: number, to: number): Filter {
    const common = trafficBody.read(bytes, from, to)
    const { kind, options, info } = common
    const bpf = kind === 'bpf' && options ? { bpf: bpfSet.read(options, 0, options.length) } : {}
    return { ...common, priority: info >>> 16, ...bpf }
  },
}

/** `tc filter show block …`; EINVAL when there is no such block. */
export const dumpFilters = (block: number): Dump<Filter> =>
  dump(RTM.GETTFILTER, trafficBody, { index: BLOCK, parent: block }, filter)
