import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { StepError } from '../../core/errors.ts'
import type { Records } from '../../core/records.ts'
import { openStore } from '../../store/open.ts'
import { changesOf } from './history.ts'

/** What happens on the disk that a directory is on, as one JSON object. Arguments: directory, `fill` or `open`. */
const [directory = '', what] = process.argv.slice(2)

console.log(JSON.stringify(what === 'fill' ? await fill() : open()))

function open(): object {
  try {
    openStore(directory)
    return {}
  } catch (error) {
    const { code, message } = error as StepError
    return { code, message }
  }
}

async function fill(): Promise<object> {
  const store = openStore(directory)
  const ballast = join(directory, 'ballast')
  writeFileSync(ballast, Buffer.alloc(200_000))
  let before: Records | undefined
  let code: string | undefined
  for (let n = 1; code === undefined && n < 1000; n++) {
    before = structuredClone(store.records)
    code = await store.write(changesOf(n, 20_000)).then(
      () => undefined,
      (error: StepError) => error.code,
    )
  }
  const unchanged = isDeepStrictEqual(store.records, before)
  rmSync(ballast)
  await store.write(changesOf(1000))
  await store.close()
  const next = openStore(directory)
  const reopened = isDeepStrictEqual(next.records, store.records)
  await next.close()
  return { code, unchanged, afterwards: 'written', reopened }
}
