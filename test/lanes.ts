import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

/**
 * Runs tests in lanes, two side by side: real engines and kernels mostly wait, so two of them fill two cores. A lane is a run of mocha of its
 * own, on one engine or on none; hosts of one never meet those of another. The last line adds up theirs.
 *
 * `node test/lanes.ts [all | quick | docker [SUITE …]]`: all, those without engines, those on engines or some of them; `SIDE_BY_SIDE=1`
 * runs one lane after the other.
 */
type Lane = { name: string; engine?: string; files: string[] }

const SIDE_BY_SIDE = Number(process.env.SIDE_BY_SIDE ?? 2)
const engines = process.env.TSNET_ENGINES?.split(',') ?? ['28.5', '20.10']

/** As long as all the rest. */
const nodes = ['test/cni/**', 'test/deploy/**', 'test/plugin/**']
const others = ['test/docker/**', 'test/kubernetes/**', ...nodes]

const quick: Lane[] = [
  { name: 'rest', files: [...others.flatMap(each => ['--ignore', each]), 'test/**/*.test.ts'] },
  { name: 'nodes', files: nodes.map(each => `${each}/*.test.ts`) },
]

const docker = (suites: readonly string[]): Lane[] =>
  engines.map(engine => ({
    name: `Docker ${engine}`,
    engine,
    files: suites.map(suite => `test/docker/${suite}.test.ts`),
  }))

function lanes([what = 'all', ...suites]: readonly string[]): Lane[] {
  const some = suites.length > 0 ? suites : ['*']
  const known: Record<string, () => Lane[]> = {
    all: () => [...docker(['*']), ...quick],
    quick: () => quick,
    docker: () => docker(some),
  }
  const found = known[what]
  if (!found) throw new Error(`${what} is none of ${Object.keys(known).join(', ')}`)
  return found()
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
