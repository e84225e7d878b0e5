import type { Place, Remote, Underlay } from '../../core/faces.ts'
import type { PeerTable } from '../../core/peers.ts'
import {
  type Change,
  type Forwarding,
  forwardingOf,
  kinds,
  Malformed,
  readHost,
  type Table,
  touchedBy,
} from '../../vxlan-fdb/index.ts'
import { macText, toText } from './addresses.ts'

/** What moved: places for `Engine.moved`, tunnel end points for `Engine.joined`. */
export type Moves = { places: Place[]; members: string[] }

/** Takes over into the peers what became different in the table. */
export function takeOver(table: Table, peers: PeerTable, changes: readonly Change[]): Moves {
  const touched = changes.flatMap(change => touchedBy(table, change))
  const unique = new Map(touched.map(each => [`${each.network} ${each.mac.toString('hex')}`, each]))
  const places = [...unique.values()].flatMap(({ network, mac }) => {
    const remote = remoteOf(table, peers.self, forwardingOf(table, network, mac))
    return (remote ? peers.put(network, remote) : peers.drop(network, macText(mac))) ?? []
  })
  const moved = changes.some(({ kind }) => kind === kinds.host)
  return { places, members: moved ? peers.setMembers(vteps(table)) : [] }
}

/** Undefined for own endpoints, and for hosts that no tunnel leads to. */
function remoteOf(
  table: Table,
  self: Underlay | undefined,
  line: Forwarding | undefined,
): Remote | undefined {
  if (!line || line.origin === table.origin) return undefined
  const end = (self?.ipv4 && line.vtep4) || (self?.ipv6 && line.vtep6) || undefined
  return end && { mac: macText(line.mac), addresses: line.ips.map(toText), vtep: toText(end) }
}

/** Takes over which blocks of a pool are behind which tunnels. Undefined when that is no news. */
export function takeOverBlocks(
  table: Table,
  peers: PeerTable,
  { network, pool }: { network: string; pool: string },
  owners: ReadonlyMap<string, string>,
): Place | undefined {
  const { self } = peers
  const ends = new Map(
    [...new Set(owners.values())].map(host => [host, reachedBy(self, tunnelEnds(table, host))]),
  )
  const vteps = [...owners].flatMap(([prefix, host]): [string, string][] => {
    const vtep = ends.get(host)
    return vtep === undefined ? [] : [[prefix, vtep]]
  })
  return peers.setBlocks(network, pool, new Map(vteps))
}

/** The one of a host's tunnel end points that this host sends to. */
function reachedBy(self: Underlay | undefined, ends: readonly string[]): string | undefined {
  const of = (family: 4 | 6) => ends.find(each => each.includes(':') === (family === 6))
  return (self?.ipv4 && of(4)) || (self?.ipv6 && of(6)) || undefined
}

/** Tunnel end points of all others whose records are kept: of a host that seems dead too, for its containers may live. */
export function vteps(table: Table): string[] {
  const others = [...table.logs.keys()].filter(origin => origin !== table.origin)
  return others.flatMap(origin => tunnelEnds(table, origin))
}

/** Where an origin's tunnels end, by its own word. */
export function tunnelEnds(table: Table, origin: string): string[] {
  const value = table.at(origin, { network: '', kind: kinds.host, key: '' })?.value
  const host = value && readHost(value)
  if (!host || host instanceof Malformed) return []
  return [host.vtep4, host.vtep6].flatMap(end => (end ? [toText(end)] : []))
}
