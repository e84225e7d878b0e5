import { ipClaims, macClaim, macClaimOf } from './claims.ts'
import { endpointOf, readHost } from './endpoint.ts'
import { Malformed } from './message.ts'
import { type Change, kinds, type Row } from './record.ts'
import type { Table } from './table.ts'

/** One line of a network's forwarding table: frames for this MAC go to that host. Addresses as bytes. */
export type Forwarding = {
  origin: string
  key: string
  mac: Buffer
  /** Those that are this endpoint's by the rule of conflicts. */
  ips: Buffer[]
  /** Absent while its host hasn't told. */
  vtep4?: Buffer | undefined
  vtep6?: Buffer | undefined
}

/** Where every endpoint of a network lives, own ones included. Where two claim an address, the loser is left out. */
export function forwarding(table: Table, network: string): Forwarding[] {
  return [...(table.hosts.get(network)?.keys() ?? [])].flatMap(origin =>
    [...(table.logs.get(origin)?.visible() ?? [])].flatMap(row =>
      row.network === network && row.kind === kinds.endpoint ? lineOf(table, row) : [],
    ),
  )
}

/** The line of one MAC; undefined where nobody has it. */
export function forwardingOf(table: Table, network: string, mac: Buffer): Forwarding | undefined {
  const [row] = table.claims.contenders(macClaimOf(network, mac))
  return row && lineOf(table, row)[0]
}

/** MACs whose line a change may have changed: those that it names, and those of who claims the same addresses. */
export function touchedBy(table: Table, change: Change): { network: string; mac: Buffer }[] {
  const { network, kind, origin, before, value } = change
  if (kind === kinds.host) return [...(table.logs.get(origin)?.visible() ?? [])].flatMap(placeOf)
  const said = [before, value].flatMap(bytes => endpointOf(bytes) ?? [])
  const rivals = said.flatMap(endpoint =>
    ipClaims(network, endpoint).flatMap(claim => table.claims.contenders(claim)),
  )
  return kind === kinds.endpoint
    ? [...said.map(({ mac }) => ({ network, mac })), ...rivals.flatMap(placeOf)]
    : []
}

function placeOf({ network, kind, value }: Row): { network: string; mac: Buffer }[] {
  const endpoint = kind === kinds.endpoint ? endpointOf(value) : undefined
  return endpoint ? [{ network, mac: endpoint.mac }] : []
}

function lineOf(table: Table, row: Row): Forwarding[] {
  const endpoint = endpointOf(row.value)
  if (!endpoint || !table.claims.wins(row, macClaim(row.network, endpoint))) return []
  const ips = [endpoint.ip4, endpoint.ip6].filter(ip => ip !== undefined)
  const won = ipClaims(row.network, endpoint).map(claim => table.claims.wins(row, claim))
  const { origin, key } = row
  return [{ origin, key, mac: endpoint.mac, ips: ips.filter((_, at) => won[at]), ...vtepsOf(table, origin) }]
}

function vtepsOf(table: Table, origin: string) {
  const value = table.at(origin, { network: '', kind: kinds.host, key: '' })?.value
  const host = value && readHost(value)
  return host && !(host instanceof Malformed) ? host : {}
}
