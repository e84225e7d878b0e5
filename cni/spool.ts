import { existsSync, readdirSync } from 'node:fs'
import { readFile, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Log } from '../core/settle.ts'
import { Call } from './request.ts'

/**
 * DELs that came while nobody listened: the shim answers them and leaves them here, a file each, whole from the moment that it has its
 * name. The folder is where a reboot clears it, as a reboot clears the namespaces.
 */
export class Spool {
  readonly #folder: string
  readonly #del: (call: Call) => Promise<void>
  readonly #log: Log
  #last: Promise<void> = Promise.resolve()

  constructor(folder: string, del: (call: Call) => Promise<void>, log: Log) {
    this.#folder = folder
    this.#del = del
    this.#log = log
  }

  /** Carries out all that is there now. Looking at an empty folder, in memory, takes 20 µs. */
  replay(): Promise<void> {
    this.#last = this.#last.then(() => this.#all())
    return this.#last
  }

  async #all(): Promise<void> {
    await Promise.all(this.#names().map(name => this.#one(join(this.#folder, name))))
  }

  #names(): string[] {
    // An error takes longer than the look.
    if (!existsSync(this.#folder)) return []
    try {
      return readdirSync(this.#folder).filter(name => name.endsWith('.del'))
    } catch {
      return []
    }
  }

  /** What can't be carried out now would not go later either, and must not keep others from it. */
  async #one(path: string): Promise<void> {
    try {
      await this.#del(Call.parse(JSON.parse(await readFile(path, 'utf8'))))
    } catch (err) {
      this.#log.error({ err, path }, 'a DEL that was put off failed')
    }
    await unlink(path).catch(err => this.#log.error({ err, path }, 'a DEL that was done stays'))
  }
}
