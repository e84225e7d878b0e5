import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'

type Span = readonly [from: number, to: number]

const length = (spans: readonly Span[]) => spans.reduce((sum, [from, to]) => sum + to - from, 0)

/** What lies in both lists. */
const common = (some: readonly Span[], others: readonly Span[]): Span[] =>
  some.flatMap(([from, to]) =>
    others.flatMap(([start, end]): Span[] => {
      const span: Span = [Math.max(from, start), Math.min(to, end)]
      return span[0] < span[1] ? [span] : []
    }),
  )

/** Milliseconds of CLOCK_MONOTONIC. */
const clock = () => Number(process.hrtime.bigint()) / 1e6

/** Spans in which each processor ran nothing of ours, as stalls.c tells them. */
const late = await listen()

async function listen(): Promise<Span[][]> {
  const child = spawn(compiled(), { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })
  const [cpus] = await once(lines, 'line')
  const spans = Array.from({ length: Number(cpus) }, (): Span[] => [])
  lines.on('line', (line: string) => {
    const [cpu = 0, from = 0, to = 0] = line.split(' ').map(Number)
    spans[cpu]?.push([from / 1000, to / 1000])
  })
  // It ends by itself once this process is gone, and must not keep it.
  child.unref()
  for (const pipe of [child.stdin, child.stdout] as unknown as Socket[]) pipe.unref()
  return spans
}

function compiled(): string {
  const folder = mkdtempSync(join(tmpdir(), 'ts-bench-'))
  process.once('exit', () => rmSync(folder, { recursive: true }))
  const program = join(folder, 'stalls')
  execFileSync('cc', ['-O2', '-pthread', '-o', program, join(import.meta.dirname, 'stalls.c')])
  return program
}

/**
 * Milliseconds that some work takes while the machine runs. On a shared host a virtual machine may be away for half of the time, in
 * pieces of up to a second, and a median of wall-clock times would tell of its neighbours. Only what no processor ran is taken off.
 */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  for (const spans of late) spans.length = 0
  const from = clock()
  await work()
  const to = clock()
  await wait(3)
  return to - from - length(late.reduce<readonly Span[]>(common, [[from, to]]))
}
