import { setTimeout as pause } from 'node:timers/promises'
import { BlockWords } from './blocks.ts'
import { Doors } from './doors.ts'
import { Datagrams, Streams } from './gossip.ts'
import { dice } from './mutate.ts'
import { Records } from './table.ts'
import type { Target } from './target.ts'

/** Everything that takes what others send. */
export const targets = (): Target[] => [
  new Datagrams(),
  new Streams(),
  new Records(),
  new BlockWords(),
  new Doors(),
]

export type Figures = {
  name: string
  inputs: number
  seconds: number
  /** Bytes in use after a collection: after the first round and after the last. */
  before: number
  after: number
  /** Milliseconds of the slowest input. */
  slowest: number
}

/** Inputs between two starts of a target. One round follows from its number alone. */
const ROUND = 500
/** Milliseconds that an input may take, on a machine that is busy with other things. */
export const PATIENCE = 10_000

/** One round: throws what a handler throws, with the numbers that bring it back. */
export async function round(target: Target, number: number, times?: (took: number) => void): Promise<void> {
  const random = dice(number)
  await target.renew()
  for (let at = 0; at < ROUND; at++) {
    const begun = performance.now()
    try {
      await target.feed(random)
    } catch (cause) {
      throw new Error(`${target.name}: round ${number}, input ${at} of it`, { cause })
    }
    const took = performance.now() - begun
    times?.(took)
    if (took > PATIENCE) throw new Error(`${target.name}: round ${number}, input ${at} took ${took} ms`)
  }
}

/** Rounds from a number on, for so many milliseconds. */
export async function fuzz(target: Target, first: number, time: number): Promise<Figures> {
  const begun = performance.now()
  let rounds = 0
  let slowest = 0
  let before = 0
  const note = (took: number) => {
    slowest = Math.max(slowest, took)
  }
  while (rounds < 2 || performance.now() - begun < time) {
    await round(target, first + rounds, note)
    rounds++
    // What the first rounds leave is compiled code and caches.
    if (performance.now() - begun < time / 10 || before === 0) before = await used(target)
  }
  const after = await used(target)
  return {
    name: target.name,
    inputs: rounds * ROUND,
    seconds: (performance.now() - begun) / 1000,
    before,
    after,
    slowest,
  }
}

async function used(target: Target): Promise<number> {
  await target.renew()
  await pause(1)
  for (let times = 0; times < 2; times++) globalThis.gc?.()
  return process.memoryUsage().heapUsed
}
