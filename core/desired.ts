import type { Facts, Mode } from './faces.ts'
import type { Endpoint, Network, Records } from './records.ts'
import { key, type Row, type Wanted } from './rows.ts'

export type Modes = Readonly<Record<string, Mode>>

/** The part of the records that a change touched. */
export type Touch = {
  networks: readonly string[]
  endpoints: readonly string[]
  /** Rows that were wanted before the change: those that nobody wants any more have to go. */
  before: readonly Row[]
}

/** Wanted rows of what was touched, from the records as they are now. */
export function touched(records: Records, modes: Modes, touch: Touch): Wanted[] {
  const networks = touch.networks.flatMap(id => records.networks.get(id) ?? [])
  const endpoints = touch.endpoints.flatMap(id => records.endpoints.get(id) ?? [])
  return unique([
    ...networks.flatMap(network => ofNetwork(modes, network)),
    ...endpoints.flatMap(endpoint => ofEndpoint(records, modes, endpoint)),
  ])
}

/** Wanted rows of the whole host. */
export function everything(
  records: Records,
  modes: Modes,
  ground: readonly Wanted[],
  facts: Facts,
): Wanted[] {
  return unique([
    ...ground,
    ...facts.accept.map((row): Wanted => ({ row, presence: 'must' })),
    ...facts.engineBridges.map(
      (name): Wanted => ({ row: { kind: 'element', set: 'engine', key: [name] }, presence: 'must' }),
    ),
    ...[...records.networks.values()].flatMap(network => ofNetwork(modes, network)),
    ...[...records.endpoints.values()].flatMap(endpoint => ofEndpoint(records, modes, endpoint)),
  ])
}

export function ofNetwork(modes: Modes, network: Network): Wanted[] {
  return modes[network.mode]?.network(network) ?? []
}

export function ofEndpoint(records: Records, modes: Modes, endpoint: Endpoint): Wanted[] {
  const network = records.networks.get(endpoint.network)
  return (network && modes[network.mode]?.endpoint(network, endpoint)) ?? []
}

/** Two records may want the same row (a subnet used twice); the first one's is taken. */
function unique(wanted: Wanted[]): Wanted[] {
  const seen = new Map<string, Wanted>()
  for (const each of wanted) if (!seen.has(key(each.row))) seen.set(key(each.row), each)
  return [...seen.values()]
}
