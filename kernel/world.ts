import type { Furnished, VirtualService } from '../core/faces.ts'
import type {
  AcceptRow,
  ChainRow,
  ElementRow,
  FdbRow,
  LinkRow,
  NeighbourRow,
  PortRow,
  RouteRow,
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
    ['net/bridge/bridge-nf-call-iptables', '1'],
  ])
  readonly sets = new Map<string, SetRow>()
  readonly chains = new Map<string, ChainRow>()
  readonly elements = new Map<string, ElementRow>()
  readonly ports = new Map<string, PortRow>()
  readonly accepts = new Map<string, AcceptRow>()
  readonly shortcuts = new Map<string, ShortcutRow>()
  /** Links in containers' namespaces by path and name, each with the host's link that it is the other end of. */
  readonly balanced = new Map<string, readonly VirtualService[]>()
  readonly insides = new Map<string, { host: string; furnished: Furnished }>()
  /** Whether the kernel has bpf(2). */
  bpf = true
  /** Backends whose filter table is there. */
  possible: AcceptRow[] = []
  readonly rings = new Set<() => void>()

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

  furnish(host: string, { name, mac = '', mtu = 1500, inside }: NonNullable<LinkRow['peer']>): void {
    const { namespace, addresses, routes } = inside as NonNullable<typeof inside>
    const at = `${namespace} ${name}`
    if (this.insides.has(at)) fail('EEXIST', 'a link of that name is there')
    this.insides.set(at, { host, furnished: { mac, mtu, up: true, addresses, routes } })
  }

  /** A tunnel that leaves its bridge leaves that bridge's entries behind it. */
  #free(port: FakeLink): void {
    port.row = portOf(port.row, undefined)
    for (const [at, row] of this.fdb) if (row.link === port.row.name) this.fdb.set(at, { ...row, to: '' })
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
    for (const port of this.links.values()) if (port.row.master === name) this.#free(port)
    if (link.peer) this.drop(link.peer)
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
