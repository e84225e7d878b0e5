import { dlopen } from 'node:ffi'
import { readFileSync } from 'node:fs'
import { Alarm } from './alarm.ts'

/** Milliseconds without a request before memory is given back. */
const QUIET = 2_000
/** So many requests leave enough behind to be worth the work. */
const MANY = 100
/** asm-generic/mman-common.h */
const MADV_DONTNEED = 4

/**
 * Gives back what a burst of requests, or the start, has left: malloc keeps free pages for later, and of Node's program the pages that
 * only the start needed stay mapped. What is needed after all is mapped again from the page cache, at a microsecond for 64 kB.
 */
export class Memory {
  readonly #alarm = new Alarm(() => this.#giveBack())
  #requests = 0

  /** A request began or ended. */
  touch(): void {
    if (++this.#requests >= MANY) this.rest()
  }

  /** Soon, if nothing is asked meanwhile. */
  rest(): void {
    this.#alarm.set(QUIET)
  }

  close(): void {
    this.#alarm.close()
  }

  #giveBack(): void {
    this.#requests = 0
    giveBack()
  }
}

/** Leaves everything as it is where the C library isn't glibc. */
function giveBack(): void {
  try {
    using glibc = dlopen(null, {
      malloc_trim: { arguments: ['u64'], return: 'i32' },
      madvise: { arguments: ['u64', 'u64', 'i32'], return: 'i32' },
    })
    glibc.functions.malloc_trim(0n)
    for (const [start, end] of clean(readFileSync('/proc/self/smaps', 'latin1')))
      glibc.functions.madvise(start, end - start, MADV_DONTNEED)
  } catch {}
}

/** Mappings of files, in text of proc_pid_smaps(5), that nobody has written to: all that they hold can be read again. */
export function* clean(smaps: string): Generator<[start: bigint, end: bigint]> {
  for (const mapping of smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)) {
    const [, start, end] = /^([0-9a-f]+)-([0-9a-f]+) r-[x-]p \S+ \S+ [1-9]\d* +\//.exec(mapping) ?? []
    if (start && end && /^Anonymous: +0 kB$/m.test(mapping)) yield [BigInt(`0x${start}`), BigInt(`0x${end}`)]
  }
}
