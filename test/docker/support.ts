import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { EngineName } from '../bed/engines.ts'
import { type Host, type HostSettings, image, startHost } from '../bed/host.ts'
import type { Result } from '../bed/run.ts'
import { type Snapshot, snapshot } from '../bed/snapshot.ts'
import { eventually, until } from '../bed/until.ts'
import { type Outside, type Wire, wire } from '../bed/wire.ts'

/** `TSNET_ENGINES=28.5` runs the suites on one engine alone. */
const engines = (process.env.TSNET_ENGINES?.split(',') ?? ['20.10', '28.5']) as EngineName[]

/** `TSNET_DRIVER=bridge` runs them on Docker's own driver: tells a fault of ours from a surprise of the bed or of Docker. */
export const driver = process.env.TSNET_DRIVER ?? 'tsnet'

type Settings = Partial<Omit<HostSettings, 'engine' | 'name'>> & { engines?: EngineName[] }

/** One emulated host for all scenarios of the body, on each engine. */
export function onDocker(title: string, body: (bed: Bed) => void, settings: Settings = {}): void {
  for (const engine of engines.filter(name => settings.engines?.includes(name) ?? true))
    describe(`${title}, Docker ${engine}`, function () {
      this.timeout(180_000)
      const bed = new Bed(engine, settings)
      before(() => bed.start())
      after(() => bed.stop())
      body(bed)
    })
}

/** Where a command runs: a container, the host, or the machine outside. */
export type Place = {
  attempt(argv: string[], options?: { deadline?: number }): Promise<Result>
  enter(...argv: string[]): string[]
}

/** What the scenarios of one `describe` share. */
export class Bed {
  readonly engine: EngineName
  readonly #settings: Settings
  #host: Host | undefined
  #wire: Wire | undefined
  #baseline: Snapshot | undefined
  readonly #pids = new Map<string, number>()

  constructor(engine: EngineName, settings: Settings) {
    this.engine = engine
    this.#settings = settings
  }

  get host(): Host {
    assert(this.#host, 'the host is up')
    return this.#host
  }

  get outside(): Outside {
    assert(this.#wire, 'the wire is up')
    return this.#wire.outside
  }

  /** Addresses of the host as outside sees it. */
  get ipv4(): string {
    return this.#wire?.address(this.host) ?? ''
  }

  get ipv6(): string {
    return this.#wire?.address(this.host, 6) ?? ''
  }

  async start(): Promise<void> {
    const { engines: _, ...settings } = this.#settings
    this.#host = await startHost({
      ...settings,
      engine: this.engine,
      name: `d${this.engine.replace('.', '')}`,
    })
    this.#wire = await wire(this.#host)
    if (driver === 'tsnet') await this.host.tsnetd.start(this.host.holder)
    this.#baseline = await this.#settled()
  }

  async stop(): Promise<void> {
    await this.#wire?.stop()
    await this.#host?.stop()
  }

  /**
   * A scenario. Afterwards its containers and networks are removed and the host has to be as it was before; a failure
   * is told with the daemons' last words.
   */
  it(title: string, body: () => Promise<void>): void {
    it(title, async () => {
      try {
        await body()
      } catch (error) {
        if (error instanceof Error) error.message += `\n${await this.host.logs()}`
        await this.clear().catch(() => undefined)
        throw error
      }
      await this.clear()
      await this.unchanged()
    })
  }

  docker(...args: string[]): Promise<string> {
    return this.host.docker(...args)
  }

  /** `docker network create` with our driver. */
  network(name: string, ...args: string[]): Promise<string> {
    return this.docker('network', 'create', '--driver', driver, ...args, name)
  }

  /** Starts a container that serves (see image.ts); `args` are options of `docker run`. */
  async run(name: string, network: string, ...args: string[]): Promise<Container> {
    await this.docker(
      'run',
      '--detach',
      '--name',
      name,
      '--hostname',
      name,
      '--network',
      network,
      ...args,
      image,
    )
    const container = this.container(name)
    await container.serves()
    return container
  }

  container(name: string): Container {
    return new Container(this.host, name)
  }

  /** Removes all containers and networks. */
  async clear(): Promise<void> {
    this.#pids.clear()
    const containers = await this.docker('ps', '--all', '--quiet')
    if (containers) await this.docker('rm', '--force', '--volumes', ...containers.split('\n'))
    const networks = await this.docker('network', 'ls', '--quiet', '--filter', 'type=custom')
    if (networks) await this.docker('network', 'rm', ...networks.split('\n'))
  }

  /** Nothing that can be counted in the host differs from its state before the first scenario. */
  async unchanged(): Promise<void> {
    await eventually(async () => assert.deepEqual(await snapshot(this.host), this.#baseline))
  }

  /** The first network makes what all networks share (tables, docker's chains): that isn't a leak. */
  async #settled(): Promise<Snapshot> {
    await this.network('first', '--ipv6', '--subnet', 'fd00:1::/64')
    await this.run('first', 'first')
    await this.clear()
    let last = await snapshot(this.host)
    return until(
      'the host to settle',
      async () => {
        const now = await snapshot(this.host)
        const same = JSON.stringify(now) === JSON.stringify(last)
        last = now
        return same ? now : undefined
      },
      { every: 200 },
    )
  }
}

/** A running container; commands enter its namespaces without the engine, which is ten times as fast as `docker exec`. */
export class Container implements Place {
  readonly name: string
  readonly #host: Host
  #pid = 0

  constructor(host: Host, name: string) {
    this.#host = host
    this.name = name
  }

  /** Waits until the container's servers listen. */
  async serves(): Promise<void> {
    this.#pid = (await this.inspect()).State.Pid
    const sockets = (table: string) =>
      readFileSync(this.#host.path(`/proc/${this.#pid}/net/${table}`), 'utf8')
    await until(`${this.name} to serve`, () => {
      const listening = sockets('tcp6') + sockets('udp6')
      return [':0050 ', ':0007 ', ':0009 '].every(port => listening.includes(port))
    })
  }

  inspect() {
    return this.#host.api.getContainer(this.name).inspect()
  }

  /** Address (without prefix length) on a network. */
  async address(network: string, family: 4 | 6 = 4): Promise<string> {
    const found = (await this.inspect()).NetworkSettings.Networks[network]
    const address = family === 4 ? found?.IPAddress : found?.GlobalIPv6Address
    assert(address, `${this.name} has an IPv${family} address on ${network}`)
    return address
  }

  enter(...argv: string[]): string[] {
    return this.#host.enter(...this.#inner(argv))
  }

  attempt(argv: string[], options?: { deadline?: number }): Promise<Result> {
    return this.#host.attempt(this.#inner(argv), options)
  }

  exec(...argv: string[]): Promise<string> {
    return this.#host.exec(...this.#inner(argv))
  }

  #inner(argv: string[]): string[] {
    assert(this.#pid, `${this.name} is running`)
    return ['nsenter', `--target=${this.#pid}`, '--mount', '--net', '--uts', '--pid', ...argv]
  }
}

/** Who answers by HTTP at an address, and which client address it saw: `web 10.250.0.254`. Undefined when nobody does. */
export async function who(from: Place, address: string, port = 80): Promise<string | undefined> {
  const url = `http://${address.includes(':') ? `[${address}]` : address}:${port}/cgi-bin/who`
  const { code, stdout } = await from.attempt(['timeout', '3', 'busybox', 'wget', '-qO-', url])
  return code === 0 ? stdout.trim().replaceAll(/\[(?:::ffff:)?([^\]]+)\]/g, '$1') : undefined
}

/** The same by UDP. */
export async function whoByDatagram(from: Place, address: string, port = 9): Promise<string | undefined> {
  const target = address.includes(':') ? `UDP6:[${address}]:${port}` : `UDP4:${address}:${port}`
  const { stdout } = await from.attempt(['sh', '-c', `echo hello | timeout 3 socat -t2 - ${target}`])
  return stdout.trim().replaceAll(/\[(?:0000:0000:0000:0000:0000:ffff:[^\]]+)\]/g, 'mapped') || undefined
}

/** Whether one of three echo requests is answered. */
export async function pings(from: Place, target: string): Promise<boolean> {
  const { code } = await from.attempt(['ping', '-c', '3', '-i', '0.2', '-W', '1', target])
  return code === 0
}

/** Pings 50 times a second while the work is done; every request has to be answered. Returns how many were. */
export async function whilePinging(from: Place, target: string, work: () => Promise<void>): Promise<number> {
  const [command = '', ...args] = from.enter('ping', '-n', '-i', '0.02', target)
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] })
  const seen = sequence(child)
  try {
    await until('the first answers', () => seen.length > 5)
    await work()
    const sofar = seen.length
    await until('answers after the work', () => seen.length > sofar + 10)
  } finally {
    // Its next line meets a closed pipe.
    child.stdout?.destroy()
  }
  const missing = seen.findIndex((number, index) => number !== index + 1)
  assert.equal(missing, -1, `answer ${missing + 1} is missing`)
  return seen.length
}

function sequence(child: ChildProcess): number[] {
  const seen: number[] = []
  let rest = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const number = /icmp_seq=(\d+)/.exec(line)?.[1]
      if (number) seen.push(Number(number))
    }
  })
  return seen
}
