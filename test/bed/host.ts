import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join, resolve } from 'node:path'
import Docker from 'dockerode'
import { Daemon } from './daemon.ts'
import { type EngineName, engineRoot } from './engines.ts'
import { Holder, type Iptables, onlyChild } from './holder.ts'
import { imageTar } from './image.ts'
import { addNamespace, deleteNamespace, onExit, ownFolder, ownName, sweepCgroups } from './namespace.ts'
import { attempt, type Result, type RunOptions, run } from './run.ts'
import { until } from './until.ts'

export type HostSettings = {
  engine: EngineName
  /** Unique within this process; a few letters. */
  name: string
  /** Further lines of the engine's daemon.json. */
  daemonJson?: Record<string, unknown>
  /** Which of the two iptables the host's administrator chose; `nft` unless told. */
  iptables?: Iptables
  liveRestore?: boolean
  /** Environment of tsnetd beside what the bed sets itself. */
  tsnetEnv?: Record<string, string>
  /** tsnetd as deploy/tsnetd.socket runs it: started again at once, its socket held meanwhile (see systemd.ts). */
  activated?: boolean
  /** Called once after the first boot, before any daemon. */
  prepare?: (host: Host) => Promise<void>
}

/** Name of the image that every emulated host has. */
export const image = 'box'

const project = resolve(import.meta.dirname, '../..')

/** Boots an emulated Docker host: own network, mounts, processes; the engine answers when this returns. */
export async function startHost(settings: HostSettings): Promise<Host> {
  const root = await engineRoot(settings.engine)
  const tar = await imageTar(root)
  const host = new Host(settings, root)
  try {
    await host.boot()
    await settings.prepare?.(host)
    await host.dockerd.start(host.holder)
    await host.docker('import', '--change', 'CMD ["serve"]', tar, image)
  } catch (error) {
    await host.stop()
    throw error
  }
  return host
}

export class Host {
  readonly settings: HostSettings
  /** Name of its network namespace. */
  readonly namespace: string
  /** Everything that survives a reboot lives here: `docker`, `tsnet`, logs. */
  readonly folder: string
  readonly dockerd: Daemon
  readonly tsnetd: Daemon
  /** Called after each boot, before any daemon: plugs the wires in again. */
  readonly onBoot: (() => Promise<void>)[] = []
  readonly #root: string
  readonly #release: () => void
  #holder: Holder | undefined

  constructor(settings: HostSettings, root: string) {
    this.settings = settings
    this.#root = root
    this.namespace = ownName(settings.name)
    this.folder = ownFolder(settings.name)
    for (const name of ['docker', 'tsnet']) mkdirSync(join(this.folder, name), { recursive: true })
    this.dockerd = this.#dockerd()
    this.tsnetd = this.#tsnetd()
    this.#release = onExit(() => this.#holder?.kill())
  }

  get holder(): Holder {
    if (!this.#holder) throw new Error(`host ${this.settings.name} is switched off`)
    return this.#holder
  }

  /** The engine's API by dockerode; patient, for a loaded machine starts a container in many seconds. */
  get api(): Docker {
    return new Docker({ socketPath: this.path('/run/docker.sock'), timeout: 120_000 })
  }

  /** Folder of legacy plugins, seen from outside: a socket made there is a plugin of this host. */
  get plugins(): string {
    return this.path('/run/docker/plugins')
  }

  /** A path of the host, as it is reached from outside until the next reboot. */
  path(inside: string): string {
    return this.holder.path(inside)
  }

  /** Runs a command inside the host; fails as the command fails. */
  exec(...argv: string[]): Promise<string> {
    return run(this.holder.enter(...argv))
  }

  /** Arguments that put a command inside the host. */
  enter(...argv: string[]): string[] {
    return this.holder.enter(...argv)
  }

  /** The same, for commands that may fail. */
  attempt(argv: string[], options?: RunOptions): Promise<Result> {
    return attempt(this.holder.enter(...argv), options)
  }

  /** The engine's own command line. */
  docker(...args: string[]): Promise<string> {
    return this.exec('docker', ...args)
  }

  attemptDocker(...args: string[]): Promise<Result> {
    return this.attempt(['docker', ...args])
  }

  async boot(): Promise<void> {
    const { namespace, folder, settings } = this
    await addNamespace(namespace)
    this.#holder = await Holder.start({
      namespace,
      folder,
      root: this.#root,
      iptables: settings.iptables ?? 'nft',
    })
    mkdirSync(this.plugins, { recursive: true })
    for (const plug of this.onBoot) await plug()
  }

  /** A power cut: processes, namespaces, /run are gone; disks stay. Start it again by `boot` and the daemons. */
  async powerOff(): Promise<void> {
    this.#holder?.kill()
    await this.#holder?.gone()
    this.#holder = undefined
    await Promise.all([this.dockerd.forget(), this.tsnetd.forget()])
    await deleteNamespace(this.namespace)
    sweepCgroups(this.namespace)
  }

  /** Power cut and boot. Daemons that ran before run again afterwards, tsnetd first, as systemd orders them. */
  async reboot(): Promise<void> {
    const again = [this.tsnetd, this.dockerd].filter(daemon => daemon.running)
    await this.powerOff()
    await this.boot()
    for (const daemon of again) await daemon.start(this.holder)
  }

  async restart(daemon: Daemon): Promise<void> {
    await daemon.stop()
    await daemon.start(this.holder)
  }

  /** SIGKILL to the tsnetd that runs or starts now, on a host where it is started again. */
  async crash(): Promise<void> {
    process.kill(await until('a tsnetd to kill', () => onlyChild(this.tsnetd.pid)), 'SIGKILL')
  }

  /** Removes the host and all it left, but its logs when `TS_TEST_KEEP` is set. */
  async stop(): Promise<void> {
    await this.powerOff()
    this.#release()
    if (!process.env.TS_TEST_KEEP) rmSync(this.folder, { recursive: true, force: true })
  }

  /** The logs' ends, for the message of a failing test. */
  async logs(): Promise<string> {
    return `dockerd:\n${await this.dockerd.tail()}\ntsnetd:\n${await this.tsnetd.tail()}`
  }

  #dockerd(): Daemon {
    const config = join(this.folder, 'daemon.json')
    writeFileSync(
      config,
      JSON.stringify({ 'live-restore': this.settings.liveRestore ?? false, ...this.settings.daemonJson }),
    )
    return new Daemon({
      name: 'dockerd',
      argv: [
        'dockerd',
        `--config-file=${config}`,
        `--data-root=${join(this.folder, 'docker')}`,
        `--cgroup-parent=/${this.namespace}`,
        '--host=unix:///run/docker.sock',
        '--storage-driver=overlay2',
        '--log-level=warn',
      ],
      log: join(this.folder, 'dockerd.log'),
      ready: async () => (await post(this.path('/run/docker.sock'), 'GET', '/_ping')) === 200,
    })
  }

  #tsnetd(): Daemon {
    const dist = join(project, 'dist')
    const socket = '/run/docker/plugins/tsnet.sock'
    const systemd = [join(dist, 'node'), join(project, 'test/bed/systemd.ts'), socket]
    const { activated } = this.settings
    return new Daemon({
      name: activated ? 'systemd' : 'tsnetd',
      argv: [...(activated ? systemd : []), join(dist, 'tsnetd')],
      env: {
        ...(activated && { LD_LIBRARY_PATH: join(dist, 'lib') }),
        TSNET_SOCKET: socket,
        TSNET_API: '/run/tsnet/tsnet.sock',
        TSNET_STATE: join(this.folder, 'tsnet'),
        TSNET_DOCKER: '/run/docker.sock',
        TSNET_LOG: process.env.TSNET_LOG ?? 'info',
        ...this.settings.tsnetEnv,
      },
      log: join(this.folder, 'tsnetd.log'),
      ready: async () => (await post(this.path(socket), 'POST', '/Plugin.Activate')) === 200,
    })
  }
}

/** One request on a Unix socket; resolves with the status. */
function post(socketPath: string, method: string, path: string): Promise<number> {
  if (!existsSync(socketPath)) return Promise.resolve(0)
  return new Promise((done, fail) => {
    const call = request({ socketPath, method, path, agent: false, timeout: 5_000 }, answer => {
      answer.resume().on('end', () => done(answer.statusCode ?? 0))
    })
    call
      .on('timeout', () => call.destroy(new Error('no answer in 5 s')))
      .on('error', fail)
      .end()
  })
}
