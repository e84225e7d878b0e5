import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Refused } from '../core/errors.ts'
import type { Change, Records } from '../core/records.ts'
import { applyChange, emptyRecords, tables } from '../core/records.ts'
import { Mark } from './mark.ts'
import { isIntact, noRows, type Row, reseal, row, type Seal, sealKind, version } from './seal.ts'
import { blamesFile, Damaged } from './trouble.ts'

/** Files of one directory that is renamed as a whole, so that a database and its log stay together. */
export const files = (path: string) => ({
  database: join(path, 'records.db'),
  log: join(path, 'records.db-wal'),
  mark: join(path, 'mark'),
})

export type Contents = { records: Records; seal: Seal }

/**
 * Reads everything and writes nothing: the evidence of a damage stays as it is, for even closing a database that was open for
 * writing moves its log into it.
 * @throws Damaged when it isn't what was acknowledged; Refused when a newer version wrote it.
 */
export function readContents(path: string): Contents {
  const commits = readMark(path)
  const records = emptyRecords()
  let counted = noRows
  let seal: Seal | undefined
  for (const one of readRows(path, 'whole')) {
    if (!isIntact(one)) throw new Damaged(`${one.kind} "${one.id}" fails its checksum`)
    if (one.kind === sealKind) seal = JSON.parse(one.json) as Seal
    else {
      counted = reseal(counted, undefined, one)
      // A newer version may have others: its seal tells.
      if (one.kind in tables) applyRow(records, one)
    }
  }
  checkSeal(path, seal, { ...counted, commits })
  return { records, seal }
}

/** What can still be read of damaged records and is vouched for by its own checksum. */
export function salvage(path: string): Row[] {
  const found: Row[] = []
  try {
    for (const one of readRows(path, 'rest')) if (isIntact(one) && one.kind in tables) found.push(one)
  } catch (error) {
    if (!(error instanceof Damaged)) throw error
  }
  return found
}

/** Makes records that hold these rows. They are there as a whole or not at all. */
export function makeContents(path: string, rows: readonly Row[]): void {
  const draft = `${path}.new`
  rmSync(draft, { recursive: true, force: true })
  mkdirSync(draft, { mode: 0o700 })
  Mark.create(files(draft).mark)
  const seal = rows.reduce((sum, one) => reseal(sum, undefined, one), noRows)
  const database = new DatabaseSync(files(draft).database)
  database.exec(
    'pragma journal_mode = wal; pragma synchronous = full; begin;' +
      'create table records (kind text, id text, json text, crc integer, primary key (kind, id)) strict, without rowid',
  )
  const put = database.prepare(putRow)
  for (const { kind, id, json, crc } of [...rows, row(sealKind, '', seal)]) put.run(kind, id, json, crc)
  database.exec('commit')
  database.close()
  flushDirectory(draft)
  renameSync(draft, path)
  flushDirectory(dirname(path))
}

export const putRow = 'insert or replace into records values (?, ?, ?, ?)'

/** Makes names that were made in a directory durable. */
export function flushDirectory(path: string): void {
  const fd = openSync(path, 'r')
  fsyncSync(fd)
  closeSync(fd)
}

function readMark(path: string): number {
  const { mark } = files(path)
  const commits = existsSync(mark) ? Mark.read(mark) : undefined
  if (commits === undefined) throw new Damaged('the count of acknowledged changes is missing')
  return commits
}

function* readRows(path: string, wanted: 'whole' | 'rest'): Generator<Row> {
  const { database } = files(path)
  if (!existsSync(database)) throw new Damaged('records.db is missing')
  checkHeader(database)
  const file = new DatabaseSync(database, { readOnly: true })
  try {
    if (wanted === 'whole') checkStructure(file)
    for (const one of file.prepare('select kind, id, json, crc from records').iterate()) yield one as Row
  } catch (error) {
    throw blamesFile(error) ? new Damaged(`SQLite says "${(error as Error).message}"`) : error
  } finally {
    file.close()
  }
}

/** The part of SQLite's header that never changes (https://sqlite.org/fileformat2.html 1.3), of pages of 4096 bytes and a log. */
function checkHeader(path: string): void {
  const expected = Buffer.from('SQLite format 3\0\x10\0\x02\x02\0\x40\x20\x20', 'latin1')
  const bytes = Buffer.alloc(expected.length)
  const fd = openSync(path, 'r')
  readSync(fd, bytes)
  closeSync(fd)
  if (!bytes.equals(expected)) throw new Damaged('records.db has a damaged header')
}

function checkStructure(file: DatabaseSync): void {
  const [first] = file.prepare('pragma integrity_check(1)').all()
  const words = Object.values(first ?? {})[0]
  if (words !== 'ok') throw new Damaged(`SQLite says "${words}"`)
}

function checkSeal(path: string, seal: Seal | undefined, found: Seal): asserts seal is Seal {
  if (!seal) throw new Damaged('the seal is missing')
  if (seal.version !== version)
    throw new Refused(`${path} was written by a newer tsnet (${seal.version} > ${version})`)
  if (seal.commits < found.commits)
    throw new Damaged(`${found.commits - seal.commits} acknowledged changes are missing`)
  if (seal.rows !== found.rows || seal.sum !== found.sum) {
    throw new Damaged(`${found.rows} records don't add up to the ${seal.rows} that were sealed`)
  }
}

function applyRow(records: Records, { kind, id, json }: Row): void {
  applyChange(records, { table: kind, id, value: JSON.parse(json) } as Change)
}
