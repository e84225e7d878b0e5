import { writeSync } from 'node:fs'
import { openStore } from '../../store/open.ts'
import { changesOf, writesIn } from './history.ts'

/**
 * A process to kill or to trace: goes on with the history in a directory and tells each write that is durable.
 * Arguments: directory, number of the last write, size of the records, log pages, after how many writes to reopen.
 */
const [directory = '', last = '0', bulk = '0', logPages = '4000', reopen = '0'] = process.argv.slice(2)

let store = openStore(directory, { logPages: Number(logPages) })
let next = writesIn(store.records) + 1
while (next <= Number(last)) {
  // One write alone, then three in one turn.
  for (const count of [1, 3]) {
    const writes = Array.from({ length: count }, () => next++)
    await Promise.all(writes.map(tell))
  }
  if (Number(reopen) > 0 && next % Number(reopen) < 4) {
    await store.close()
    store = openStore(directory, { logPages: Number(logPages) })
  }
}
await store.close()

async function tell(n: number): Promise<void> {
  await store.write(changesOf(n, Number(bulk)))
  writeSync(1, `durable ${n}\n`)
}
