import assert from 'node:assert/strict'
import { cpSync, existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Refused } from '../../core/errors.ts'
import type { Change } from '../../core/records.ts'
import { openStore } from '../../store/open.ts'
import { row, sealKind } from '../../store/seal.ts'
import { storeContract } from './contract.ts'
import { scratch } from './directory.ts'
import { changesOf, recordsAfter } from './history.ts'

const pool = (id: string): Change => ({
  table: 'pool',
  id,
  value: { id, space: 'local', pool: '10.0.0.0/24' },
})

describe('store on disk', () => {
  const directories = new WeakMap<object, string>()
  storeContract(
    () => {
      const directory = scratch()
      const store = openStore(directory.path)
      directories.set(store, directory.path)
      return Object.assign(store, { [Symbol.dispose]: directory[Symbol.dispose] })
    },
    async store => {
      const directory = directories.get(store) ?? ''
      await store.close()
      const next = openStore(directory)
      directories.set(next, directory)
      return next
    },
  )

  it('makes its directory for root alone', async () => {
    using directory = scratch()
    const path = join(directory.path, 'var', 'lib')
    await openStore(path).close()
    assert.equal(statSync(path).mode & 0o777, 0o700)
  })

  it('is refused to a second daemon while the first one runs', async () => {
    using directory = scratch()
    const store = openStore(directory.path)
    assert.throws(() => openStore(directory.path), Refused)
    await store.close()
    await openStore(directory.path).close()
  })

  it('commits all writes of a turn at once', async () => {
    using directory = scratch()
    const store = openStore(directory.path)
    await store.write([pool('first')])
    const before = logFrames(directory.path)
    await Promise.all(Array.from({ length: 200 }, (_, n) => store.write([pool(`p${n}`)])))
    // Each page that changed is in the log once, and 200 records of this size have fewer than 20 pages.
    assert.ok(logFrames(directory.path) - before < 20, 'one transaction')
    await store.close()
  })

  it('has everything again that was durable when its process was killed', async () => {
    using directory = scratch()
    using copy = scratch()
    const store = openStore(directory.path)
    for (let n = 1; n <= 30; n++) await store.write(changesOf(n))
    // What a killed process leaves are the files as they are, the log not yet moved.
    cpSync(directory.path, copy.path, { recursive: true })
    await store.close()
    const next = openStore(copy.path)
    assert.deepEqual(next.records, recordsAfter(30))
    assert.equal(next.complaint, undefined)
    await next.close()
  })

  it('moves its log into the database before that grows without bounds', async () => {
    using directory = scratch()
    const store = openStore(directory.path, { logPages: 20 })
    for (let n = 1; n <= 100; n++) await store.write(changesOf(n))
    assert.ok(logFrames(directory.path) < 40)
    await store.close()
  })

  it('leaves nothing but the database, the mark and the lock when it is closed', async () => {
    using directory = scratch()
    const store = openStore(directory.path)
    await store.write([pool('a')])
    await store.close()
    assert.deepEqual(readdirSync(directory.path, { recursive: true }).sort(), [
      'lock',
      'records',
      'records/mark',
      'records/records.db',
    ])
  })

  it('leaves records of a newer version alone', async () => {
    using directory = scratch()
    await openStore(directory.path).close()
    const database = new DatabaseSync(join(directory.path, 'records', 'records.db'))
    const { json, crc } = row(sealKind, '', { version: 2, commits: 0, rows: 0, sum: 0 })
    database.prepare('update records set json = ?, crc = ?').run(json, crc)
    database.close()
    assert.throws(() => openStore(directory.path), /newer tsnet/)
    assert.deepEqual(readdirSync(directory.path).sort(), ['lock', 'records'])
  })

  it('finishes a first start that died half-way', async () => {
    using directory = scratch()
    mkdirSync(join(directory.path, 'records.new'))
    const store = openStore(directory.path)
    assert.equal(store.complaint, undefined)
    assert.equal(existsSync(join(directory.path, 'records.new')), false)
    await store.close()
  })
})

function logFrames(directory: string): number {
  return Math.floor(statSync(join(directory, 'records', 'records.db-wal')).size / 4120)
}
