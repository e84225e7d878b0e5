import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { Refused } from '../core/errors.ts'
import type { Kernel, Outcome } from '../core/faces.ts'
import { type Method, type MethodTable, Worded } from '../core/methods.ts'
import type { Step } from '../core/rows.ts'
import manifest from '../package.json' with { type: 'json' }
import { readEndpoint } from './endpoint.ts'
import type { Host } from './host.ts'
import type { Membership } from './membership.ts'
import type { Served } from './serve.ts'

const { createServer } = process.getBuiltinModule('node:http')

const USUAL_PORT = 9177
/** Seconds. */
const BUCKETS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 25]
const STATES = ['alive', 'suspect', 'dead', 'left', 'lost'] as const

/** What Prometheus may ask: requests and kernel work as they are done, everything else as it is at that moment. `docs/operator.md` lists all. */
export class Metrics {
  readonly #registry = new Registry()
  readonly #requests = new Histogram({
    name: 'tsnet_request_seconds',
    help: 'What Docker and CNI runtimes waited for: done, refused (theirs) or failed (ours)',
    labelNames: ['method', 'outcome'],
    buckets: BUCKETS,
    registers: [this.#registry],
  })
  readonly #kernel = new Histogram({
    name: 'tsnet_kernel_seconds',
    help: 'Reading the kernel, applying steps to it, and both at once',
    labelNames: ['call'],
    buckets: BUCKETS,
    registers: [this.#registry],
  })
  readonly #steps = new Counter({
    name: 'tsnet_kernel_steps_total',
    help: 'Steps applied to the kernel: done or failed',
    labelNames: ['kind', 'verb', 'outcome'],
    registers: [this.#registry],
  })

  /** The same methods, each measured. */
  measured(methods: MethodTable): MethodTable {
    const entries = Object.entries(methods).map(([name, method]): [string, Method] => [
      name,
      { ...method, run: request => this.#measure(name, () => method.run(request)) },
    ])
    return Object.fromEntries(entries)
  }

  /** The same kernel, measured. */
  metered(kernel: Kernel): Kernel {
    const measured: Partial<Kernel> = {
      read: scope => this.#timed('read', () => kernel.read(scope)),
      apply: async steps => {
        const outcomes = await this.#timed('apply', () => kernel.apply(steps))
        this.#count(steps, outcomes)
        return outcomes
      },
      amend: async (wanted, others) => {
        const done = await this.#timed('amend', () => kernel.amend(wanted, others))
        this.#count(done.steps, done.outcomes)
        return done
      },
    }
    return new Proxy(kernel, {
      get: (target, call: keyof Kernel) => measured[call] ?? target[call].bind(target),
    })
  }

  /** Listens at `address`, or `address:port`, until closed. Refused for what is no address; throws what binding it throws. */
  async serve(address: string, host: Host, membership: Membership): Promise<Served & { port: number }> {
    const at = readEndpoint('TSNET_METRICS', address, USUAL_PORT)
    this.#watch(host, membership)
    const server = createServer((request, response) => void this.#answer(request.url ?? '', response))
    server.listen(at.port, at.address)
    await once(server, 'listening')
    const close = async () => {
      server.close()
      server.closeAllConnections()
    }
    return { close, port: (server.address() as AddressInfo).port }
  }

  async #answer(url: string, response: ServerResponse): Promise<void> {
    const found = url.split('?')[0] === '/metrics'
    response.writeHead(found ? 200 : 404, {
      'Content-Type': found ? this.#registry.contentType : 'text/plain',
    })
    response.end(found ? await this.#registry.metrics() : 'metrics are at /metrics\n')
  }

  async #measure<T>(method: string, run: () => T): Promise<Awaited<T>> {
    const end = this.#requests.startTimer({ method })
    try {
      const answer = await run()
      end({ outcome: 'done' })
      return answer
    } catch (error) {
      end({ outcome: isTheirs(error) ? 'refused' : 'failed' })
      throw error
    }
  }

  async #timed<T>(call: string, run: () => Promise<T>): Promise<T> {
    const end = this.#kernel.startTimer({ call })
    try {
      return await run()
    } finally {
      end()
    }
  }

  #count(steps: readonly Step[], outcomes: readonly Outcome[]): void {
    for (const [i, { verb, row }] of steps.entries())
      this.#steps.inc({ kind: row.kind, verb, outcome: outcomes[i]?.ok ? 'done' : 'failed' })
  }

  /** A gauge whose values are asked for whenever somebody looks. */
  #gauge(name: string, help: string, labelNames: string[], read: (gauge: Gauge) => void): void {
    new Gauge({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect() {
        this.reset()
        read(this)
      },
    })
  }

  #watch({ store, complaint }: Host, membership: Membership): void {
    const { records } = store
    this.#gauge('tsnet_info', 'Release', ['version'], gauge => gauge.set({ version: manifest.version }, 1))
    this.#gauge('tsnet_networks', 'Networks of this host', ['mode'], gauge => {
      for (const { mode } of records.networks.values()) gauge.inc({ mode })
    })
    this.#gauge('tsnet_endpoints', 'Endpoints on this host and elsewhere', ['place'], gauge => {
      gauge.set({ place: 'here' }, records.endpoints.size)
      gauge.set({ place: 'elsewhere' }, membership.cluster?.elsewhere().length ?? 0)
    })
    this.#gauge('tsnet_addresses', 'Addresses given by this host', [], gauge =>
      gauge.set(records.leases.size),
    )
    this.#gauge('tsnet_members', 'Other hosts, by state', ['state'], gauge => {
      const others = membership.cluster?.hosts.list() ?? []
      for (const state of STATES) gauge.set({ state }, others.filter(each => each.state === state).length)
    })
    this.#gauge('tsnet_complete', '1: all that other hosts know has been heard', [], gauge =>
      gauge.set(membership.cluster?.status().complete === false ? 0 : 1),
    )
    this.#gauge('tsnet_conflicts', 'Addresses that more than one endpoint claims', [], gauge =>
      gauge.set(membership.cluster?.contests().length ?? 0),
    )
    this.#gauge('tsnet_damaged', '1: some records could not be read', [], gauge =>
      gauge.set(complaint ? 1 : 0),
    )
    this.#gauge('process_resident_memory_bytes', 'Resident memory', [], gauge =>
      gauge.set(process.memoryUsage.rss()),
    )
    this.#gauge('process_cpu_seconds_total', 'CPU time of all threads', [], gauge => {
      const { user, system } = process.cpuUsage()
      gauge.set((user + system) / 1e6)
    })
  }
}

const isTheirs = (error: unknown) =>
  error instanceof Refused || (error instanceof Worded && error.status < 500)
