import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { cpSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import type { Records } from '../../core/records.ts'
import { type DurableStore, openStore } from '../../store/open.ts'
import { row, sealKind } from '../../store/seal.ts'
import { scratch } from './directory.ts'
import { changesOf, recordsAfter } from './history.ts'

const writes = 40

/** Directories as they are after a kill, most records in the log, and after an orderly end. */
const states = { killed: scratch(), closed: scratch() }

describe('damaged records', () => {
  before(async () => {
    using directory = scratch()
    const store = openStore(directory.path, { logPages: 30 })
    for (let n = 1; n <= writes; n++) await store.write(changesOf(n))
    cpSync(directory.path, states.killed.path, { recursive: true })
    await store.close()
    cpSync(directory.path, states.closed.path, { recursive: true })
  })

  after(() => {
    for (const state of Object.values(states)) state[Symbol.dispose]()
  })

  for (const [name, state] of Object.entries(states)) {
    for (const file of ['records.db', 'records.db-wal', 'mark']) {
      if (name === 'closed' && file === 'records.db-wal') continue

      it(`are never fewer without a word: bits of ${file} flipped (${name})`, () =>
        everyDamage(
          state.path,
          file,
          fc.tuple(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), fc.nat(7)),
          (path, [at, bit]) => {
            const bytes = readFileSync(path)
            const index = Math.floor(at * bytes.length)
            bytes[index] = (bytes[index] ?? 0) ^ (1 << bit)
            writeFileSync(path, bytes)
          },
        )).timeout(120_000)

      it(`are never fewer without a word: ${file} cut short (${name})`, () =>
        everyDamage(
          state.path,
          file,
          fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
          (path, at) => truncateSync(path, Math.floor(at * readFileSync(path).length)),
        )).timeout(120_000)

      it(`are never fewer without a word: ${file} gone (${name})`, () =>
        damage(state.path, join('records', file), path => rmSync(path)))
    }
  }

  it('are set aside as they are, and what can be trusted goes on', async () => {
    using directory = scratch()
    cpSync(states.closed.path, directory.path, { recursive: true })
    const path = join(directory.path, 'records', 'records.db')
    const bytes = readFileSync(path)
    bytes[bytes.indexOf('"id":"e3"') + 6] = 'X'.charCodeAt(0)
    writeFileSync(path, bytes)

    const store = openStore(directory.path)
    const expected = recordsAfter(writes)
    expected.endpoints.delete('e3')
    assert.deepEqual(store.records, expected)
    assert.match(store.complaint ?? '', /endpoint "e3" fails its checksum.*records\.damaged-1/s)
    assert.deepEqual(readFileSync(join(directory.path, 'records.damaged-1', 'records.db')), bytes)

    await store.write(changesOf(writes + 1))
    await store.close()
    const next = openStore(directory.path)
    assert.match(next.complaint ?? '', /earlier start.*records\.damaged-1/s, 'told until somebody cleared up')
    assert.equal(next.records.endpoints.get(`e${(writes + 1) % 7}`)?.created, writes + 1)
    await next.close()

    rmSync(join(directory.path, 'records.damaged-1'), { recursive: true })
    const last = openStore(directory.path)
    assert.equal(last.complaint, undefined)
    await last.close()
  })

  it('are salvaged by the next start when this one died after it had set them aside', async () => {
    using directory = scratch()
    cpSync(states.closed.path, directory.path, { recursive: true })
    renameSync(join(directory.path, 'records'), join(directory.path, 'records.damaged-3'))
    const store = openStore(directory.path)
    assert.deepEqual(store.records, recordsAfter(writes))
    assert.match(store.complaint ?? '', /records\.damaged-3/)
    await store.close()
  })

  it('are noticed when a record is gone that SQLite does not miss', async () => {
    await edited(
      "delete from records where kind = 'lease' and id = (select min(id) from records where kind = 'lease')",
      /add up/,
    )
  })

  it('are noticed when a record is replaced by an older one', async () => {
    const { json, crc } = row('endpoint', 'e3', recordsAfter(3).endpoints.get('e3'))
    await edited(`update records set json = '${json}', crc = ${crc} where id = 'e3'`, /add up/)
  })

  it('are noticed when a record is no JSON', async () => {
    await edited("update records set json = '{' where id = 'e3'", /checksum/)
  })

  it('are noticed when the seal is gone', async () => {
    await edited(`delete from records where kind = '${sealKind}'`, /seal/)
  })
})

async function edited(sql: string, expected: RegExp): Promise<void> {
  await damage(
    states.closed.path,
    join('records', 'records.db'),
    path => {
      const database = new DatabaseSync(path)
      database.exec(sql)
      database.close()
    },
    store => assert.match(store.complaint ?? '', expected),
  )
}

async function everyDamage<T>(
  state: string,
  file: string,
  what: fc.Arbitrary<T>,
  harm: (path: string, what: T) => void,
): Promise<void> {
  await fc.assert(
    fc.asyncProperty(what, one => damage(state, join('records', file), path => harm(path, one))),
    { numRuns: 40 },
  )
}

/** After any harm: all records, or a complaint, the evidence, and nothing that was never written. Then life goes on. */
async function damage(
  state: string,
  file: string,
  harm: (path: string) => void,
  check: (store: DurableStore) => void = () => {},
): Promise<void> {
  using directory = scratch()
  cpSync(state, directory.path, { recursive: true })
  harm(join(directory.path, file))
  const harmed = contents(join(directory.path, 'records'))
  const store = openStore(directory.path)
  try {
    check(store)
    if (store.complaint === undefined) assert.deepEqual(store.records, recordsAfter(writes))
    else {
      assert.deepEqual(contents(join(directory.path, 'records.damaged-1')), harmed)
      assertWereWritten(store.records)
    }
    await store.write([{ table: 'pool', id: 'p', value: { id: 'p', space: 'local', pool: '10.0.0.0/24' } }])
  } finally {
    await store.close()
  }
  const next = openStore(directory.path)
  assert.deepEqual(next.records, store.records)
  await next.close()
}

/** Digests, for a failure to be readable. What SQLite adds to read a log is none of the evidence. */
function contents(directory: string): Record<string, string> {
  const names = readdirSync(directory).filter(name => !name.endsWith('-shm'))
  const files = names.map(name => [name, readFileSync(join(directory, name))] as const)
  return Object.fromEntries(
    files.filter(([, bytes]) => bytes.length > 0).map(([name, bytes]) => [name, hash('sha256', bytes)]),
  )
}

function assertWereWritten(records: Records): void {
  for (const [id, endpoint] of records.endpoints) {
    const { created } = endpoint
    assert.ok(created <= writes && `e${created % 7}` === id)
    assert.deepEqual(endpoint, recordsAfter(created).endpoints.get(id))
  }
}
