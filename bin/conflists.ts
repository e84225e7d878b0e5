import { type FSWatcher, statSync, watch } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../cni/config.ts'
import { configsIn, isConfiguration, mentionsUs } from '../cni/conflist.ts'
import type { ConfiguredNetworks } from '../cni/networks.ts'
import type { Store } from '../core/faces.ts'
import type { Log } from '../core/settle.ts'
import { Turns } from '../core/turns.ts'
import { Memory } from './cluster/memory.ts'

export type ConflistsParts = {
  /** Where runtimes look for configurations. */
  folder: string
  networks: Pick<ConfiguredNetworks, 'of' | 'drop'>
  /** Whether a configuration's network is one that this node is to be in without a container. */
  isWanted: (config: Config) => boolean
  store: Store
  log: Log
}

/** What a look found: configurations, and files that can't be read or understood now. */
type Found = { configs: { file: string; config: Config }[]; odd: string[] }

/** Milliseconds after something moved in the folder until it is looked at. */
const SETTLING = 100

/**
 * Networks of configurations that lie where runtimes look for them. They are this node's from then on, for its own processes want to reach the
 * pods of others when it has none, until the configuration is taken away and the last container has gone.
 */
export class Conflists {
  readonly #parts: ConflistsParts
  readonly #memory: Memory
  #watching: { inode: number; watcher: FSWatcher } | undefined
  #timer: NodeJS.Timeout | undefined
  readonly #turns = new Turns()
  /** What was complained of last, by file or network. */
  #complaints = new Map<string, string>()
  #isClosed = false

  constructor(parts: ConflistsParts) {
    this.#parts = parts
    this.#memory = new Memory(parts.store)
  }

  /** Looks now, and whenever something moves there. To be called again from time to time: the folder may come later. */
  look(): Promise<void> {
    return this.#turns.take('look', () => this.#look())
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#watching?.watcher.close()
  }

  async #look(): Promise<void> {
    if (this.#isClosed) return
    // Before it is read, so that nothing is missed in between.
    this.#follow()
    const found = await this.#read()
    if (!found) return
    for (const { file, config } of found.configs) await this.#have(file, config)
    for (const [name, file] of this.#memory.under('conflist'))
      if (!found.odd.includes(file) && !found.configs.some(({ config }) => config.name === name))
        await this.#lose(name)
  }

  /** Undefined when there is no such folder, or it can't be read: what lies in it is unknown then, not gone. */
  async #read(): Promise<Found | undefined> {
    const names = await readdir(this.#parts.folder).catch(() => undefined)
    if (!names) return undefined
    const found: Found = { configs: [], odd: [] }
    for (const file of names.filter(isConfiguration).sort()) await this.#take(file, found)
    return found
  }

  async #take(file: string, { configs, odd }: Found): Promise<void> {
    let text = ''
    try {
      text = await readFile(join(this.#parts.folder, file), 'utf8')
      const all = configsIn(text)
      configs.push(...all.filter(this.#parts.isWanted).map(config => ({ file, config })))
      this.#complaints.delete(file)
    } catch (error) {
      odd.push(file)
      if (mentionsUs(text)) this.#complain(file, (error as Error).message)
    }
  }

  async #have(file: string, config: Config): Promise<void> {
    const { name } = config
    try {
      if (this.#memory.text(`conflist ${name}`) !== file) await this.#memory.set(`conflist ${name}`, file)
      await this.#parts.networks.of(config)
      this.#complaints.delete(name)
    } catch (error) {
      this.#complain(name, (error as Error).message)
    }
  }

  async #lose(name: string): Promise<void> {
    if (!(await this.#parts.networks.drop(name))) return
    await this.#memory.set(`conflist ${name}`, undefined)
    this.#parts.log.info({ name }, 'a network went with its configuration')
  }

  #complain(about: string, message: string): void {
    if (this.#complaints.get(about) === message) return
    this.#complaints.set(about, message)
    this.#parts.log.warn({ about, folder: this.#parts.folder }, `a configuration can't be used: ${message}`)
  }

  /** Another folder may have taken the place of the one that is watched. */
  #follow(): void {
    const inode = statSync(this.#parts.folder, { throwIfNoEntry: false })?.ino
    if (inode === this.#watching?.inode) return
    this.#watching?.watcher.close()
    this.#watching = undefined
    if (inode === undefined) return
    try {
      const watcher = watch(this.#parts.folder, { persistent: false }, () => this.#ring())
      watcher.on('error', () => watcher.close())
      this.#watching = { inode, watcher }
    } catch (error) {
      this.#complain('inotify', (error as Error).message)
    }
  }

  #ring(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.look().catch(err => this.#parts.log.error({ err }, 'looking at configurations'))
    }, SETTLING).unref()
  }
}
