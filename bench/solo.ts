import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, openSync, readFileSync, rmSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import {
  addNamespace,
  deleteNamespace,
  netnsPath,
  onExit,
  ownFolder,
  ownName,
} from '../test/bed/namespace.ts'
import { until } from '../test/bed/until.ts'
import { Line, spread } from './line.ts'
import { timed } from './stalls.ts'

const project = resolve(import.meta.dirname, '..')
const node = join(project, 'dist/node')

/** A network namespace with a folder, in which servers run without any engine: tsnetd, or the bare one beside it. */
export class Solo {
  readonly namespace: string
  readonly folder: string
  readonly #running = new Set<ChildProcess>()
  readonly #release: () => void

  private constructor(name: string) {
    this.namespace = ownName(name)
    this.folder = ownFolder(name)
    mkdirSync(this.folder, { recursive: true })
    this.#release = onExit(() => this.#kill())
  }

  static async start(name: string): Promise<Solo> {
    const solo = new Solo(name)
    await addNamespace(solo.namespace)
    return solo
  }

  tsnetd(): Promise<Server> {
    const [socket, state] = [join(this.folder, 'tsnet.sock'), join(this.folder, 'state')]
    const env = {
      TSNET_SOCKET: socket,
      TSNET_API: join(this.folder, 'api.sock'),
      TSNET_STATE: state,
      TSNET_DOCKER: join(this.folder, 'no-docker.sock'),
    }
    return this.#start([join(project, 'dist/tsnetd')], env, socket)
  }

  bare(): Promise<Server> {
    const socket = join(this.folder, 'bare.sock')
    const env = { LD_LIBRARY_PATH: join(project, 'dist/lib') }
    return this.#start([node, join(import.meta.dirname, 'bare.js'), socket], env, socket)
  }

  /** A reboot as far as networks are concerned: every link is gone, the records stay. */
  async reboot(): Promise<void> {
    await deleteNamespace(this.namespace)
    await addNamespace(this.namespace)
  }

  async stop(): Promise<void> {
    this.#kill()
    await deleteNamespace(this.namespace)
    rmSync(this.folder, { recursive: true, force: true })
    this.#release()
  }

  /** Resolves once the socket has answered. */
  async #start(argv: string[], env: NodeJS.ProcessEnv, socket: string): Promise<Server> {
    rmSync(socket, { force: true })
    let child: ChildProcess | undefined
    const startup = await timed(async () => {
      child = this.#spawn(argv, { ...env, TSNET_LOG: 'warn' })
      await this.#answer(child, socket)
    })
    return new Server(child as ChildProcess, socket, startup)
  }

  #spawn(argv: string[], env: NodeJS.ProcessEnv): ChildProcess {
    const log = openSync(join(this.folder, 'log'), 'a')
    const wrapper = ['--pdeathsig=KILL', 'nsenter', `--net=${netnsPath(this.namespace)}`]
    const child = spawn('setpriv', [...wrapper, ...argv], {
      stdio: ['ignore', log, log],
      env: { ...process.env, ...env },
    })
    this.#running.add(child)
    child.once('exit', () => this.#running.delete(child))
    return child
  }

  async #answer(child: ChildProcess, socket: string): Promise<void> {
    const dial = async () => (child.exitCode === null ? await Line.open(socket) : 'ended')
    const line = await until<Line | 'ended'>('the server to listen', dial, { deadline: 60_000, every: 1 })
    if (line === 'ended') throw new Error(`the server ended:\n${this.log()}`)
    await line.ask('Plugin.Activate')
    line.close()
  }

  log(): string {
    return readFileSync(join(this.folder, 'log'), 'utf8')
  }

  #kill(): void {
    for (const child of this.#running) child.kill('SIGKILL')
  }
}

export class Server {
  readonly socket: string
  /** Milliseconds from the start of the process to its first answer. */
  readonly startup: number
  readonly #child: ChildProcess

  constructor(child: ChildProcess, socket: string, startup: number) {
    this.#child = child
    this.socket = socket
    this.startup = startup
  }

  lines(number: number): Promise<Line[]> {
    return Promise.all(Array.from({ length: number }, () => Line.open(this.socket)))
  }

  /** Resident memory now and at its highest, MB. */
  async memory(): Promise<{ now: number; own: number; highest: number }> {
    const status = await readFile(`/proc/${this.#child.pid}/status`, 'utf8')
    const mb = (field: string) => Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1]) / 1024
    return { now: mb('VmRSS'), own: mb('RssAnon'), highest: mb('VmHWM') }
  }

  /** CPU time that its threads have used so far, ms. /proc/PID/stat counts in ticks of ten, schedstat in nanoseconds. */
  async cpu(): Promise<number> {
    const threads = await readdir(`/proc/${this.#child.pid}/task`)
    const files = threads.map(id => readFile(`/proc/${this.#child.pid}/task/${id}/schedstat`, 'utf8'))
    return (await Promise.all(files)).reduce((sum, text) => sum + Number(text.split(' ')[0]) / 1e6, 0)
  }

  /** No farewell: what a power cut or a crash leaves. */
  async kill(): Promise<void> {
    const exit = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exit
  }
}

const hex = (kind: number, number: number) =>
  (kind * 0x1000000 + number).toString(16).padStart(8, '0').repeat(8)

/** A network as dockerd would create it: 10.N.0.0/16. */
export const network = (number: number) => hex(1, number)

export function createNetwork(line: Line, number: number): Promise<string> {
  return line.ask('NetworkDriver.CreateNetwork', {
    NetworkID: network(number),
    Options: { 'com.docker.network.enable_ipv6': false, 'com.docker.network.generic': {} },
    IPv4Data: [{ AddressSpace: 'LocalDefault', Pool: `10.${number}.0.0/16`, Gateway: `10.${number}.0.1/16` }],
    IPv6Data: [],
  })
}

/** One endpoint of a network, as dockerd would make it, join it, and let it go. */
export class Endpoint {
  readonly #ids: { NetworkID: string; EndpointID: string }
  readonly #address: string

  constructor(net: number, number: number) {
    this.#ids = { NetworkID: network(net), EndpointID: hex(2 + net, number) }
    this.#address = `10.${net}.${1 + (number >> 8)}.${number & 255}/16`
  }

  async make(line: Line): Promise<void> {
    const Options = {
      'com.docker.network.endpoint.exposedports': [],
      'com.docker.network.portmap': [],
    }
    const Interface = { Address: this.#address, AddressIPv6: '', MacAddress: '' }
    await line.ask('NetworkDriver.CreateEndpoint', { ...this.#ids, Interface, Options })
    await line.ask('NetworkDriver.Join', {
      ...this.#ids,
      SandboxKey: '/var/run/docker/netns/0123456789ab',
      Options,
    })
  }

  async drop(line: Line): Promise<void> {
    await line.ask('NetworkDriver.Leave', this.#ids)
    await line.ask('NetworkDriver.DeleteEndpoint', this.#ids)
  }

  info(line: Line): Promise<string> {
    return line.ask('NetworkDriver.EndpointOperInfo', this.#ids)
  }
}

/** Makes endpoints on four networks, for a bridge has at most 1023 ports. */
export async function fill(server: Server, endpoints: number): Promise<void> {
  const lines = await server.lines(8)
  for (const net of NETWORKS) await createNetwork(lines[0] as Line, net)
  const all = Array.from({ length: endpoints }, (_, i) => new Endpoint(NETWORKS[i % 4] as number, i))
  await spread(lines, all, (line, endpoint) => endpoint.make(line))
  for (const line of lines) line.close()
}

const NETWORKS = [101, 102, 103, 104]
