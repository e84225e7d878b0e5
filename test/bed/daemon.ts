import { type ChildProcess, spawn } from 'node:child_process'
import { openSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { Holder } from './holder.ts'
import { onlyChild } from './holder.ts'
import { until } from './until.ts'

export type DaemonSettings = {
  /** Name of its process, as /proc shows it. */
  name: string
  argv: string[]
  env?: NodeJS.ProcessEnv
  log: string
  /** True once it serves. */
  ready: () => Promise<boolean>
}

/** A daemon inside an emulated host: started, waited for, signalled, and its log kept. */
export class Daemon {
  readonly #settings: DaemonSettings
  #child: ChildProcess | undefined
  #pid = 0

  constructor(settings: DaemonSettings) {
    this.#settings = settings
  }

  /** As the machine sees it; 0 while it isn't running. */
  get pid(): number {
    return this.running ? this.#pid : 0
  }

  get running(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Returns when the daemon serves; an early death is told with the end of its log. */
  async start(holder: Holder): Promise<void> {
    const { name, argv, env } = this.#settings
    const log = openSync(this.#settings.log, 'a')
    const child = spawn('nsenter', holder.enter(...argv).slice(1), {
      stdio: ['ignore', log, log],
      env: { ...process.env, ...env },
    })
    this.#child = child
    try {
      this.#pid = await until(`${name} to be started`, () => this.#alive() && onlyChild(child.pid ?? 0, name))
      await this.serves()
    } catch (error) {
      throw new Error(`${name} did not start:\n${await this.tail()}`, { cause: error })
    }
  }

  /** Returns once it serves. */
  async serves(): Promise<void> {
    const { name, ready } = this.#settings
    await until(`${name} to serve`, () => this.#alive() && ready(), { deadline: 60_000 })
  }

  /** SIGTERM, and waits for the end. */
  async stop(): Promise<void> {
    await this.signal('SIGTERM')
  }

  /** SIGKILL: no farewell, nothing written. */
  async kill(): Promise<void> {
    await this.signal('SIGKILL')
  }

  async signal(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    if (!this.running) return
    process.kill(this.#pid, signal)
    await until(`${this.#settings.name} to end after ${signal}`, () => !this.running, { deadline: 60_000 })
  }

  /** Forgets a daemon that died with its host. */
  async forget(): Promise<void> {
    await until(`${this.#settings.name} to be gone`, () => !this.running)
  }

  /** The last lines of its log. */
  async tail(lines = 12): Promise<string> {
    const text = await readFile(this.#settings.log, 'utf8').catch(() => '')
    return text.trimEnd().split('\n').slice(-lines).join('\n')
  }

  #alive(): true {
    if (!this.running) throw new Error(`it ended with ${this.#child?.exitCode ?? this.#child?.signalCode}`)
    return true
  }
}
