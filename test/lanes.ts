import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

/**
 * Runs all tests in lanes, two side by side: real engines and kernels mostly wait, so two of them fill two cores. A lane is a run of mocha of its
 * own, on one engine or on none; hosts of one never meet those of another. The last line adds up theirs.
 *
 * `node test/lanes.ts [SUITE …]`: with names, only those of test/docker; `SIDE_BY_SIDE=1` runs one lane after the other.
 */
type Lane = { name: string; engine?: string; files: string[] }

const SIDE_BY_SIDE = Number(process.env.SIDE_BY_SIDE ?? 2)
const engines = process.env.TSNET_ENGINES?.split(',') ?? ['28.5', '20.10']

function lanes(suites: readonly string[]): Lane[] {
  const files = (suites.length > 0 ? suites : ['*']).map(suite => `test/docker/${suite}.test.ts`)
  const rest = {
    name: 'rest',
    files: ['--ignore', 'test/docker/**', '--ignore', 'test/kubernetes/**', 'test/**/*.test.ts'],
  }
  return [
    ...engines.map(engine => ({ name: `Docker ${engine}`, engine, files })),
    ...(suites.length > 0 ? [] : [rest]),
  ]
}

type Sum = { passed: number; failed: number; skipped: number }

/** Its lines appear under its name. A lane that ends without a sum counts as one failure. */
function run({ name, engine, files }: Lane): Promise<Sum> {
  const color = process.stdout.isTTY && { FORCE_COLOR: '1' }
  const env = { ...process.env, ...color, ...(engine && { TSNET_ENGINES: engine }) }
  const mocha = spawn(process.execPath, ['node_modules/mocha/bin/mocha.js', ...files], {
    env,
    stdio: ['inherit', 'pipe', 'inherit'],
  })
  let sum: Sum | undefined
  createInterface(mocha.stdout).on('line', line => {
    sum = parse(line) ?? sum
    console.log(`${name} │ ${line}`)
  })
  return new Promise(done =>
    mocha.on('close', code => {
      console.log(`${name} │ ended with exit code ${code}`)
      done(sum ?? { passed: 0, failed: 1, skipped: 0 })
    }),
  )
}

function parse(line: string): Sum | undefined {
  const [, passed, failed, skipped = 0] = /^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/.exec(line) ?? []
  return passed === undefined
    ? undefined
    : { passed: Number(passed), failed: Number(failed), skipped: Number(skipped) }
}

const waiting = lanes(process.argv.slice(2))
const total: Sum = { passed: 0, failed: 0, skipped: 0 }
const slot = async () => {
  for (let lane = waiting.shift(); lane; lane = waiting.shift()) {
    const sum = await run(lane)
    for (const key of Object.keys(total) as (keyof Sum)[]) total[key] += sum[key]
  }
}
await Promise.all(Array.from({ length: SIDE_BY_SIDE }, slot))
console.log(
  `${total.passed} passed, ${total.failed} failed${total.skipped ? `, ${total.skipped} skipped` : ''}`,
)
process.exitCode = total.failed > 0 ? 1 : 0
