import {
  type Address,
  dumpAddresses,
  dumpChains,
  dumpElements,
  dumpRules,
  dumpSets,
  dumpTables,
  type Generation,
  getGeneration,
  type Listener,
  listen,
  NFNLGRP,
  NFPROTO,
  type Outline,
  type Received,
  RTNLGRP,
  readNeighbour,
  readOutline,
} from '@tsnet/netlink'
import type { AcceptRow } from '../core/rows.ts'
import type { Accepts } from './accepts.ts'
import type { Addresses } from './addresses.ts'
import type { Fdb } from './fdb.ts'
import type { Generations } from './generations.ts'
import { legacyFilter } from './iptables.ts'
import { marks } from './linkplan.ts'
import type { Links } from './links.ts'
import { ENGINE_BRIDGE, LAN_GROUP, LINK_GROUP, made, passes, TABLE, TRASH_GROUP } from './names.ts'
import type { Neighbours } from './neighbours.ts'
import type { Routes } from './routes.ts'

/** rtnetlink's messages (linux/rtnetlink.h). */
const RTM = { NEWLINK: 16, DELLINK: 17, NEWADDR: 20, DELADDR: 21, NEWNEIGH: 28, DELNEIGH: 29 }
/** Families of what RTM_NEWNEIGH tells of. */
const AF_BRIDGE = 7

/** The bridge tells of its ports in a family of its own, and less. */
const AF_UNSPEC = 0

/** Milliseconds until a link that moved is judged. */
const SETTLING = 20
/** iptables-legacy announces nothing; so often, in milliseconds, it is asked. */
const LEGACY_POLL = 2000

type Read<T> = (bytes: Buffer, from: number, to: number) => T
type Owner = { family: number; table?: string; name?: string; chain?: string }

const anyTable = { family: NFPROTO.UNSPEC, table: '' }
/** How to read nf_tables' messages (linux/netfilter/nf_tables.h), by their number without the subsystem. */
const NEWGEN = 15
const NFT: Record<number, Read<Owner> | undefined> = {}
for (const [first, { reply }] of [
  [0, dumpTables()],
  [3, dumpChains()],
  [6, dumpRules()],
  [9, dumpSets()],
  [12, dumpElements({ ...anyTable, set: '' })],
] as [number, { reply?: Read<Owner> }][]) {
  NFT[first] = reply
  NFT[first + 2] = reply
}
const readGeneration = getGeneration().reply as Read<Generation>
const readAddress = dumpAddresses().reply as Read<Address>

type Rooms = {
  links: Links
  addresses: Addresses
  fdb: Fdb
  neighbours: Neighbours
  routes: Routes
  accepts: Accepts
  generations: Generations
}

/** Bytes of announcements of neighbours not yet heard: a first exchange with peers writes thousands at once. */
const NEIGH_ROOM = 1 << 24

/** Listens to what others do, and tells only that something happened. What we do ourselves is passed over. */
export class Watch {
  readonly #rooms: Rooms
  readonly #ring: () => void
  readonly #listeners: Listener[]
  readonly #poll: NodeJS.Timeout
  /** Links that moved a moment ago, and whether they were as they should be when they last did. */
  readonly #moved = new Map<string, boolean>()
  #look: NodeJS.Timeout | undefined
  readonly #engineBridges: Set<string>
  #legacy: string
  /** A transaction that is being announced has touched something of interest. */
  #touched = false

  constructor(rooms: Rooms, ring: () => void) {
    this.#rooms = rooms
    this.#ring = ring
    const { LINK, IPV4_IFADDR, IPV6_IFADDR } = RTNLGRP
    const route = listen({ protocol: 'route', groups: [LINK, IPV4_IFADDR, IPV6_IFADDR] })
    const netfilter = listen({ protocol: 'netfilter', groups: [NFNLGRP.NFTABLES] })
    route.on('messages', messages => messages.forEach(message => void this.#hearRoute(message)))
    netfilter.on('messages', messages => messages.forEach(message => void this.#hearNetfilter(message)))
    const neigh = listen({ protocol: 'route', groups: [RTNLGRP.NEIGH], receiveBuffer: NEIGH_ROOM })
    neigh.on('messages', messages => messages.forEach(message => void this.#hearNeighbour(message)))
    this.#listeners = [route, netfilter, neigh]
    for (const listener of this.#listeners) listener.on('overrun', ring).on('error', ring)
    this.#engineBridges = new Set(rooms.links.engineBridges())
    this.#legacy = this.#lookAtLegacy()
    this.#poll = setInterval(() => this.#pollLegacy(), LEGACY_POLL)
  }

  close(): void {
    clearTimeout(this.#look)
    clearInterval(this.#poll)
    for (const listener of this.#listeners) listener.close()
  }

  #hearRoute({ type, bytes, from, to }: Received): void {
    // Of families, in the first byte, before all else is read: a port of a bridge is told of twice as often by its bridge.
    if ((type === RTM.NEWLINK || type === RTM.DELLINK) && bytes[from] === AF_UNSPEC)
      this.#hearLink(readOutline(bytes, from, to), type === RTM.NEWLINK)
    if (type === RTM.DELADDR) this.#hearAddress(readAddress(bytes, from, to))
    if (type === RTM.NEWADDR || type === RTM.DELADDR) this.#hearParentAddress(readAddress(bytes, from, to))
  }

  /** What matters is how a link is once it is left alone: a step may be half done. */
  #hearLink(link: Outline, there: boolean): void {
    const { name = '' } = link
    if (passes(name)) return
    if (this.#rooms.links.isParentAnew(link, there)) this.#ring()
    if (this.#rooms.routes.isUpAgain(link, there)) this.#ring()
    if (ENGINE_BRIDGE.test(name)) this.#hearEngineBridge(name, there)
    else if (link.group === TRASH_GROUP) this.#pardon(name)
    else if (link.group === LINK_GROUP || made(marks(link))) this.#suspect(name, there && wholesome(link))
  }

  #hearEngineBridge(name: string, there: boolean): void {
    if (this.#engineBridges.has(name) === there) return
    if (there) this.#engineBridges.add(name)
    else this.#engineBridges.delete(name)
    this.#ring()
  }

  #pardon(name: string): void {
    this.#rooms.links.departed(name)
    this.#moved.delete(name)
  }

  #suspect(name: string, whole: boolean): void {
    this.#moved.set(name, whole)
    this.#look ??= setTimeout(() => this.#lookAtLinks(), SETTLING)
  }

  #lookAtLinks(): void {
    this.#look = undefined
    const wrong = [...this.#moved].some(([name, whole]) => !whole && !this.#rooms.links.isDeparting(name))
    this.#moved.clear()
    if (wrong) this.#ring()
  }

  #hearAddress(address: Address): void {
    if (this.#rooms.addresses.removed(address)) return
    if (this.#rooms.links.isOurs(address.index)) this.#ring()
  }

  /** The host speaks to containers there by its address on their parent. */
  #hearParentAddress({ index }: Address): void {
    if (this.#rooms.links.isParent(index)) this.#ring()
  }

  /** An entry of ours that isn't what we know it to be, on a link that is still there: those of a link that goes go with it. */
  #hearNeighbour({ type, bytes, from, to }: Received): void {
    const entry = readNeighbour(bytes, from, to)
    const { fdb, neighbours, links } = this.#rooms
    const changed = (entry.family === AF_BRIDGE ? fdb : neighbours).isNews(entry, type === RTM.DELNEIGH)
    if (changed && links.isOurs(entry.index)) this.#ring()
  }

  #hearNetfilter({ type, bytes, from, to }: Received): void {
    const number = type & 0xff
    if (number === NEWGEN) {
      const generation = readGeneration(bytes, from, to)
      if (!this.#rooms.generations.isOurs(generation) && this.#touched) this.#ring()
      this.#touched = false
      return
    }
    const read = NFT[number]
    if (read && !this.#touched) this.#touched = concerns(read(bytes, from, to))
  }

  #lookAtLegacy(): string {
    const rows: AcceptRow[] = (['ipv4', 'ipv6'] as const)
      .filter(legacyFilter)
      .map(family => ({ kind: 'accept', backend: 'legacy', family }))
    return rows.length === 0
      ? ''
      : rows.map(row => `${row.family} ${this.#rooms.accepts.read([row], false).length}`).join()
  }

  /** We have just set our own rules: whatever is missing from now on was taken away. */
  accepted(): void {
    this.#legacy = this.#lookAtLegacy()
  }

  #pollLegacy(): void {
    const now = this.#lookAtLegacy()
    const worse = now !== this.#legacy && now.includes('0')
    this.#legacy = now
    if (worse) this.#ring()
  }
}

/** Up, in our group, and a port of a bridge where it should be. */
function wholesome({ up, group, kind, master }: Outline): boolean {
  if (group === LAN_GROUP) return up
  return up && group === LINK_GROUP && (kind !== 'veth' || master !== undefined)
}

/** Our table, or the FORWARD chain of an iptables-nft. */
function concerns({ family, table, name, chain }: Owner): boolean {
  if (family === NFPROTO.INET) return (table ?? name) === TABLE
  if (family !== NFPROTO.IPV4 && family !== NFPROTO.IPV6) return false
  return table === 'filter' ? (chain ?? name) === 'FORWARD' : table === undefined && name === 'filter'
}
