import { readFileSync, type Stats, statSync } from 'node:fs'
import { Refused } from '../core/errors.ts'
import type { Log } from '../core/settle.ts'
import { readKey } from './cluster/settings.ts'
import { list, type Settings } from './settings.ts'

/** Milliseconds between two looks. A file that comes late, is renamed over, or lies in a folder that is swapped is no matter of inotify's. */
const PERIOD = 1_000

/**
 * Gossip keys that somebody brings in a file, maybe late, and may bring anew: Swarm's and Kubernetes's secrets, systemd's credentials.
 * A file that goes takes nothing away.
 */
export class KeyFile {
  readonly path: string
  readonly #log: Log
  #keys: Buffer[] = []
  /** What tells the file that was read last from another. */
  #seen = ''
  #timer: NodeJS.Timeout | undefined

  constructor(path: string, log: Log) {
    this.path = path
    this.#log = log
    this.#look()
  }

  /** The one that the settings name. In Swarm keys are expected where a service can bring them (docs/swarm.md). */
  static of({ 'key-file': path, key, scope }: Settings, log: Log): KeyFile | undefined {
    if (path !== '') return new KeyFile(path, log)
    return scope === 'global' && key === '' ? new KeyFile('/run/tsnet/key', log) : undefined
  }

  get keys(): readonly Buffer[] {
    return this.#keys
  }

  /** `changed` hears that there may be other keys, be it since this was made. Keeps no process alive. */
  follow(changed: () => void): void {
    this.#timer = setInterval(() => {
      if (this.#look()) changed()
    }, PERIOD).unref()
  }

  close(): void {
    clearInterval(this.#timer)
  }

  /** Whether the file is another one now. */
  #look(): boolean {
    const found = stat(this.path)
    const seen = found ? `${found.ino} ${found.size} ${found.ctimeMs}` : ''
    if (seen === this.#seen) return false
    this.#seen = seen
    try {
      if (found) this.#keys = readKeys(this.path)
    } catch (error) {
      this.#log.warn({ file: this.path }, (error as Error).message)
    }
    return true
  }
}

/** Undefined for one that isn't there, or that can't be looked at. */
function stat(path: string): Stats | undefined {
  try {
    return statSync(path)
  } catch {
    return undefined
  }
}

function readKeys(path: string): Buffer[] {
  if (statSync(path).mode & 0o077)
    throw new Refused(
      `${path} can be read by others, and so isn't used: it has to be root's alone (chmod 600)`,
    )
  const keys = list(readFileSync(path, 'utf8').replace(/\s+/g, ',')).map(readKey)
  if (keys.length === 0)
    throw new Refused(
      `${path} is empty: it has to have a gossip key, as \`openssl rand -base64 32\` makes one`,
    )
  return keys
}
