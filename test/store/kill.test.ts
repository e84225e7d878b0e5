import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { openStore } from '../../store/open.ts'
import { scratch } from './directory.ts'
import { recordsAfter, writesIn } from './history.ts'

describe('store of a process that is killed', () => {
  it('has all that was told durable, and whole writes only, six times over', async () => {
    using directory = scratch()
    for (let round = 0; round < 6; round++) {
      const told = await writeAndKill(directory.path, 5 + Math.floor(Math.random() * 60))
      const store = openStore(directory.path, { logPages: 40 })
      const writes = writesIn(store.records)
      await store.close()
      assert.equal(store.complaint, undefined)
      assert.ok(writes >= told, `${told} told, ${writes} there`)
      assert.deepEqual(store.records, recordsAfter(writes, 500))
    }
  }).timeout(120_000)
})

/** Ends the process at once after it told some writes, and returns the number of the last one that it told. */
async function writeAndKill(directory: string, after: number): Promise<number> {
  const program = join(import.meta.dirname, 'writer.ts')
  const child = spawn(process.execPath, [program, directory, '1000000', '500', '40'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let told = 0
  let count = 0
  for await (const line of createInterface({ input: child.stdout })) {
    told = Number(line.split(' ')[1])
    if (++count === after) child.kill('SIGKILL')
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  assert.equal(child.signalCode, 'SIGKILL')
  return told
}
