import assert from 'node:assert/strict'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { openStore } from '../../store/open.ts'
import { scratch } from './directory.ts'
import { DiskModel, type Draw } from './disk-model.ts'
import { changesOf, recordsAfter, writesIn } from './history.ts'
import { type Call, trace } from './syscalls.ts'

const writes = 24
const imagesPerCut = 3

describe('store after a power cut', () => {
  for (const { name, bulk, logPages, reopen } of [
    { name: 'while the log grows', bulk: 0, logPages: 4000, reopen: 0 },
    { name: 'while the log is moved into the database', bulk: 3000, logPages: 12, reopen: 0 },
    { name: 'while it is closed and opened', bulk: 0, logPages: 4000, reopen: 8 },
  ]) {
    it(`has all that was told durable, and whole writes only: ${name}`, async () => {
      using place = scratch()
      const directory = join(place.path, 'state')
      mkdirSync(directory)
      const args = [directory, writes, bulk, logPages, reopen].map(String)
      const calls = trace(join(import.meta.dirname, 'writer.ts'), args, join(place.path, 'log'), directory)
      assert.ok(calls.filter(call => call.name === 'told').length >= writes)
      await cutEverywhere(calls, directory, join(place.path, 'image'), bulk)
    }).timeout(240_000)
  }

  for (const [what, log, logPages] of [
    ['the log', /-wal$/, 4000],
    ['the database', /\.db$/, 12],
  ] as const) {
    it(`is not proven by a disk that forgets to flush ${what}`, async () => {
      using place = scratch()
      const directory = join(place.path, 'state')
      mkdirSync(directory)
      const args = [directory, writes, 3000, logPages].map(String)
      const calls = trace(join(import.meta.dirname, 'writer.ts'), args, join(place.path, 'log'), directory)
      const forgetful = calls.filter(call => !(call.name === 'flush' && log.test(call.path)))
      await assert.rejects(
        cutEverywhere(forgetful, directory, join(place.path, 'image'), 3000),
        assert.AssertionError,
      )
    }).timeout(240_000)
  }
})

/** Cuts the power after each call, each time with several outcomes. */
async function cutEverywhere(
  calls: readonly Call[],
  directory: string,
  image: string,
  bulk: number,
): Promise<void> {
  const draw = drawFrom(calls.length)
  const disk = new DiskModel(directory)
  let told = 0
  for (const call of calls) {
    if (call.name === 'told') told = Math.max(told, Number(call.text.split(' ')[1]))
    else disk.apply(call)
    for (let n = 0; n < imagesPerCut; n++) {
      mkdirSync(image)
      disk.cut(image, draw)
      await assertRecovers(image, told, bulk)
      rmSync(image, { recursive: true })
    }
  }
}

/** Opens, and lives on. */
async function assertRecovers(image: string, told: number, bulk: number): Promise<void> {
  const store = openStore(image)
  const found = writesIn(store.records)
  assert.equal(store.complaint, undefined)
  assert.ok(found >= told, `${told} told, ${found} there`)
  assert.deepEqual(store.records, recordsAfter(found, bulk))
  await store.write(changesOf(found + 1, bulk))
  await store.close()
  const next = openStore(image)
  await next.close()
  assert.deepEqual(next.records, recordsAfter(found + 1, bulk))
}

/** Numbers that look random and are the same in every run (Park and Miller's generator). */
function drawFrom(seed: number): Draw {
  let state = seed
  return below => {
    state = (state * 48_271) % 2_147_483_647
    return state % below
  }
}
