import { createHash } from 'node:crypto'
import { delLink, newLink, type Outline, type Request, setLink } from '@tsnet/netlink'
import type { LinkRow } from '../core/rows.ts'
import { createOnParent, hangs } from './lanplan.ts'
import {
  LAN_GROUP,
  LINK_ALIAS,
  LINK_GROUP,
  type Marks,
  made,
  needsAlias,
  ownership,
  TRASH_GROUP,
  validLinkName,
} from './names.ts'
import type { Placed } from './order.ts'
import type { Failure } from './room.ts'

/** enum in6_addr_gen_mode: no link-local address of the kernel's own. */
const ADDR_GEN_NONE = 1
/** enum ifla_vxlan_df */
export const DF_INHERIT = 2

/** What tells a link's owner. */
export const marks = (link: Outline): Marks => {
  const { name = '', kind = '', group = 0, alias } = link
  return alias === undefined ? { name, type: kind, group } : { name, type: kind, group, alias }
}

/** `cleared` requests in front may find nothing to delete: the trash is emptied in the background. */
export type Plan = Failure | { requests: Request<undefined>[]; trash?: true; cleared?: number }

const nothing: Plan = { requests: [] }

/**
 * What a step comes to, given the links that its names stand for (those in the trash included), and the descriptor of the namespace
 * that a veth's other end is born in.
 */
export function plan(
  { verb, row }: Placed<LinkRow>['step'],
  links: ReadonlyMap<string, Outline>,
  namespace?: number,
): Plan {
  const there = links.get(row.name)
  const present = there?.group === TRASH_GROUP ? undefined : there
  if (verb === 'delete') return present ? remove(present, row) : nothing
  if (!validLinkName(row.name)) return { code: 'EINVAL', words: `'${row.name}' is no name for a link` }
  const master = row.master === undefined ? undefined : links.get(row.master)
  if (row.master !== undefined && (!master || master.group === TRASH_GROUP)) {
    return { code: 'ENODEV', words: `no such bridge: ${row.master}` }
  }
  const parent = row.parent === undefined ? undefined : links.get(row.parent)
  if (row.parent !== undefined && (!parent || parent.group === TRASH_GROUP))
    return { code: 'ENODEV', words: `no such link: ${row.parent}` }
  if (verb === 'set') return present ? { requests: change(row, present, master?.index) } : absent(row)
  if (verb === 'add' && present) return adopt(row, present)
  if (present && !made(marks(present))) return { code: 'EPERM', words: 'the link is not ours' }
  const clear = there ? [delLink({ index: there.index })] : []
  return { requests: [...clear, ...create(row, (parent ?? master)?.index, namespace)], cleared: clear.length }
}

const absent = (row: LinkRow): Failure => ({ code: 'ENODEV', words: `no such link: ${row.name}` })

/**
 * Deleting a link takes the kernel 15 to 20 ms, a whole group of links hardly longer: for now it goes down and into the
 * trash group, where no rule and no reader sees it.
 */
function remove(link: Outline, row: LinkRow): Plan {
  switch (ownership(marks(link))) {
    case 'own':
      return { requests: [setLink({ index: link.index, up: false, group: TRASH_GROUP })], trash: true }
    case 'adopted':
      return { requests: [setLink({ index: link.index, group: 0 })] }
    case 'foreign':
      // Its name was that of a VLAN that we would have made.
      if (row.type === 'vlan') return nothing
      return { code: 'EPERM', words: `${link.name} is not ours` }
  }
}

/** The end of a veth that its other end brought along needs nothing but to be up. */
const isOtherEnd = (row: LinkRow, link: Outline) =>
  row.type === 'veth' && row.peer === undefined && link.kind === 'veth' && made(marks(link))

/** Adding a bridge that is there and not yet ours takes it into use; a link of ours is there already. */
function adopt(row: LinkRow, link: Outline): Plan {
  if (isOtherEnd(row, link)) {
    const silent = setLink({ index: link.index, afSpec: { inet6: { addrGenMode: ADDR_GEN_NONE } } })
    return { requests: [silent, ...change(row, link, undefined)] }
  }
  if (row.type !== 'bridge' || link.kind !== 'bridge' || link.group === LINK_GROUP) {
    return { code: 'EEXIST', words: `a link named ${row.name} is there` }
  }
  const mtu = row.mtu === undefined ? {} : { mtu: row.mtu }
  return { requests: [setLink({ index: link.index, group: LINK_GROUP, up: row.up, ...mtu })] }
}

/** `above` is the bridge that it becomes a port of, or the parent that it hangs on. */
function create(row: LinkRow, above?: number, namespace?: number): Request<undefined>[] {
  if (hangs(row)) return createOnParent(row, above as number)
  if (row.type === 'vxlan') return createVxlan(row, above)
  return row.type === 'bridge' ? createBridge(row) : createVeth(row, above, namespace)
}

/**
 * A bridge as Docker makes it: no spanning tree, so no forward delay. Its MTU and MAC are set once it is there, which
 * keeps it from taking them from its ports (BROPT_MTU_SET_BY_USER and NET_ADDR_SET in net/bridge).
 */
function createBridge(row: LinkRow): Request<undefined>[] {
  const { name, mtu, up, mac = bridgeMac(name) } = row
  const data = { forwardDelay: 0, stpState: 0 }
  return [
    newLink({ name, group: LINK_GROUP, kind: 'bridge', data, address: mac }),
    setLink({
      name,
      address: mac,
      afSpec: { inet6: { addrGenMode: ADDR_GEN_NONE } },
      ...(mtu === undefined ? {} : { mtu }),
      ...(needsAlias(row) ? { alias: LINK_ALIAS } : {}),
    }),
    ...(up ? [setLink({ name, up })] : []),
  ]
}

/** Locally administered, and the same each time the bridge is made: neighbours that remember it stay right. */
function bridgeMac(name: string): string {
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 10)
  return ['02', ...(hash.match(/../g) as string[])].join(':')
}

/** A pair that stands for a parent has no part in what the rules for our bridges match. */
const groupOf = (row: Pick<LinkRow, 'name' | 'type'>) =>
  hangs(row) || /^ts[pq]-/.test(row.name) ? LAN_GROUP : LINK_GROUP

/** IFLA_AF_SPEC and settings of a port can't be given at birth (rtnl_newlink_create), and must precede the way up. */
function createVeth(
  { name, mtu, mac, up, peer, ...row }: LinkRow,
  master?: number,
  namespace?: number,
): Request<undefined>[] {
  const both = { group: groupOf({ name, type: row.type }), ...(mtu === undefined ? {} : { mtu }) }
  const other = peer && {
    name: peer.name,
    ...both,
    ...(peer.mtu === undefined ? {} : { mtu: peer.mtu }),
    ...(peer.mac === undefined ? {} : { address: peer.mac }),
    ...(namespace === undefined ? {} : { netNsFd: namespace }),
  }
  return [
    newLink({
      name,
      ...both,
      ...(mac === undefined ? {} : { address: mac }),
      ...(master === undefined ? {} : { master }),
      kind: 'veth',
      ...(other ? { data: { peer: other } } : {}),
    }),
    setLink({
      name,
      afSpec: { inet6: { addrGenMode: ADDR_GEN_NONE } },
      ...(master === undefined ? {} : portSettings(row)),
    }),
    ...(up ? [setLink({ name, up })] : []),
  ]
}

/** `learning` is the link's own way of learning destinations; that of its bridge is a setting of the port. */
function createVxlan(row: LinkRow, master: number | undefined): Request<undefined>[] {
  const { name, mtu, up, vni, udpPort } = row
  return [
    newLink({
      name,
      group: LINK_GROUP,
      ...(mtu === undefined ? {} : { mtu }),
      ...(master === undefined ? {} : { master }),
      kind: 'vxlan',
      data: {
        ...(vni === undefined ? {} : { id: vni }),
        ...(udpPort === undefined ? {} : { port: udpPort }),
        ...tunnelSettings(row),
        learning: 0,
      },
    }),
    setLink({
      name,
      afSpec: { inet6: { addrGenMode: ADDR_GEN_NONE } },
      ...(master === undefined ? {} : portSettings(row)),
    }),
    ...(up ? [setLink({ name, up })] : []),
  ]
}

const tunnelSettings = ({ local, inheritDf }: LinkRow) => ({
  ...(local === undefined ? {} : local.includes(':') ? { local6: local } : { local }),
  ...(inheritDf === undefined ? {} : { df: inheritDf ? DF_INHERIT : 0 }),
})

/** A frame to a MAC that nobody has told of has nowhere to go: it isn't flooded to the tunnel. */
const tunnelPort = ({ type, suppress, learning, locked, flood }: Partial<LinkRow>) => ({
  ...(type === 'vxlan' ? { unicastFlood: 0 } : {}),
  ...(suppress === undefined ? {} : { neighSuppress: Number(suppress) }),
  ...(learning === undefined ? {} : { learning: Number(learning) }),
  ...(locked === undefined ? {} : { locked: Number(locked) }),
  ...(flood === undefined ? {} : { bcastFlood: Number(flood), mcastFlood: Number(flood) }),
})

function portSettings({ hairpin, isolated, ...tunnel }: Partial<LinkRow>) {
  const port = {
    ...tunnelPort(tunnel),
    ...(hairpin === undefined ? {} : { hairpin: Number(hairpin) }),
    ...(isolated === undefined ? {} : { isolated: Number(isolated) }),
  }
  return Object.keys(port).length > 0 ? { port } : {}
}

/** A port's settings are looked at before its new master is, so they come in a message of their own. */
function change(row: LinkRow, { index }: Outline, master: number | undefined): Request<undefined>[] {
  const [settings, tunnel] = [portSettings(row), tunnelSettings(row)]
  return [
    setLink({
      index,
      group: groupOf(row),
      ...(row.mtu === undefined ? {} : { mtu: row.mtu }),
      ...(row.mac === undefined ? {} : { address: row.mac }),
      ...(master === undefined ? {} : { master }),
      up: row.up,
    }),
    ...(row.type === 'vxlan' && Object.keys(tunnel).length > 0
      ? [setLink({ index, kind: 'vxlan', data: tunnel })]
      : []),
    ...('port' in settings ? [setLink({ index, ...settings })] : []),
  ]
}
