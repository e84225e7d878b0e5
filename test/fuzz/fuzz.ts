import { parseArgs } from 'node:util'
import { fuzz, round, targets } from './run.ts'

/**
 * `make fuzz MINUTES=60`: every target its share of the time, then figures. A failure prints the target, the round and the input:
 * `node test/fuzz/fuzz.ts --target gossip --round 123` brings it back.
 */
const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    target: { type: 'string', default: '' },
    round: { type: 'string' },
  },
})

/** Bytes that the heap may grow by while a target takes all the inputs of an hour. */
const GROWTH = 16 * 2 ** 20

const chosen = targets().filter(({ name }) => name.includes(values.target))
const share = (Number(values.minutes) * 60_000) / chosen.length
const mebi = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`
process.on('unhandledRejection', error => {
  throw error
})

console.log(`seed ${values.seed}`)
for (const target of chosen) {
  if (values.round) await round(target, Number(values.round))
  else {
    const { name, inputs, seconds, before, after, slowest } = await fuzz(target, Number(values.seed), share)
    console.log(
      `${name}: ${inputs} inputs in ${seconds.toFixed(0)} s, no crash; heap ${mebi(before)} → ${mebi(after)}; slowest ${slowest.toFixed(0)} ms`,
    )
    if (after - before > GROWTH) throw new Error(`${name}: the heap grew by ${mebi(after - before)}`)
  }
  await target.close?.()
}
