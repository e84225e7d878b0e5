import { hash } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Level } from '../../ipam/blocks.ts'

/**
 * Remembers outside the disk what was on it last, so that a daemon which only restarts can tell that the disk is the newest one, not a
 * backup. It lies where a reboot clears it.
 */
export type Witness = {
  /** How much the last life knew, when this is what it had on disk; 0 otherwise. */
  level(id: string, value: string): Level
  set(id: string, value: string, level: Level): void
}

type Seen = Record<string, { digest: string; level: Level }>

/** Keeps it in a file of a file system in memory; without one, a restart counts as a reboot. */
export function witness(path: string): Witness {
  const seen = readSeen(path)
  return {
    level: (id, value) => (seen[id]?.digest === digestOf(value) ? seen[id].level : 0),
    set(id, value, level) {
      const digest = digestOf(value)
      if (seen[id]?.digest === digest && seen[id].level === level) return
      seen[id] = { digest, level }
      try {
        mkdirSync(dirname(path), { recursive: true })
        writeFileSync(`${path}.new`, JSON.stringify(seen), { mode: 0o600 })
        renameSync(`${path}.new`, path)
      } catch {}
    },
  }
}

const digestOf = (value: string) => hash('sha256', value)

function readSeen(path: string): Seen {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Seen
  } catch {
    return {}
  }
}
