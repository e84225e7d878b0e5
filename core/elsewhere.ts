import { BlockList } from 'node:net'
import { contains, extend, host } from './addresses.ts'
import type { Modes, View } from './desired.ts'
import type { Place, Remote } from './faces.ts'
import type { Endpoint, Network } from './records.ts'
import { key, type Row } from './rows.ts'

/**
 * What other hosts told, as rows of this one. What is here is certain, and so is the gateway: it goes before what others say of the same MAC or
 * address.
 */

/** Sets of the packet filter that hold the tunnel end points of all members. */
export const MEMBERS = { 4: 'members4', 6: 'members6' } as const

export const memberRow = (vtep: string): Row => ({
  kind: 'element',
  set: MEMBERS[vtep.includes(':') ? 6 : 4],
  key: [vtep],
})

/** What all hosts call a network. */
export const sharedKey = ({ id, shared }: Network): string => shared ?? id

/** Whether hosts are the way to their blocks of addresses in networks of a mode. */
export const isWay = (modes: Modes, mode: string): boolean => modes[mode]?.elsewhere?.blocks !== undefined

const addressesOf = ({ ipv4, ipv6 }: Endpoint) => [ipv4, ipv6].flatMap(each => (each ? host(each) : []))

/** `own` addresses are those of endpoints. */
type Locals = { macs: Set<string>; own: string[]; addresses: Set<string> }

function locals(view: View, network: Network): Locals {
  const here = endpointsHere(view, network)
  const gateways = [...network.ipv4, ...network.ipv6].flatMap(({ gateway }) => (gateway ? host(gateway) : []))
  const self = Object.values(network.own ?? {})
  const own = here.flatMap(addressesOf)
  return {
    macs: new Set([...here.map(each => each.mac), ...ownMacs(view, network)]),
    own,
    addresses: new Set([...own, ...gateways, ...self]),
  }
}

/** Of the network's own links: the gateway's is on every host. */
const ownMacs = ({ modes, peers }: View, network: Network): string[] =>
  (modes[network.mode]?.network(network, peers.self) ?? []).flatMap(({ row }) =>
    row.kind === 'link' && row.mac !== undefined ? row.mac : [],
  )

const poolsOf = ({ ipv4, ipv6 }: Network) => [...ipv4, ...ipv6].map(({ pool }) => pool)

const endpointsHere = ({ records }: View, { id }: Network): Endpoint[] =>
  [...records.endpoints.values()].filter(each => each.network === id)

/** Whether the rows of a network are wanted on this host. */
export function inhabited({ records, modes }: View, network: Network): boolean {
  const { elsewhere } = modes[network.mode] ?? {}
  if (!elsewhere || elsewhere.blocks) return true
  for (const each of records.endpoints.values()) if (each.network === network.id) return true
  return false
}

/** Rows of all that is elsewhere in a network which is inhabited here. */
export function ofElsewhere(view: View, network: Network): Row[] {
  const { remotes, holders, blocks } = reader(view, network)
  return [...remotes(view.peers.remotes(sharedKey(network))), ...holders(), ...blocks()]
}

/** Rows of an endpoint's addresses that lie in blocks of other hosts: without, this host would send them there. */
export function strays(view: View, network: Network, endpoint: Endpoint): Row[] {
  const { modes, peers } = view
  const { blocks } = modes[network.mode]?.elsewhere ?? {}
  if (!blocks) return []
  const [shared, pools] = [sharedKey(network), poolsOf(network)]
  return addressesOf(endpoint)
    .filter(address => peers.covers(shared, pools, address))
    .flatMap(address => blocks.stray(network, address))
}

/** Rows of what peers say of these places now. */
export function ofPlaces(view: View, places: readonly Place[]): Row[] {
  const { peers } = view
  return merged(places).flatMap(({ network: shared, macs, addresses, vteps, blocks: prefixes }) =>
    byKey(view, shared).flatMap(network => {
      const { remotes, holders, blocks } = reader(view, network)
      const here = prefixes.length > 0 ? endpointsHere(view, network) : []
      const found = [
        ...macs.map(mac => peers.byMac(shared, mac)),
        ...addresses.map(address => peers.byAddress(shared, address)),
      ]
      return [
        ...remotes(new Set(found.filter(each => each !== undefined))),
        ...holders(vteps),
        ...blocks(prefixes),
        ...here.flatMap(each => strays(view, network, each)),
      ]
    }),
  )
}

/** Every row that may ever have been wanted for these places, but those of endpoints that are here. */
export function everOfPlaces(view: View, places: readonly Place[]): Row[] {
  const { modes, peers } = view
  const { self } = peers
  if (!self) return []
  const rows = merged(places).flatMap(({ network: shared, macs, addresses, vteps, blocks }) =>
    byKey(view, shared).flatMap(network => {
      const { elsewhere } = modes[network.mode] ?? {}
      const { block, stray } = elsewhere?.blocks ?? {}
      const here = locals(view, network)
      const free = addresses.filter(each => !here.addresses.has(each))
      // A row's identity hangs on the family of the tunnel end point alone.
      const ends = [vteps.find(each => !each.includes(':')), vteps.find(each => each.includes(':'))]
      return [
        ...ends.flatMap(vtep => {
          const [mac = '', ...others] = vtep ? macs : []
          const first = vtep ? elsewhere?.remote(network, { mac, addresses: free, vtep }, self) : undefined
          const rest = others.flatMap(
            mac => (vtep && elsewhere?.remote(network, { mac, addresses: [], vtep }, self)) || [],
          )
          return [...(first ?? []), ...rest]
        }),
        ...vteps.flatMap(vtep => elsewhere?.holder(network, vtep, self) ?? []),
        ...blocks.flatMap(prefix => block?.(network, prefix, vteps[0] ?? '', self) ?? []),
        ...(stray ? inBlocks(here.own, blocks).flatMap(each => stray(network, each)) : []),
      ]
    }),
  )
  return [...new Map(rows.map(row => [key(row), row])).values()]
}

/** One place a network, so that what is looked up once for each is looked up once for all. */
function merged(places: readonly Place[]): Place[] {
  return [...Map.groupBy(places, each => each.network)].map(([network, all]) => ({
    network,
    macs: [...new Set(all.flatMap(each => each.macs))],
    addresses: [...new Set(all.flatMap(each => each.addresses))],
    vteps: [...new Set(all.flatMap(each => each.vteps))],
    blocks: [...new Set(all.flatMap(each => each.blocks))],
  }))
}

function inBlocks(addresses: readonly string[], blocks: readonly string[]): string[] {
  const list = new BlockList()
  for (const each of blocks) extend(list, each)
  return addresses.filter(each => contains(list, each))
}

/** The place of an endpoint of this host: a peer may have told of the same MAC or address. */
export function placeOf({ peers }: View, network: Network, endpoint: Endpoint): Place | undefined {
  const shared = sharedKey(network)
  const addresses = addressesOf(endpoint)
  const rivals = [
    peers.byMac(shared, endpoint.mac),
    ...addresses.map(address => peers.byAddress(shared, address)),
  ].filter(each => each !== undefined)
  if (rivals.length === 0) return undefined
  return {
    network: shared,
    macs: [...new Set([endpoint.mac, ...rivals.map(each => each.mac)])],
    addresses: [...new Set([...addresses, ...rivals.flatMap(each => each.addresses)])],
    vteps: [...new Set(rivals.map(each => each.vtep))],
    blocks: [],
  }
}

/**
 * Unknown is not empty: rows that peers once told of and don't list now are left alone until all of them were heard. After a restart
 * that keeps a forwarding table which works.
 */
export function spared(view: View): (row: Row) => boolean {
  const { records, modes, peers } = view
  const unsure = [...records.networks.values()].filter(each => !peers.complete(sharedKey(each)))
  const links = new Set(unsure.flatMap(each => modes[each.mode]?.elsewhere?.links(each) ?? []))
  const sets: readonly string[] = peers.heard() ? [] : Object.values(MEMBERS)
  return row => {
    if (row.kind === 'element') return sets.includes(row.set)
    if (row.kind === 'route') return unsure.length > 0
    return (row.kind === 'fdb' || row.kind === 'neighbour') && links.has(row.link)
  }
}

const byKey = (view: View, shared: string): Network[] =>
  [...view.records.networks.values()].filter(each => sharedKey(each) === shared && inhabited(view, each))

/** How remotes, holders and blocks of one network read as rows. */
function reader(view: View, network: Network) {
  const { modes, peers } = view
  const { self } = peers
  const { elsewhere } = modes[network.mode] ?? {}
  if (!elsewhere || !self) return { remotes: () => [], holders: () => [], blocks: () => [] }
  const [shared, pools] = [sharedKey(network), poolsOf(network)]
  const here = locals(view, network)
  const owned =
    ({ mac, vtep }: Remote) =>
    (address: string) =>
      !here.addresses.has(address) &&
      peers.byAddress(shared, address)?.mac === mac &&
      !(elsewhere.blocks && peers.covers(shared, pools, address, vtep))
  const blocks = elsewhere.blocks ? peers.blocks(shared, pools) : new Map<string, string>()
  const holding = new Set([...peers.holders(shared), ...blocks.values()])
  return {
    remotes: (all: Iterable<Remote>): Row[] =>
      [...all]
        .filter(each => !here.macs.has(each.mac))
        .flatMap(each =>
          elsewhere.remote(network, { ...each, addresses: each.addresses.filter(owned(each)) }, self),
        ),
    holders: (asked: Iterable<string> = holding): Row[] =>
      [...asked].filter(vtep => holding.has(vtep)).flatMap(vtep => elsewhere.holder(network, vtep, self)),
    blocks: (asked: Iterable<string> = blocks.keys()): Row[] =>
      [...asked].flatMap(prefix => {
        const vtep = blocks.get(prefix)
        return (vtep !== undefined && elsewhere.blocks?.block(network, prefix, vtep, self)) || []
      }),
  }
}
