import type { Change, Records } from '../core/records.ts'

/** The tables of records, by the word that a change calls them. */
export const tables = {
  network: 'networks',
  endpoint: 'endpoints',
  pool: 'pools',
  lease: 'leases',
  identity: 'identities',
} as const

export function emptyRecords(): Records {
  return {
    networks: new Map(),
    endpoints: new Map(),
    pools: new Map(),
    leases: new Map(),
    identities: new Map(),
  }
}

export function applyChange(records: Records, { table, id, value }: Change): void {
  const rows = records[tables[table]] as Map<string, unknown>
  if (value === undefined) rows.delete(id)
  else rows.set(id, value)
}
