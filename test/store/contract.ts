import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Store } from '../../core/faces.ts'
import type { Change, Pool } from '../../core/records.ts'
import { applyChange, emptyRecords } from '../../core/records.ts'

const pool = (id: string, range?: string): Pool => ({
  id,
  space: 'local',
  pool: '10.0.0.0/24',
  ...(range ? { range } : {}),
})
const put = (id: string, range?: string): Change => ({ table: 'pool', id, value: pool(id, range) })

const id = fc.constantFrom('a', 'b', 'c', 'ü/ "\\', '')
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.tuple(id, fc.string()).map(([id, range]) => put(id, range)),
  id.map(id => ({ table: 'pool', id }) as const),
  id.map(id => ({ table: 'lease', id }) as const),
  fc.tuple(id, fc.nat()).map(
    ([id, created]) =>
      ({
        table: 'lease',
        id,
        value: { id, pool: 'p', address: '10.0.0.2', gateway: false, created },
      }) as const,
  ),
)

/** What every store promises. `reopen` closes one and opens what it left behind, where that outlives it. */
export function storeContract(
  make: () => Store & { [Symbol.dispose]?(): void },
  reopen?: (store: Store) => Promise<Store>,
): void {
  const using = async (run: (store: Store) => Promise<void>) => {
    const store = make()
    try {
      await run(store)
    } finally {
      await store.close()
      store[Symbol.dispose]?.()
    }
  }

  it('is empty at first', () => using(async store => assert.deepEqual(store.records, emptyRecords())))

  it('shows a write when it is durable, not before', () =>
    using(async store => {
      const written = store.write([put('a')])
      assert.equal(store.records.pools.size, 0)
      await written
      assert.deepEqual(store.records.pools, new Map([['a', pool('a')]]))
    }))

  it('writes what it was given at the call', () =>
    using(async store => {
      const value = pool('a')
      const written = store.write([{ table: 'pool', id: 'a', value }])
      value.pool = 'changed'
      await written
      value.pool = 'changed again'
      assert.deepEqual(store.records.pools.get('a'), pool('a'))
    }))

  it('keeps the order of writes that overlap', () =>
    using(async store => {
      await Promise.all([
        store.write([put('a', '1')]),
        store.write([{ table: 'pool', id: 'a' }]),
        store.write([put('a', '3')]),
      ])
      assert.equal(store.records.pools.get('a')?.range, '3')
    }))

  it('takes the deletion of what is not there', () =>
    using(async store => {
      await store.write([{ table: 'endpoint', id: 'none' }])
      await store.write([])
      assert.deepEqual(store.records, emptyRecords())
    }))

  it('finishes what was asked for before it is closed', () =>
    using(async store => {
      const written = Promise.all([store.write([put('a')]), store.write([put('b')])])
      await store.close()
      await written
      assert.deepEqual([...store.records.pools.keys()], ['a', 'b'])
    }))

  it('refuses to write once closed', () =>
    using(async store => {
      await store.close()
      await assert.rejects(store.write([put('a')]), /closed/)
    }))

  it('ends as a map does, after any changes in any grouping', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(fc.array(change, { maxLength: 4 }), { maxLength: 4 })), turns =>
        using(async first => {
          let store = first
          const model = emptyRecords()
          for (const [n, turn] of turns.entries()) {
            await Promise.all(turn.map(changes => store.write(changes)))
            for (const one of turn.flat()) applyChange(model, one)
            assert.deepEqual(store.records, model)
            if (reopen && n % 3 === 2) store = await reopen(store)
          }
          if (reopen) store = await reopen(store)
          assert.deepEqual(store.records, model)
          if (store !== first) await store.close()
        }),
      ),
      { numRuns: 40 },
    )
  }).timeout(60_000)
}
