import { closeSync, fdatasync, openSync, rmSync } from 'node:fs'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { promisify } from 'node:util'
import { StepError } from '../core/errors.ts'
import type { Store } from '../core/faces.ts'
import type { Change, Records } from '../core/records.ts'
import { applyChange } from '../core/records.ts'
import { type Contents, files, flushDirectory, putRow } from './contents.ts'
import { Group } from './group.ts'
import { Mark } from './mark.ts'
import { type Row, reseal, row, type Seal, sealKind } from './seal.ts'
import { explain, isSqlite, sqlite } from './trouble.ts'

/** A row to put, or to delete when it is missing. */
type Put = { change: Change; row?: Row }

export type StoreSettings = {
  /** Pages of 4096 bytes in the log before it is moved into the database, which blocks for two flushes. */
  logPages?: number
}

type Parts = StoreSettings & {
  directory: string
  path: string
  contents: Contents
  held: { release(): void }
  complaint?: string
}

const flush = promisify(fdatasync)

/**
 * SQLite with a write-ahead log. With `synchronous = normal` its commit only writes (40 µs); it flushes by itself where the order of
 * writes matters, around a checkpoint. Durability is our own fdatasync(2) of the log on libuv's thread pool, so that a slow disk
 * doesn't hold up the daemon: `full` blocks it, up to 0.7 s when others use the disk, and a worker thread takes twice as
 * long for one write.
 */
export class DiskStore implements Store {
  readonly records: Records
  readonly complaint?: string
  readonly #parts: Parts
  readonly #database: DatabaseSync
  readonly #get: StatementSync
  readonly #put: StatementSync
  readonly #delete: StatementSync
  readonly #mark: Mark
  readonly #log: number
  readonly #group = new Group<Put>(puts => this.#commit(puts))
  #seal: Seal
  /** Why nothing more can be written. */
  #broken?: Error
  #closed?: Promise<void>

  constructor(parts: Parts) {
    const { database, log, mark } = files(parts.path)
    this.#parts = parts
    this.records = parts.contents.records
    this.#seal = parts.contents.seal
    if (parts.complaint) this.complaint = parts.complaint
    this.#database = openDatabase(database, parts.logPages ?? 4000)
    this.#get = this.#database.prepare('select kind, id, json, crc from records where kind = ? and id = ?')
    this.#put = this.#database.prepare(putRow)
    this.#delete = this.#database.prepare('delete from records where kind = ? and id = ?')
    this.#mark = new Mark(mark)
    this.#log = openSync(log, 'r')
    flushDirectory(parts.path)
  }

  /** Changes are written as they are now, whatever the caller does with them later. An error leaves `records` as they were. */
  async write(changes: readonly Change[]): Promise<void> {
    if (this.#closed) throw new Error('the store is closed')
    try {
      await this.#group.add(changes.map(toPut))
    } catch (error) {
      throw explain(error, this.#parts.directory)
    }
  }

  /** Finishes what was asked for. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    await this.#group.idle()
    this.#database.close()
    closeSync(this.#log)
    this.#mark.close()
    this.#parts.held.release()
  }

  async #commit(puts: readonly Put[]): Promise<void> {
    if (this.#broken) throw this.#broken
    this.#seal = this.#transact(puts)
    await this.#flush()
    this.#mark.write(this.#seal.commits)
    for (const { change, row } of puts) {
      applyChange(this.records, row ? ({ ...change, value: JSON.parse(row.json) } as Change) : change)
    }
  }

  #transact(puts: readonly Put[]): Seal {
    try {
      return this.#attempt(puts)
    } catch (error) {
      if (!isSqlite(error, sqlite.FULL)) throw error
      // It may be the log that fills the disk.
      this.#database.exec('pragma wal_checkpoint(truncate)')
      return this.#attempt(puts)
    }
  }

  #attempt(puts: readonly Put[]): Seal {
    try {
      this.#database.exec('begin immediate')
      const rows = puts.reduce((seal, put) => this.#store(seal, put), this.#seal)
      const seal = { ...rows, commits: rows.commits + 1 }
      this.#insert(row(sealKind, '', seal))
      this.#database.exec('commit')
      return seal
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('rollback')
      throw error
    }
  }

  #store(seal: Seal, { change, row }: Put): Seal {
    const before = this.#get.get(change.table, change.id) as Row | undefined
    if (row) this.#insert(row)
    else this.#delete.run(change.table, change.id)
    return reseal(seal, before, row)
  }

  #insert({ kind, id, json, crc }: Row): void {
    this.#put.run(kind, id, json, crc)
  }

  /** After a failed flush nobody knows what is on disk, and the kernel doesn't tell twice: only a new start reads it again. */
  async #flush(): Promise<void> {
    try {
      await flush(this.#log)
    } catch (error) {
      const words = `flushing failed (${(error as Error).message}): restart tsnetd when the disk works again`
      this.#broken = new StepError(`keep records in ${this.#parts.directory}`, 'EIO', words)
      throw this.#broken
    }
  }
}

function toPut(change: Change): Put {
  return change.value === undefined ? { change } : { change, row: row(change.table, change.id, change.value) }
}

/** Locked for us alone, so that its index of the log is in memory. The log of the last run is emptied first. */
function openDatabase(path: string, logPages: number): DatabaseSync {
  rmSync(`${path}-shm`, { force: true })
  const database = new DatabaseSync(path)
  database.exec(
    'pragma locking_mode = exclusive; pragma journal_mode = wal; pragma synchronous = normal;' +
      `pragma wal_autocheckpoint = ${logPages}; pragma wal_checkpoint(truncate)`,
  )
  return database
}
