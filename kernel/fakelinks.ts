import type { LinkRow, Step } from '../core/rows.ts'
import { made, needsAlias, validLinkName } from './names.ts'
import { type FakeLink, fail, portOf, type World } from './world.ts'

/** Makes, changes or deletes a link, as kernel/linkplan.ts has Linux do it. */
export function link(world: World, verb: Step['verb'], row: LinkRow): unknown {
  const there = world.links.get(row.name)
  if (verb === 'delete') return row.type === 'vlan' && !there?.ours ? undefined : deleteLink(world, there)
  if (!validLinkName(row.name)) fail('EINVAL', 'no valid name for a link')
  if (verb === 'set' && !there) fail('ENODEV', 'no such link')
  if (row.master !== undefined) checkMaster(world, row.master)
  if (verb !== 'set' && row.parent !== undefined) world.checkParent(row)
  if (verb === 'replace') deleteLink(world, there)
  if (verb === 'set') return setLink(there as FakeLink, row)
  const still = world.links.get(row.name)
  if (still && row.type === 'bridge' && still.row.type === 'bridge' && !still.ours) return adopt(still, row)
  if (still?.ours && row.type === 'veth' && row.peer === undefined) return setLink(still, row)
  if (still || (row.peer && !row.peer.inside && world.links.has(row.peer.name)))
    fail('EEXIST', 'a link of that name is there')
  addLink(world, row)
}

function deleteLink(world: World, there: FakeLink | undefined): unknown {
  if (!there) return
  if (there.row.type === 'vlan') return world.drop(there.row.name)
  if (made({ ...there.row, group: 0, ...(there.alias ? { alias: 'tsnet' } : {}) }))
    return world.drop(there.row.name)
  if (!there.ours) fail('EPERM', 'the link is not ours')
  there.ours = false
}

function checkMaster(world: World, name: string): void {
  const master = world.links.get(name)
  if (!master) fail('ENODEV', `no such master ${name}`)
  if (master?.row.type !== 'bridge') fail('EINVAL', `${name} is no bridge`)
}

function addLink(world: World, { peer, ...row }: LinkRow): void {
  const { inside: _, ...plainRow } = row
  const mac = row.mac ?? `02:00:00:00:00:${String(world.links.size % 100).padStart(2, '0')}`
  const tunnel = row.type === 'vxlan' ? { inheritDf: false } : {}
  const mtu = world.links.get(row.parent ?? '')?.row.mtu ?? 1500
  const born = { ...portOf({ mtu, ...tunnel, ...plainRow, mac }, undefined), ...flags(row) }
  const link: FakeLink = { row: born, ours: true, alias: needsAlias(row) }
  if (row.inside) return void world.move(row.name, row.inside, born, row.parent ?? '')
  if (peer?.inside) world.furnish(row.name, peer)
  world.links.set(row.name, peer && !peer.inside ? { ...link, peer: peer.name } : link)
  if (!peer || peer.inside) return
  const end: LinkRow = {
    kind: 'link',
    name: peer.name,
    type: 'veth',
    up: false,
    mtu: peer.mtu ?? 1500,
    mac: peer.mac ?? mac,
  }
  world.links.set(peer.name, { row: end, ours: true, alias: false, peer: row.name })
}

function setLink(there: FakeLink, row: LinkRow): void {
  const { peer: _, adopted: __, ...wanted } = row
  const master = row.master ?? there.row.master
  there.row = { ...there.row, ...wanted, ...flags({ ...there.row, ...row, ...(master ? { master } : {}) }) }
  there.ours = true
}

function adopt(there: FakeLink, row: LinkRow): void {
  there.row = { ...there.row, up: row.up, ...(row.mtu === undefined ? {} : { mtu: row.mtu }) }
  there.ours = true
}

/** A link as its row; undefined for one that is none of ours. `asked`: by the name of a VLAN, which may be somebody else's. */
export function linkRow(world: World, name: string, asked = false): LinkRow | undefined {
  const link = world.links.get(name)
  if (!link) return undefined
  if (asked && !link.ours) return { ...link.row, adopted: true }
  if (link.row.type === 'vlan') return link.ours ? link.row : undefined
  const own = made({ name, type: '', group: 0, ...(link.alias ? { alias: 'tsnet' } : {}) })
  if (!own && !link.ours) return undefined
  return own ? link.row : { ...link.row, adopted: true }
}

/** What a bridge port always shows. */
function flags(row: LinkRow): Partial<LinkRow> {
  const { type, master, hairpin = false, isolated = false } = row
  if (master === undefined) return {}
  const { suppress = false, learning = true, locked = false, flood = true } = row
  const tunnel = type === 'vxlan' ? { suppress, learning, locked, flood } : {}
  return { master, hairpin, isolated, ...tunnel }
}
