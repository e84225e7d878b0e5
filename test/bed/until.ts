import { setTimeout as pause } from 'node:timers/promises'
import { patience } from './patience.ts'

/**
 * Waits for a condition and returns its first truthy value. A probe that throws counts as "not yet"; the last reason is
 * told when the deadline (milliseconds) has passed.
 */
export async function until<T>(
  what: string,
  probe: () => T | Promise<T>,
  { deadline = 15_000, every = 20 } = {},
): Promise<NonNullable<T>> {
  const end = Date.now() + deadline * patience
  let last: unknown
  do {
    try {
      const value = await probe()
      if (value) return value
      last = value
    } catch (error) {
      last = error instanceof Error ? error.message : error
    }
    await pause(every)
  } while (Date.now() < end)
  throw new Error(`waited ${deadline} ms in vain for: ${what} (last seen: ${String(last)})`)
}

/** The same for an assertion: runs it until it holds, and lets its own error through when it never does. */
export async function eventually(assertion: () => void | Promise<void>, deadline = 10_000): Promise<void> {
  const end = Date.now() + deadline * patience
  for (;;) {
    try {
      return await assertion()
    } catch (error) {
      if (Date.now() > end) throw error
      await pause(150)
    }
  }
}
