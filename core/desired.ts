import { inhabited, isWay, memberRow, ofElsewhere, ofPlaces, strays } from './elsewhere.ts'
import type { Facts, Mode, Peers, Place } from './faces.ts'
import type { Endpoint, Network, Records } from './records.ts'
import { key, type Row, type Wanted } from './rows.ts'

export type Modes = Readonly<Record<string, Mode>>

/** All that wanted rows follow from. */
export type View = { records: Records; modes: Modes; peers: Peers }

/** The part of the records, and of what peers told, that a change touched. */
export type Touch = {
  networks: readonly string[]
  endpoints: readonly string[]
  /** Those of them whose link is to be made, though they are joined. */
  born: readonly string[]
  /** Networks that these endpoints are or were in. */
  homes: readonly string[]
  places: readonly Place[]
  /** Tunnel end points that became members or are none any more. */
  members: readonly string[]
  /** Rows that were wanted before the change: those that nobody wants any more have to go. */
  before: readonly Row[]
}

export const nothing: Touch = {
  networks: [],
  endpoints: [],
  born: [],
  homes: [],
  places: [],
  members: [],
  before: [],
}

const must = (row: Row): Wanted => ({ row, presence: 'must' })

/** Wanted rows of what was touched, from the records as they are now. */
export function touched(view: View, touch: Touch): Wanted[] {
  const { records, peers } = view
  const networks = touch.networks.flatMap(id => records.networks.get(id) ?? [])
  const endpoints = touch.endpoints.flatMap(id => records.endpoints.get(id) ?? [])
  return unique([
    ...touch.members.filter(vtep => peers.members().has(vtep)).map(vtep => must(memberRow(vtep))),
    ...networks.flatMap(network => ofNetwork(view, network)),
    ...endpoints.flatMap(endpoint => ofBorn(view, endpoint, touch.born)),
    ...ofPlaces(view, touch.places).map(must),
  ])
}

/** Wanted rows of the whole host; `born` as in a touch. */
export function everything(
  view: View,
  ground: readonly Wanted[],
  facts: Facts,
  born: readonly string[] = [],
): Wanted[] {
  const { records, peers } = view
  return unique([
    ...ground,
    ...facts.accept.map(must),
    ...facts.engineBridges.map(name => must({ kind: 'element', set: 'engine', key: [name] })),
    ...[...peers.members()].map(vtep => must(memberRow(vtep))),
    ...[...records.networks.values()].flatMap(network => ofNetwork(view, network)),
    ...[...records.endpoints.values()].flatMap(endpoint => ofBorn(view, endpoint, born)),
  ])
}

function ofBorn(view: View, endpoint: Endpoint, born: readonly string[]): Wanted[] {
  const rows = ofEndpoint(view, endpoint)
  return born.includes(endpoint.id) ? rows.map(({ row }) => must(row)) : rows
}

export function ofNetwork(view: View, network: Network): Wanted[] {
  if (!inhabited(view, network)) return []
  return [...plain(view, network), ...ofElsewhere(view, network).map(must)]
}

/** Rows of a network without what hangs on its links. */
export function plain({ modes, peers }: View, network: Network): Wanted[] {
  return modes[network.mode]?.network(network, peers.self) ?? []
}

/** Rows that have to be taken away with a network; what hangs on its links goes with them. */
export function ofRemoved(view: View, network: Network): Row[] {
  const rows = plain(view, network).map(each => each.row)
  if (!isWay(view.modes, network.mode)) return rows
  const links = new Set(rows.flatMap(row => (row.kind === 'link' ? row.name : [])))
  return [...rows, ...ofElsewhere(view, network).filter(row => row.kind === 'route' && !links.has(row.link))]
}

export function ofEndpoint(view: View, endpoint: Endpoint): Wanted[] {
  const { records, modes, peers } = view
  const network = records.networks.get(endpoint.network)
  if (!network) return []
  const rows = modes[network.mode]?.endpoint(network, endpoint, peers.self) ?? []
  return [...rows, ...strays(view, network, endpoint).map(must)]
}

/** Two records may want the same row (a subnet used twice); the first one's is taken. */
function unique(wanted: Wanted[]): Wanted[] {
  const seen = new Map<string, Wanted>()
  for (const each of wanted) if (!seen.has(key(each.row))) seen.set(key(each.row), each)
  return [...seen.values()]
}
