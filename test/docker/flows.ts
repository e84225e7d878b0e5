import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { until } from '../bed/until.ts'
import { type Place, tcp } from './probes.ts'

/** Traffic that goes on while something else is done. Everything sent has to come back, in order. */
export type Flow = {
  /** How many answers came so far. */
  readonly count: number
  /** Waits for the last answer, ends the traffic and fails when anything was lost or the connection broke. */
  end(): Promise<void>
}

/** Does the work while flows run; they have to survive it. */
export async function during(flows: readonly Flow[], work: () => Promise<void>): Promise<void> {
  await progress(flows)
  await work()
  await progress(flows)
  await Promise.all(flows.map(flow => flow.end()))
}

/** Waits until every flow has come on by twenty answers. */
export async function progress(flows: readonly Flow[]): Promise<void> {
  const before = flows.map(flow => flow.count)
  await until('every flow to come on', () =>
    flows.every((flow, index) => flow.count >= (before[index] ?? 0) + 20),
  )
}

/** A hundred echo requests a second. */
export function pinging(from: Pick<Place, 'enter'>, target: string): Flow {
  const child = start(from, ['ping', '-n', '-i', '0.01', target])
  const seen = numbers(child, /icmp_seq=(\d+)/)
  return {
    get count() {
      return seen.length
    },
    async end() {
      // Its next line meets a closed pipe.
      child.stdout?.destroy()
      const came = new Set(seen)
      const lost = Array.from({ length: Math.max(...came) }, (_, index) => index + 1).filter(
        n => !came.has(n),
      )
      assert.deepEqual(lost, [], `echo requests to ${target}, of ${came.size}, that were not answered`)
    },
  }
}

/** One TCP connection to an echo server, on which a hundred numbered lines a second go. */
export function streaming(from: Pick<Place, 'enter'>, address: string, port = 7): Flow {
  const child = start(from, ['socat', '-', tcp(address, port)])
  const seen = numbers(child, /^(\d+)$/)
  let sent = 0
  const timer = setInterval(() => child.stdin?.write(`${++sent}\n`), 10)
  child.stdin?.on('error', () => clearInterval(timer))
  return {
    get count() {
      return seen.length
    },
    async end() {
      clearInterval(timer)
      const all = `all ${sent} lines from ${address}:${port}`
      await until(all, () => seen.length === sent || child.exitCode !== null).catch(() => undefined)
      const exit = child.exitCode
      child.stdin?.end()
      assert.equal(
        exit,
        null,
        `the connection to ${address}:${port} broke after line ${seen.length} of ${sent}`,
      )
      assert.deepEqual([seen.length, seen.at(-1)], [sent, sent], all)
    },
  }
}

/** A page again and again, each time by a new connection, as fast as the machine starts the program that asks. */
export function asking(from: Place, address: string): Flow {
  const ask = `timeout 5 busybox wget -q -O /dev/null http://${address}/`
  const child = start(from, [
    'sh',
    '-c',
    `i=0; while :; do i=$((i+1)); ${ask} && echo $i || echo lost $i; done`,
  ])
  const came = numbers(child, /^(\d+)$/)
  const lost = numbers(child, /^lost (\d+)$/)
  return {
    get count() {
      return came.length
    },
    async end() {
      // Its next line meets a closed pipe.
      child.stdout?.destroy()
      assert.deepEqual(lost, [], `requests to ${address}, of ${came.length}, that were not answered`)
    },
  }
}

function start(from: Pick<Place, 'enter'>, argv: string[]): ChildProcess {
  const [command = '', ...args] = from.enter(...argv)
  return spawn(command, args, { stdio: ['pipe', 'pipe', 'ignore'] })
}

/** The numbers that a pattern finds in a child's lines, as they come in. */
function numbers(child: ChildProcess, pattern: RegExp): number[] {
  const seen: number[] = []
  let rest = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const number = pattern.exec(line)?.[1]
      if (number) seen.push(Number(number))
    }
  })
  return seen
}
