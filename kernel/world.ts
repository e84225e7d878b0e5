import type { Furnished, Parent, VirtualService } from '../core/faces.ts'
import type {
  AcceptRow,
  ChainRow,
  ElementRow,
  FdbRow,
  LinkRow,
  NeighbourRow,
  PortRow,
  RateRow,
  RouteRow,
  Row,
  SetRow,
  ShortcutRow,
} from '../core/rows.ts'
import { linkOf } from './sysctls.ts'

/** A link with the marks that a row doesn't show. */
export type FakeLink = { row: LinkRow; ours: boolean; alias: boolean; peer?: string }

/** What outlives a daemon: one network namespace in memory. */
export class World {
  readonly links = new Map<string, FakeLink>()
  /** Addresses by key; those that we set say so, as IFA_PROTO does. */
  readonly addresses = new Map<string, { link: string; address: string; ours: boolean }>()
  readonly fdb = new Map<string, FdbRow>()
  readonly neighbours = new Map<string, NeighbourRow>()
  readonly routes = new Map<string, RouteRow>()
  readonly sysctls = new Map([
    ['net/ipv4/ip_forward', '0'],
    ['net/ipv6/conf/all/forwarding', '0'],
    ['net/ipv4/conf/all/send_redirects', '1'],
    ['net/bridge/bridge-nf-call-iptables', '1'],
  ])
  readonly sets = new Map<string, SetRow>()
  readonly chains = new Map<string, ChainRow>()
  readonly elements = new Map<string, ElementRow>()
  readonly ports = new Map<string, PortRow>()
  readonly accepts = new Map<string, AcceptRow>()
  readonly shortcuts = new Map<string, ShortcutRow>()
  readonly rates = new Map<string, RateRow>()
  /** Virtual addresses in containers' namespaces, by path. */
  readonly balanced = new Map<string, readonly VirtualService[]>()
  /** Links in containers' namespaces by path and name, each with the host's link that it is the other end of. */
  readonly insides = new Map<string, { host: string; furnished: Furnished }>()
  /** Who on the LAN behind a link has an address, by link and address. */
  readonly neighboursOn = new Map<string, string>()
  /** What that LAN was told, likewise. */
  readonly announced = new Map<string, string>()
  /** Whether the kernel has bpf(2). */
  bpf = true
  /** Backends whose filter table is there. */
  possible: AcceptRow[] = []
  readonly rings = new Set<() => void>()
  /** Links that were moved into a container's namespace. */
  readonly moved = new Map<string, LinkRow>()

  ring(): void {
    for (const ring of this.rings) ring()
  }

  /** Somebody else's link. */
  foreign(row: LinkRow): void {
    this.links.set(row.name, { row, ours: false, alias: false })
  }

  /** A container died and took its end of the veth along, or somebody deleted a link by hand. */
  lose(link: string): void {
    this.drop(link)
    this.ring()
  }

  /** `nft flush ruleset`. */
  flush(): void {
    for (const table of [this.sets, this.chains, this.elements]) table.clear()
    this.ring()
  }

  /** `iptables -F`. */
  flushAccepts(): void {
    this.accepts.clear()
    this.ring()
  }

  /** Rows of what is ours wherever it is. */
  plain(): Row[] {
    const { routes, sets, chains, elements, accepts, shortcuts, rates } = this
    return [routes, sets, chains, elements, accepts, shortcuts, rates].flatMap(table => [
      ...(table as Map<string, Row>).values(),
    ])
  }

  furnish(host: string, { name, mac = '', mtu = 1500, inside }: NonNullable<LinkRow['peer']>): void {
    const { namespace, ...furnished } = inside as NonNullable<typeof inside>
    const at = `${namespace} ${name}`
    if (this.insides.has(at)) fail('EEXIST', 'a link of that name is there')
    this.insides.set(at, { host, furnished: { mac, mtu, up: true, ...furnished } })
  }

  parent(name: string): Parent | undefined {
    const link = this.links.get(name)
    if (!link) return undefined
    const { mtu = 1500, master } = link.row
    return {
      loopback: name === 'lo',
      mtu,
      ...(master !== undefined && { master }),
      children: this.#children(name).flatMap(({ type, mode = '' }) =>
        type === 'macvlan' || type === 'ipvlan' ? { type, mode } : [],
      ),
      vlans: this.#children(name).flatMap(row =>
        row.tag === undefined ? [] : { name: row.name, tag: row.tag },
      ),
    }
  }

  /** Rows of the links that hang on one, wherever they are. */
  #children(parent: string): LinkRow[] {
    const all = [...[...this.links.values()].map(each => each.row), ...this.moved.values()]
    return all.filter(row => row.parent === parent)
  }

  /** As Linux: one handler of frames a link, which a bridge has as well; one mode for all ipvlans of a parent. */
  checkParent({ parent = '', type, mode }: LinkRow): void {
    const link = this.links.get(parent)
    if (!link) fail('ENODEV', `no such link: ${parent}`)
    if (type === 'vlan') return
    const others = this.#children(parent).filter(each => each.type !== 'vlan')
    if (link?.row.master !== undefined || others.some(each => each.type !== type))
      fail('EBUSY', `${parent} can't carry it`)
    if (others.length > 0 && (mode === 'passthru' || others.some(each => each.mode === 'passthru')))
      fail('EINVAL', `${parent} can't carry it`)
  }

  /** Puts a link into a container's namespace, under the first free name. */
  move(host: string, inside: NonNullable<LinkRow['inside']>, row: LinkRow, parent: string): void {
    const { namespace, prefix, addresses, routes } = inside
    let number = 0
    while (this.insides.has(`${namespace} ${prefix}${number}`)) number++
    const { mac = '', mtu = 1500 } = row
    this.insides.set(`${namespace} ${prefix}${number}`, {
      host,
      furnished: { mac, mtu, up: true, addresses, routes },
    })
    this.moved.set(host, { ...row, parent })
  }

  /** A tunnel that leaves its bridge leaves that bridge's entries behind it. */
  #free(port: FakeLink): void {
    port.row = portOf(port.row, undefined)
    for (const [at, row] of this.fdb) if (row.link === port.row.name) this.fdb.set(at, { ...row, to: '' })
  }

  #dropMoved(name: string): void {
    this.moved.delete(name)
    for (const [at, { host }] of this.insides) if (host === name) this.insides.delete(at)
    this.drop(name)
  }

  drop(name: string): void {
    const link = this.links.get(name)
    if (!link) return
    this.links.delete(name)
    for (const [at, address] of this.addresses) if (address.link === name) this.addresses.delete(at)
    for (const table of [this.fdb, this.neighbours, this.routes])
      for (const [at, row] of table) if (row.link === name) table.delete(at)
    for (const at of this.sysctls.keys()) if (linkOf(at) === name) this.sysctls.delete(at)
    this.shortcuts.delete(name)
    this.rates.delete(name)
    for (const port of this.links.values()) if (port.row.master === name) this.#free(port)
    if (link.peer) this.drop(link.peer)
    for (const { name: child } of this.#children(name)) this.#dropMoved(child)
    for (const [at, { host }] of this.insides) if (host === name) this.insides.delete(at)
  }
}

/** A port row under another master; without one its brport flags mean nothing. */
export function portOf(
  {
    master: _,
    hairpin: __,
    isolated: ___,
    suppress: _s,
    learning: _l,
    locked: _k,
    flood: _f,
    ...row
  }: LinkRow,
  master: string | undefined,
): LinkRow {
  return master === undefined ? row : { ...row, master }
}

export class Errno extends Error {
  readonly code: string
  constructor(code: string, words: string) {
    super(words)
    this.code = code
  }
}

export function fail(code: string, words: string): never {
  throw new Errno(code, words)
}
