import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Store } from '../core/faces.ts'

/**
 * Something that only this host has: systemd's machine-id, or what was made up at the first start where that isn't to be seen, as in a
 * managed plugin.
 */
export async function machineId(store: Store): Promise<string> {
  try {
    return readFileSync('/etc/machine-id', 'utf8').trim()
  } catch {
    return madeUp(store)
  }
}

async function madeUp(store: Store): Promise<string> {
  const id = 'machine'
  const known = store.records.identities.get(id)
  if (known) return known.value
  const value = randomUUID()
  await store.write([{ table: 'identity', id, value: { id, value } }])
  return value
}
