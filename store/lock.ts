import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Refused } from '../core/errors.ts'
import { isSqlite, sqlite } from './trouble.ts'

/**
 * Node has no flock(2), but SQLite locks a file for as long as its process lives, however that ends. The file stays empty. It
 * isn't the database itself, for that one may be renamed while two daemons start.
 * @throws Refused when another process has it.
 */
export function lock(directory: string): { release(): void } {
  const file = new DatabaseSync(join(directory, 'lock'))
  try {
    file.exec('pragma journal_mode = memory; begin exclusive')
  } catch (error) {
    file.close()
    if (!isSqlite(error, sqlite.BUSY)) throw error
    throw new Refused(
      `${directory} is in use by another tsnetd: stop that one, or give this one its own TSNET_STATE`,
    )
  }
  return { release: () => file.close() }
}
