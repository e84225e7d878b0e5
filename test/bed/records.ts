import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Host } from './host.ts'
import { ownName } from './namespace.ts'

/**
 * `kind id` of every record that a host's tsnetd has written. The daemon lets nobody else at its file, so a copy is read:
 * take it while nothing is being asked of the daemon.
 */
export const records = (host: Host): string[] => recordsIn(join(host.folder, 'tsnet'))

/** The same of a folder that TSNET_STATE names. */
export function recordsIn(state: string): string[] {
  const folder = join(state, 'records')
  if (!existsSync(join(folder, 'records.db'))) return []
  const copy = mkdtempSync(join(tmpdir(), ownName('records-')))
  try {
    cpSync(folder, copy, { recursive: true })
    const database = new DatabaseSync(join(copy, 'records.db'))
    const rows = database.prepare("select kind, id from records where kind != 'seal' order by kind, id").all()
    database.close()
    return rows.map(({ kind, id }) => `${kind} ${id}`)
  } finally {
    rmSync(copy, { recursive: true })
  }
}
