import { readFileSync, statSync, unwatchFile, watchFile } from 'node:fs'
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
  #trouble = ''

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

  /** `changed` hears that there may be other keys. Keeps no process alive. */
  follow(changed: () => void): void {
    watchFile(this.path, { interval: PERIOD, persistent: false }, () => {
      this.#look()
      changed()
    })
  }

  close(): void {
    unwatchFile(this.path)
  }

  #look(): void {
    try {
      if (statSync(this.path, { throwIfNoEntry: false })) this.#keys = readKeys(this.path)
      this.#trouble = ''
    } catch (error) {
      const { message } = error as Error
      if (message !== this.#trouble) this.#log.warn({ file: this.path }, message)
      this.#trouble = message
    }
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
