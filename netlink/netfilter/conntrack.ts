import { ip } from '../address.ts'
import { attribute, attributes, nested } from '../attributes.ts'
import { be16, be32, be64, raw, u8, u16, u32 } from '../codec.ts'
import { body, command, type Dump, dump, query, type Request } from '../message.ts'
import { nfgenmsg } from './batch.ts'

const NFNL_SUBSYS_CTNETLINK = 1
const type = (message: number): number => (NFNL_SUBSYS_CTNETLINK << 8) | message
const IPCTNL_MSG_CT = { GET: type(1), DELETE: type(2) }

export const tupleIpSet = attributes({
  src4: attribute(1, 'CTA_IP_V4_SRC', ip),
  dst4: attribute(2, 'CTA_IP_V4_DST', ip),
  src6: attribute(3, 'CTA_IP_V6_SRC', ip),
  dst6: attribute(4, 'CTA_IP_V6_DST', ip),
})

export const tupleProtoSet = attributes({
  number: attribute(1, 'CTA_PROTO_NUM', u8),
  srcPort: attribute(2, 'CTA_PROTO_SRC_PORT', be16),
  dstPort: attribute(3, 'CTA_PROTO_DST_PORT', be16),
  icmpId: attribute(4, 'CTA_PROTO_ICMP_ID', be16),
  icmpType: attribute(5, 'CTA_PROTO_ICMP_TYPE', u8),
  icmpCode: attribute(6, 'CTA_PROTO_ICMP_CODE', u8),
  icmp6Id: attribute(7, 'CTA_PROTO_ICMPV6_ID', be16),
  icmp6Type: attribute(8, 'CTA_PROTO_ICMPV6_TYPE', u8),
  icmp6Code: attribute(9, 'CTA_PROTO_ICMPV6_CODE', u8),
})

export const tupleSet = attributes({
  ip: attribute(1, 'CTA_TUPLE_IP', nested(tupleIpSet)),
  proto: attribute(2, 'CTA_TUPLE_PROTO', nested(tupleProtoSet)),
  zone: attribute(3, 'CTA_TUPLE_ZONE', be16),
})

export const tcpSet = attributes({
  state: attribute(1, 'CTA_PROTOINFO_TCP_STATE', u8),
  wscaleOriginal: attribute(2, 'CTA_PROTOINFO_TCP_WSCALE_ORIGINAL', u8),
  wscaleReply: attribute(3, 'CTA_PROTOINFO_TCP_WSCALE_REPLY', u8),
  flagsOriginal: attribute(4, 'CTA_PROTOINFO_TCP_FLAGS_ORIGINAL', u16),
  flagsReply: attribute(5, 'CTA_PROTOINFO_TCP_FLAGS_REPLY', u16),
})

export const protoInfoSet = attributes({ tcp: attribute(1, 'CTA_PROTOINFO_TCP', nested(tcpSet)) })

export const countersSet = attributes({
  packets: attribute(1, 'CTA_COUNTERS_PACKETS', be64),
  bytes: attribute(2, 'CTA_COUNTERS_BYTES', be64),
})

/** Which fields of the tuples have to match (CTA_FILTER_F_*, net/netfilter/nf_internals.h in the kernel). */
export const CTA_FILTER_F = {
  IP_SRC: 0x01,
  IP_DST: 0x02,
  ZONE: 0x04,
  PROTO_NUM: 0x08,
  SRC_PORT: 0x10,
  DST_PORT: 0x20,
} as const

export const filterSet = attributes({
  orig: attribute(1, 'CTA_FILTER_ORIG_FLAGS', u32),
  reply: attribute(2, 'CTA_FILTER_REPLY_FLAGS', u32),
})

export const conntrackSet = attributes({
  orig: attribute(1, 'CTA_TUPLE_ORIG', nested(tupleSet)),
  reply: attribute(2, 'CTA_TUPLE_REPLY', nested(tupleSet)),
  status: attribute(3, 'CTA_STATUS', be32),
  protoInfo: attribute(4, 'CTA_PROTOINFO', nested(protoInfoSet)),
  timeout: attribute(7, 'CTA_TIMEOUT', be32),
  mark: attribute(8, 'CTA_MARK', be32),
  countersOrig: attribute(9, 'CTA_COUNTERS_ORIG', nested(countersSet)),
  countersReply: attribute(10, 'CTA_COUNTERS_REPLY', nested(countersSet)),
  use: attribute(11, 'CTA_USE', be32),
  id: attribute(12, 'CTA_ID', be32),
  zone: attribute(18, 'CTA_ZONE', be16),
  markMask: attribute(21, 'CTA_MARK_MASK', be32),
  labels: attribute(22, 'CTA_LABELS', raw),
  filter: attribute(25, 'CTA_FILTER', nested(filterSet)),
  statusMask: attribute(26, 'CTA_STATUS_MASK', be32),
})

export const conntrackBody = body(nfgenmsg, conntrackSet)
export type Conntrack = ReturnType<typeof conntrackBody.read>
type Wire = Parameters<typeof conntrackBody.write>[1]
export type Tuple = NonNullable<Conntrack['orig']>

/** One direction of a flow; what is left out doesn't matter to a filter, but deleting needs the whole tuple. */
export type Flow = { src?: string; dst?: string; proto?: number; srcPort?: number; dstPort?: number }

const AF_INET = 2
const AF_INET6 = 10

function familyOf(flow: Flow): number {
  return `${flow.src ?? ''}${flow.dst ?? ''}`.includes(':') ? AF_INET6 : AF_INET
}

function present<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as never
}

/** A flow as a tuple of attributes. */
export function tuple({ src, dst, proto, srcPort, dstPort }: Flow): Tuple {
  const addresses = `${src}${dst}`.includes(':') ? { src6: src, dst6: dst } : { src4: src, dst4: dst }
  return { ip: present(addresses), proto: present({ number: proto, srcPort, dstPort }) } as Tuple
}

function flags(flow: Flow | undefined): number {
  return (
    (flow?.src === undefined ? 0 : CTA_FILTER_F.IP_SRC) |
    (flow?.dst === undefined ? 0 : CTA_FILTER_F.IP_DST) |
    (flow?.proto === undefined ? 0 : CTA_FILTER_F.PROTO_NUM) |
    (flow?.srcPort === undefined ? 0 : CTA_FILTER_F.SRC_PORT) |
    (flow?.dstPort === undefined ? 0 : CTA_FILTER_F.DST_PORT)
  )
}

/** What a dump is to be narrowed to. Ports need `proto`, and a tuple needs at least one address (they tell the family). */
export type FlowFilter = { family?: number; orig?: Flow; reply?: Flow; mark?: number; markMask?: number }

function filter({ family, orig, reply, ...rest }: FlowFilter): Wire {
  const some = orig ?? reply
  if (!some) return { family: family ?? 0, ...rest }
  return {
    family: family ?? familyOf({ ...orig, ...reply }),
    ...(orig && { orig: tuple(orig) }),
    ...(reply && { reply: tuple(reply) }),
    filter: { orig: flags(orig), reply: flags(reply) },
    ...rest,
  }
}

/** `conntrack -L`, narrowed by the kernel (from Linux 5.8 on; older ones answer everything). */
export const dumpConntracks = (narrow: FlowFilter = {}): Dump<Conntrack> =>
  dump(IPCTNL_MSG_CT.GET, conntrackBody, filter(narrow), conntrackBody)

/** The connection with this tuple. ENOENT when there is none. */
export const getConntrack = (flow: Required<Flow>): Request<Conntrack> =>
  query(IPCTNL_MSG_CT.GET, conntrackBody, { family: familyOf(flow), orig: tuple(flow) }, conntrackBody)

/** Forgets one connection, by its whole original tuple as a dump gave it; `id` guards against a newer one. ENOENT when it is gone. */
export const delConntrack = ({ family, orig, zone, id }: Conntrack): Request<undefined> =>
  command(IPCTNL_MSG_CT.DELETE, 0, conntrackBody, present({ family, orig, zone, id }) as Wire)
