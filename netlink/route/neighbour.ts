import { ip, mac } from '../address.ts'
import { attribute, attributes } from '../attributes.ts'
import { be16, s32, u8, u16, u32 } from '../codec.ts'
import { body, command, type Dump, dump, NLM_F, query, type Request, stencil } from '../message.ts'
import { struct } from '../struct.ts'
import { RTM } from './types.ts'

const AF_INET = 2
const AF_BRIDGE = 7
const AF_INET6 = 10

const REPLACE = NLM_F.CREATE | NLM_F.REPLACE

/** `state` of an entry (linux/neighbour.h). */
export const NUD = {
  NONE: 0x00,
  INCOMPLETE: 0x01,
  REACHABLE: 0x02,
  STALE: 0x04,
  DELAY: 0x08,
  PROBE: 0x10,
  FAILED: 0x20,
  NOARP: 0x40,
  PERMANENT: 0x80,
} as const

/** `flags` of an entry. In an FDB, SELF is the link's own table (VXLAN's), MASTER that of the bridge it is a port of. */
export const NTF = {
  USE: 0x01,
  SELF: 0x02,
  MASTER: 0x04,
  PROXY: 0x08,
  EXT_LEARNED: 0x10,
  OFFLOADED: 0x20,
  STICKY: 0x40,
  ROUTER: 0x80,
} as const

/** struct ndmsg (linux/neighbour.h). */
export const ndmsg = { family: u8, _pad1: u8, _pad2: u16, index: s32, state: u16, flags: u8, type: u8 }

/** struct nda_cacheinfo; ages in hundredths of a second. */
const cacheInfo = struct({ confirmed: u32, used: u32, updated: u32, references: u32 })

export const neighbourSet = attributes({
  dst: attribute(1, 'NDA_DST', ip),
  lladdr: attribute(2, 'NDA_LLADDR', mac),
  cacheInfo: attribute(3, 'NDA_CACHEINFO', cacheInfo),
  probes: attribute(4, 'NDA_PROBES', u32),
  vlan: attribute(5, 'NDA_VLAN', u16),
  port: attribute(6, 'NDA_PORT', be16),
  vni: attribute(7, 'NDA_VNI', u32),
  ifindex: attribute(8, 'NDA_IFINDEX', u32),
  master: attribute(9, 'NDA_MASTER', u32),
  linkNetnsid: attribute(10, 'NDA_LINK_NETNSID', s32),
  srcVni: attribute(11, 'NDA_SRC_VNI', u32),
  protocol: attribute(12, 'NDA_PROTOCOL', u8),
  nhId: attribute(13, 'NDA_NH_ID', u32),
  flagsExt: attribute(15, 'NDA_FLAGS_EXT', u32),
})

export const neighbourBody = body(ndmsg, neighbourSet)
/** A neighbour or, with family AF_BRIDGE (7), an FDB entry. */
export type Neighbour = ReturnType<typeof neighbourBody.read>
type Wire = Parameters<typeof neighbourBody.write>[1]

/** An IP address on a link, and the link-layer address it is at. Permanent unless `state` says otherwise. */
export type NeighbourSpec = { index: number; dst: string; lladdr?: string } & Pick<
  Wire,
  'state' | 'flags' | 'protocol' | 'flagsExt'
>

const neighbour = (spec: NeighbourSpec): Wire => ({
  family: spec.dst.includes(':') ? AF_INET6 : AF_INET,
  state: NUD.PERMANENT,
  ...spec,
})

/** `ip neighbour add`. EEXIST when the address is known. */
export const newNeighbour = (spec: NeighbourSpec): Request<undefined> =>
  command(RTM.NEWNEIGH, NLM_F.CREATE | NLM_F.EXCL, neighbourBody, neighbour(spec))

/** `ip neighbour replace`. */
export const replaceNeighbour = (spec: NeighbourSpec): Request<undefined> =>
  command(RTM.NEWNEIGH, REPLACE, neighbourBody, neighbour(spec))

/** As replaceNeighbour, for many addresses of one link. Answers what makes a message of an address and where it is. */
export function replaceNeighbours(
  spec: Omit<NeighbourSpec, 'dst' | 'lladdr'>,
): (dst: string, lladdr: string) => Request<undefined> {
  const of = (family: number) => {
    const fixed = { family, state: NUD.PERMANENT, ...spec }
    return stencil(RTM.NEWNEIGH, REPLACE, neighbourBody, fixed, ['dst', 'lladdr'])
  }
  const [four, six] = [of(AF_INET), of(AF_INET6)]
  return (dst, lladdr) => (dst.includes(':') ? six : four)(dst, lladdr)
}

/** `ip neighbour del`: by link and address alone. ENOENT when it isn't there. */
export const delNeighbour = ({ index, dst }: { index: number; dst: string }): Request<undefined> =>
  command(RTM.DELNEIGH, 0, neighbourBody, neighbour({ index, dst }))

/** `ip neighbour get`: the one entry of an address. ENOENT when it isn't there. */
export const getNeighbour = ({ index, dst }: { index: number; dst: string }): Request<Neighbour> =>
  query(
    RTM.GETNEIGH,
    neighbourBody,
    { family: dst.includes(':') ? AF_INET6 : AF_INET, index, dst },
    neighbourBody,
  )

/** Reads the body of an RTM_NEWNEIGH or RTM_DELNEIGH event. */
export const readNeighbour = neighbourBody.read

/** `ip neighbour show`; of one family, link or master only, when asked. */
export const dumpNeighbours = (
  filter: { family?: number; index?: number; master?: number } = {},
): Dump<Neighbour> => {
  const { index, ...rest } = filter
  return dump(
    RTM.GETNEIGH,
    neighbourBody,
    index === undefined ? rest : { ...rest, ifindex: index },
    neighbourBody,
  )
}

/** A MAC behind a link: on a VXLAN `dst` is the tunnel's far end, and the all-zero MAC is where unknown frames go. */
export type FdbSpec = { index: number; lladdr: string } & Pick<
  Wire,
  | 'dst'
  | 'vlan'
  | 'port'
  | 'vni'
  | 'ifindex'
  | 'srcVni'
  | 'state'
  | 'flags'
  | 'nhId'
  | 'protocol'
  | 'flagsExt'
>

const fdb = (spec: Partial<FdbSpec>): Wire => ({
  family: AF_BRIDGE,
  state: NUD.PERMANENT | NUD.NOARP,
  flags: NTF.SELF,
  ...spec,
})

/** `bridge fdb add`. EEXIST when the MAC is known there. */
export const newFdb = (spec: FdbSpec): Request<undefined> =>
  command(RTM.NEWNEIGH, NLM_F.CREATE | NLM_F.EXCL, neighbourBody, fdb(spec))

/** `bridge fdb append`: one more destination of a MAC, which only the all-zero or a multicast one may have. */
export const appendFdb = (spec: FdbSpec): Request<undefined> =>
  command(RTM.NEWNEIGH, NLM_F.CREATE | NLM_F.APPEND, neighbourBody, fdb(spec))

/** `bridge fdb replace`. */
export const replaceFdb = (spec: FdbSpec): Request<undefined> =>
  command(RTM.NEWNEIGH, REPLACE, neighbourBody, fdb(spec))

/** As replaceFdb, for many MACs of one link. Answers what makes a message of a MAC and the tunnel's far end. */
export const replaceFdbs = (
  spec: Omit<FdbSpec, 'lladdr' | 'dst'>,
): ((lladdr: string, dst: string) => Request<undefined>) =>
  stencil(RTM.NEWNEIGH, REPLACE, neighbourBody, fdb(spec), ['lladdr', 'dst'])

/** `bridge fdb del`. ENOENT when it isn't there. */
export const delFdb = (spec: FdbSpec): Request<undefined> =>
  command(RTM.DELNEIGH, 0, neighbourBody, fdb(spec))

/** `bridge fdb get`: the entry of a MAC in the link's own table, or with NTF.MASTER in its bridge's. ENOENT when it isn't there. */
export const getFdb = (spec: { index: number; lladdr: string; flags: number }): Request<Neighbour> =>
  query(RTM.GETNEIGH, neighbourBody, { family: AF_BRIDGE, ...spec }, neighbourBody)

/** `bridge fdb show`; of one link or of one bridge's ports, when asked. */
export const dumpFdb = (filter: { index?: number; master?: number } = {}): Dump<Neighbour> =>
  dump(RTM.GETNEIGH, neighbourBody, { family: AF_BRIDGE, ...filter }, neighbourBody)
