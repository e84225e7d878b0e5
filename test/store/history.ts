import type { Change, Endpoint, Records } from '../../core/records.ts'
import { applyChange, emptyRecords } from '../../core/records.ts'

/** A history that every process can work out: the changes of the nth write, and what is recorded after it. */

/** `bulk` characters make a record fill that much of the log. */
export function changesOf(n: number, bulk = 0): Change[] {
  const lease = `10.0.0.${n % 20}`
  return [
    { table: 'endpoint', id: `e${n % 7}`, value: endpoint(`e${n % 7}`, n, bulk) },
    n % 3 === 0
      ? { table: 'lease', id: lease }
      : {
          table: 'lease',
          id: lease,
          value: { id: lease, pool: 'p', address: lease, gateway: false, created: n },
        },
    ...(n % 5 === 0 ? [{ table: 'endpoint', id: `e${(n + 3) % 7}` } as const] : []),
  ]
}

export function recordsAfter(writes: number, bulk = 0): Records {
  const records = emptyRecords()
  for (let n = 1; n <= writes; n++) for (const change of changesOf(n, bulk)) applyChange(records, change)
  return records
}

/** Which number of writes of the history explains these records. */
export function writesIn(records: Records): number {
  return Math.max(0, ...[...records.endpoints.values()].map(({ created }) => created))
}

function endpoint(id: string, created: number, bulk: number): Endpoint {
  const options = { note: 'x'.repeat(bulk) }
  return {
    id,
    network: 'n',
    ipv4: '10.0.0.2/24',
    mac: '02:00:00:00:00:01',
    options,
    ports: [],
    published: [],
    created,
  }
}
