import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { StepError } from '../core/errors.ts'
import type { Amended, Kernel, Outcome, Scope, VirtualService } from '../core/faces.ts'
import type { Row, Step, Wanted } from '../core/rows.ts'
import type { Result } from './linux.ts'
import type { Calls, Message, WorkerData } from './messages.ts'

export { befriendFirewalld } from './firewalld.ts'
export { LINK_GROUP } from './names.ts'
export { linkOf, watchUnderlay } from './underlay.ts'

export type Options = {
  /** Path of a network namespace, `/run/netns/x`; the process's own without. */
  namespace?: string
  /** Hears, in one sentence each, what went wrong where nobody waits for an outcome. */
  log: (words: string) => void
}

/** The worker beside this file: in the source tree, or in the folder of a bundle. */
function entry(): URL {
  const name = import.meta.url.endsWith('/kernel/index.ts') ? './worker.ts' : './kernel-worker.js'
  return new URL(name, import.meta.url)
}

/**
 * Linux in one network namespace. Its blocking sockets live in a thread of their own; each call is one message there and
 * one back. Throws when the namespace can't be entered.
 */
export async function openKernel({ namespace, log }: Options): Promise<Kernel> {
  const workerData: WorkerData = namespace === undefined ? {} : { namespace }
  const kernel = new Remote(new Worker(entry(), { workerData, execArgv: [], trackUnmanagedFds: false }), log)
  await kernel.ready
  return kernel
}

type Waiting = { resolve: (answer: never) => void; reject: (error: unknown) => void }

class Remote implements Kernel {
  readonly ready: Promise<void>
  readonly #worker: Worker
  readonly #log: (words: string) => void
  readonly #waiting = new Map<number, Waiting>()
  readonly #rings = new Set<() => void>()
  readonly #ready = Promise.withResolvers<void>()
  #last = 0
  #ended: unknown

  constructor(worker: Worker, log: (words: string) => void) {
    this.#worker = worker
    this.#log = log
    this.ready = this.#ready.promise
    worker.on('message', (message: Message) => this.#hear(message))
    worker.on('error', error => this.#end(error))
    worker.on('exit', () => this.#end(new Error('the kernel is closed')))
  }

  read({ rows, owned }: Scope) {
    return this.#call('read', { rows, owned })
  }

  async apply(steps: readonly Step[]): Promise<Outcome[]> {
    return (await this.#call('apply', steps)).map(toOutcome)
  }

  async amend(wanted: readonly Wanted[], others: readonly Row[]): Promise<Amended> {
    const { steps, results } = await this.#call('amend', { wanted, others })
    return { steps, outcomes: results.map(toOutcome) }
  }

  facts() {
    return this.#call('facts', undefined)
  }

  look(namespace: string, link: string) {
    return this.#call('look', { namespace, link })
  }

  retire(namespace: string, link: string, mac?: string) {
    return this.#call('retire', { namespace, link, ...(mac !== undefined && { mac }) })
  }

  balance(namespace: string, services: readonly VirtualService[]) {
    return this.#call('balance', { namespace, services })
  }

  parent(name: string) {
    return this.#call('parent', name)
  }

  probe(link: string, addresses: readonly string[]) {
    return this.#call('probe', { link, addresses })
  }

  announce(link: string, addresses: readonly string[], mac?: string) {
    return this.#call('announce', { link, addresses, ...(mac !== undefined && { mac }) })
  }

  holds(namespace: string, link: string) {
    return this.#call('holds', { namespace, link })
  }

  watch(ring: () => void): void {
    this.#rings.add(ring)
    if (this.#rings.size === 1)
      this.#call('watch', undefined).catch(error => this.#log(`watch: ${error.message}`))
  }

  async close(): Promise<void> {
    if (this.#ended !== undefined) return
    const exit = once(this.#worker, 'exit')
    await this.#call('close', undefined)
    await exit
  }

  #call<K extends keyof Calls>(call: K, argument: Calls[K]['argument']): Promise<Calls[K]['answer']> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended)
    const id = ++this.#last
    this.#worker.postMessage({ id, call, argument })
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }))
  }

  #hear(message: Message): void {
    switch (message.about) {
      case 'ready':
        this.#ready.resolve()
        break
      case 'ring':
        for (const ring of this.#rings) ring()
        break
      case 'log':
        this.#log(message.words)
        break
      case 'answer':
        this.#take(message.id)?.resolve(message.answer as never)
        break
      case 'failure':
        this.#take(message.id)?.reject(message.error)
    }
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    return waiting
  }

  #end(error: unknown): void {
    this.#ended ??= error
    this.#ready.reject(error)
    for (const id of [...this.#waiting.keys()]) this.#take(id)?.reject(error)
  }
}

function toOutcome(result: Result): Outcome {
  return result.ok ? result : { ok: false, error: new StepError(result.step, result.code, result.words) }
}
