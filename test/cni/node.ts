import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { connect } from 'node:net'
import { join, resolve } from 'node:path'
import {
  addNamespace,
  deleteNamespace,
  endProcesses,
  inNamespace,
  netnsPath,
  onExit,
  ownFolder,
  ownName,
} from '../bed/namespace.ts'
import { recordsIn } from '../bed/records.ts'
import { run } from '../bed/run.ts'
import { until } from '../bed/until.ts'

const dist = resolve(import.meta.dirname, '../../dist')
/** `make test-arm64` has another. */
export const shim = process.env.TSNET_SHIM ?? join(dist, 'tsnet-cni')

/** A node: a network namespace with a daemon of its own in it, and sandboxes beside it. */
export class Node {
  readonly name: string
  readonly namespace: string
  readonly folder: string
  readonly env: Record<string, string>
  readonly settings: Record<string, string>
  readonly #sandboxes = new Set<string>()
  readonly #forget: () => void
  /** What the daemon is started by, so that it finds another world. */
  within: string[] = []
  #daemon: ChildProcess | undefined
  #count = 0

  private constructor(name: string, settings: Record<string, string>) {
    this.name = name
    this.namespace = ownName(`cni-${name}`)
    this.folder = ownFolder(`cni-${name}`)
    this.env = { TSNET_API: join(this.folder, 'run/tsnet.sock') }
    this.settings = settings
    this.#forget = onExit(() => this.#daemon?.kill('SIGKILL'))
  }

  /** Without its daemon. */
  static async bare(name: string, settings: Record<string, string> = {}): Promise<Node> {
    const node = new Node(name, settings)
    rmSync(node.folder, { recursive: true, force: true })
    mkdirSync(node.folder, { recursive: true })
    await addNamespace(node.namespace)
    return node
  }

  static async up(name: string, settings?: Record<string, string>): Promise<Node> {
    const node = await Node.bare(name, settings)
    await node.start()
    return node
  }

  async start(): Promise<void> {
    const log = openSync(join(this.folder, 'log'), 'a')
    const inside = ['nsenter', `--net=${netnsPath(this.namespace)}`, ...this.within, join(dist, 'tsnetd')]
    this.#daemon = spawn('setpriv', ['--pdeathsig=KILL', ...inside], {
      stdio: ['ignore', log, log],
      env: {
        PATH: process.env.PATH,
        ...this.env,
        TSNET_SOCKET: join(this.folder, 'docker.sock'),
        TSNET_STATE: join(this.folder, 'state'),
        TSNET_DOCKER: join(this.folder, 'no-docker.sock'),
        TSNET_CNI_CONF: this.netd,
        ...this.settings,
      },
    })
    closeSync(log)
    await until(`tsnetd of ${this.name} to serve`, () => this.#serves()).catch(error => {
      throw new Error(`${error.message}\n${this.log()}`)
    })
  }

  /** Where runtimes, and the daemon, look for configurations. */
  get netd(): string {
    return join(this.folder, 'net.d')
  }

  /** As an installer does: whole from the moment that it has its name. */
  install(name: string, ...plugins: object[]): void {
    mkdirSync(this.netd, { recursive: true })
    const path = this.#conflist(name)
    writeFileSync(`${path}.new`, JSON.stringify({ cniVersion: '1.0.0', name, plugins }))
    renameSync(`${path}.new`, path)
  }

  uninstall(name: string): void {
    rmSync(this.#conflist(name))
  }

  get pid(): number {
    return this.#daemon?.pid ?? 0
  }

  log(): string {
    return readFileSync(join(this.folder, 'log'), 'utf8')
  }

  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const daemon = this.#daemon
    this.#daemon = undefined
    if (!daemon || daemon.exitCode !== null || daemon.signalCode !== null) return
    const exit = once(daemon, 'exit')
    daemon.kill(signal)
    await exit
  }

  async dispose(): Promise<void> {
    await this.stop('SIGKILL')
    for (const each of [...this.#sandboxes, this.namespace]) {
      await endProcesses(each)
      await deleteNamespace(each)
    }
    rmSync(this.folder, { recursive: true, force: true })
    this.#forget()
  }

  /** Runs a program with the node's network. */
  run(...argv: string[]): Promise<string> {
    return inNamespace(this.namespace, ...argv)
  }

  /** What the operator's command answers, as JSON. */
  async tsnet<T>(...words: string[]): Promise<T> {
    const env = { PATH: process.env.PATH, ...this.env }
    return JSON.parse(await run([join(dist, 'tsnet'), ...words, '--json'], { env }))
  }

  /** A namespace for one container; its path is what CNI_NETNS says. */
  async sandbox(): Promise<Sandbox> {
    const id = `c${++this.#count}`
    const name = `${this.namespace}-${id}`
    this.#sandboxes.add(name)
    await addNamespace(name)
    return new Sandbox(name, id)
  }

  /** Everything that attachments could leave: links (those on their way out aside), rules, records, DELs put off. */
  async traces(): Promise<Record<string, string[]>> {
    const [links, rules] = await Promise.all([
      this.run('ip', '-o', 'link', 'show'),
      this.run('nft', '--stateless', 'list', 'ruleset').catch(() => ''),
    ])
    return {
      links: sorted(links.replaceAll(/^.* group 29812 .*$/gm, '').replaceAll(/^\d+: ([^:@]+).*$/gm, '$1')),
      rules: sorted(rules.replaceAll(/\bcounter packets \d+ bytes \d+/g, '')),
      spool: list(join(this.folder, 'run/spool')),
      records: recordsIn(join(this.folder, 'state')),
    }
  }

  /** Links that are on their way out. */
  async departing(): Promise<string[]> {
    return (await this.run('ip', '-o', 'link', 'show', 'group', '29812')).split('\n').filter(Boolean)
  }

  #conflist = (name: string) => join(this.netd, `05-${name}.conflist`)

  async #serves(): Promise<boolean> {
    if (this.#daemon?.exitCode !== null) throw new Error('it ended')
    const socket = connect(this.env.TSNET_API as string)
    await once(socket, 'connect')
    socket.destroy()
    return true
  }
}

export class Sandbox {
  readonly name: string
  readonly path: string
  /** CNI_CONTAINERID. */
  readonly id: string

  constructor(name: string, id: string) {
    this.name = name
    this.path = netnsPath(name)
    this.id = id
  }

  /** Arguments that give a command its network. */
  enter(...argv: string[]): string[] {
    return ['nsenter', `--net=${this.path}`, ...argv]
  }

  run(...argv: string[]): Promise<string> {
    return inNamespace(this.name, ...argv)
  }

  async remove(): Promise<void> {
    await endProcesses(this.name)
    await deleteNamespace(this.name)
  }

  /** Names of its links but lo, those on their way out left out. */
  async links(): Promise<string[]> {
    const lines = sorted((await this.run('ip', '-o', 'link', 'show')).replaceAll(/^\d+: ([^:@]+).*$/gm, '$1'))
    return lines.filter(name => name !== 'lo' && !name.startsWith('tsc-'))
  }
}

const sorted = (text: string) =>
  text
    .split('\n')
    .map(line => line.trim())
    .filter(Boolean)
    .sort()

function list(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
