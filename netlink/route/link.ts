import { attribute, attributes, nested } from '../attributes.ts'
import { body, command, type Dump, dump, NLM_F, query, type Request } from '../message.ts'
import { bridgePortSet } from './bridge.ts'
import { type LinkKind, type LinkPort, linkInfo, linkInfoSet } from './linkinfo.ts'
import { ifinfomsg, type PlainLink, type plainLinkBody, plainLinkTable } from './plainlink.ts'
import { RTM } from './types.ts'

const AF_BRIDGE = 7
const IFF_UP = 1
/** Statistics cost the kernel more than all the rest of a link's answer (RTEXT_FILTER_SKIP_STATS). */
const SKIP_STATS = 8

export const linkSet = attributes({ ...plainLinkTable, info: attribute(18, 'IFLA_LINKINFO', linkInfo) })
/** Messages of family AF_BRIDGE: the link seen as a port. */
export const portLinkSet = attributes({
  name: plainLinkTable.name,
  address: plainLinkTable.address,
  mtu: plainLinkTable.mtu,
  master: plainLinkTable.master,
  operstate: plainLinkTable.operstate,
  port: attribute(12, 'IFLA_PROTINFO', nested(bridgePortSet)),
})

export const linkBody = body(ifinfomsg, linkSet)
const portBody = body(ifinfomsg, portLinkSet)

/** How to find a link: by number or by name. */
export type LinkRef = { index: number } | { name: string }

/**
 * A link to make or what to change of one. `up` sets or clears IFF_UP. `port` are its settings as a port of the bridge
 * that it already is a port of. `alias` is for setLink alone: the kernel passes over it when it makes a link.
 */
export type LinkSpec = PlainLink &
  (LinkKind | { kind?: never; data?: never }) & { up?: boolean; port?: LinkPort }

/** A link as the kernel describes it. Kinds that have no table read as `other`; a physical link has no kind. */
export type Link = ReturnType<typeof plainLinkBody.read> & { up: boolean; port?: LinkPort } & (
    | LinkKind
    | { kind: 'other'; other: string; data?: never }
    | { kind?: never; data?: never }
  )

function toWire({ kind, data, port, up, ...rest }: LinkSpec): Parameters<typeof linkBody.write>[1] {
  const info = kind || port ? { info: { kind, data, port } as never } : {}
  return up === undefined
    ? { ...rest, ...info }
    : { flags: up ? IFF_UP : 0, change: IFF_UP, ...rest, ...info }
}

const link = {
  read(bytes: Buffer, from: number, to: number): Link {
    const { info, ...rest } = linkBody.read(bytes, from, to)
    return { ...rest, ...info, up: (rest.flags & IFF_UP) !== 0 } as Link
  },
}

/** Reads the body of an RTM_NEWLINK or RTM_DELLINK event. */
export const readLink = link.read

const outlineSet = attributes({
  address: plainLinkTable.address,
  name: plainLinkTable.name,
  master: plainLinkTable.master,
  info: attribute(18, 'IFLA_LINKINFO', attributes({ kind: linkInfoSet.table.kind })),
  alias: plainLinkTable.alias,
  group: plainLinkTable.group,
})
const outlineBody = body(ifinfomsg, outlineSet)

/** A link without its settings, of which a port of a bridge has some eighty. The kind is in the kernel's words. */
export type Outline = Omit<ReturnType<typeof outlineBody.read>, 'info'> & { up: boolean; kind?: string }

const outline = {
  read(bytes: Buffer, from: number, to: number): Outline {
    const { info, ...rest } = outlineBody.read(bytes, from, to)
    return { ...rest, ...info, up: (rest.flags & IFF_UP) !== 0 }
  },
}

/** As readLink. */
export const readOutline = outline.read

/** `ip link add`. EEXIST when the name is taken. */
export const newLink = (spec: LinkSpec): Request<undefined> =>
  command(RTM.NEWLINK, NLM_F.CREATE | NLM_F.EXCL, linkBody, toWire(spec))

/** `ip link set`: changes what is named and leaves the rest alone. ENODEV when there is no such link. */
export const setLink = (ref: LinkRef & LinkSpec): Request<undefined> =>
  command(RTM.NEWLINK, 0, linkBody, toWire(ref))

/** `ip link del`; with `group`, every link of that group in one go. */
export const delLink = (ref: LinkRef | { group: number }): Request<undefined> =>
  command(RTM.DELLINK, 0, linkBody, ref)

/** `ip link show dev`, without statistics. ENODEV when there is no such link. */
export const getLink = (ref: LinkRef): Request<Link> =>
  query(RTM.GETLINK, linkBody, { ...ref, extMask: SKIP_STATS }, link)

/** As getLink. */
export const findLink = (ref: LinkRef): Request<Outline> =>
  query(RTM.GETLINK, linkBody, { ...ref, extMask: SKIP_STATS }, outline)

/** `ip link show`, without statistics; only the ports of `master` or the links of a kind, when asked. */
export const dumpLinks = (
  filter: { master?: number; kind?: Exclude<Link['kind'], undefined | 'other'> } = {},
): Dump<Link> => dump(RTM.GETLINK, linkBody, { ...toWire(filter as LinkSpec), extMask: SKIP_STATS }, link)

/** `bridge link set dev`: a bridge port's settings through AF_BRIDGE, the way without IFLA_INFO_SLAVE_DATA. */
export const setBridgePort = (index: number, port: LinkPort): Request<undefined> =>
  command(RTM.SETLINK, 0, portBody, { family: AF_BRIDGE, index, port })

/** `bridge link show`: every link that is a port of some bridge. */
export const dumpBridgePorts = (): Dump<ReturnType<typeof portBody.read>> =>
  dump(RTM.GETLINK, portBody, { family: AF_BRIDGE }, portBody)
