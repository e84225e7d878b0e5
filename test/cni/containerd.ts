import { cp, mkdir, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type Client, credentials, loadPackageDefinition, type ServiceClientConstructor } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { writeSleeper } from '../bed/archive.ts'
import { Daemon } from '../bed/daemon.ts'
import { type EngineName, engineRoot } from '../bed/engines.ts'
import { Holder } from '../bed/holder.ts'
import { addNamespace, deleteNamespace, onExit, ownFolder, ownName } from '../bed/namespace.ts'
import { attempt, type Result, run } from '../bed/run.ts'
import { until } from '../bed/until.ts'

const dist = resolve(import.meta.dirname, '../../dist')
const plugins = '/usr/lib/cni'
export const image = 'localhost/pause:1'

/** Of containerd, each as the Docker engine's Debian suite has it. */
export type Release = '1.6' | '2.1'
const engines: Record<Release, EngineName> = { '1.6': '20.10', '2.1': '28.5' }

type Call = (request: object, done: (error: Error | null, answer: never) => void) => void
export type Condition = { type: string; status: boolean; message: string }

/** A node as a kubelet has it: a real containerd, driven over CRI, with a tsnetd of its own or none. */
export class CriNode {
  readonly folder: string
  readonly #release: Release
  readonly #namespace: string
  holder!: Holder
  containerd!: Daemon
  tsnetd!: Daemon
  #client: Client | undefined

  private constructor(name: string, release: Release) {
    this.#release = release
    this.folder = ownFolder(`cri-${name}`)
    this.#namespace = ownName(`cri-${name}`)
  }

  static async up(name: string, conflist: object | undefined, release: Release = '1.6'): Promise<CriNode> {
    const node = new CriNode(name, release)
    onExit(() => node.holder?.kill())
    await addNamespace(node.#namespace)
    await mkdir(node.folder, { recursive: true })
    const root = await engineRoot(engines[release])
    const settings = { namespace: node.#namespace, root, folder: node.folder, iptables: 'nft' as const }
    node.holder = await Holder.start(settings)
    await node.#install(conflist)
    await node.#start()
    return node
  }

  /** Runs a program on the node. */
  run(...argv: string[]): Promise<string> {
    return run(this.holder.enter(...argv))
  }

  attempt(argv: string[]): Promise<Result> {
    return attempt(this.holder.enter(...argv))
  }

  /** One call of CRI. */
  async cri<T>(method: string, request: object = {}): Promise<T> {
    const call = (this.#client as unknown as Record<string, Call>)[method] as Call
    return new Promise((done, fail) =>
      call.call(this.#client, request, (error, answer) => (error ? fail(error) : done(answer))),
    )
  }

  async ready(): Promise<Condition> {
    const { status } = await this.cri<{ status: { conditions: Condition[] } }>('Status')
    return status.conditions.find(({ type }) => type === 'NetworkReady') as Condition
  }

  async dispose(): Promise<void> {
    this.#client?.close()
    this.holder?.kill()
    await this.holder?.gone()
    await deleteNamespace(this.#namespace)
    await rm(this.folder, { recursive: true, force: true })
  }

  /** Where plugins and configurations lie by default; nothing of it is the machine's. */
  async #install(conflist: object | undefined): Promise<void> {
    await this.run('mount', '-t', 'tmpfs', 'tmpfs', '/opt')
    const [bin, conf] = [this.holder.path('/opt/cni/bin'), this.holder.path('/etc/cni/net.d')]
    for (const folder of [bin, conf]) await mkdir(folder, { recursive: true })
    for (const plugin of ['loopback', 'bridge', 'host-local', 'portmap'])
      await cp(join(plugins, plugin), join(bin, plugin))
    await cp(join(dist, 'tsnet-cni'), join(bin, 'tsnet-cni'))
    if (conflist) await writeFile(join(conf, '10-test.conflist'), JSON.stringify(conflist))
    await writeFile(join(this.folder, 'config.toml'), this.#config())
  }

  #config(): string {
    const cri = this.#release === '1.6' ? second : third
    return `root = "${this.folder}/root"
state = "${this.folder}/state"
${cri}
[grpc]
address = "/run/containerd.sock"
`
  }

  async #start(): Promise<void> {
    const serves = (path: string) => async () =>
      (await this.attempt(['bash', '-c', `[ -S ${path} ]`])).code === 0
    this.tsnetd = new Daemon({
      name: 'tsnetd',
      argv: [join(dist, 'tsnetd')],
      env: { TSNET_STATE: join(this.folder, 'tsnet') },
      log: join(this.folder, 'tsnetd.log'),
      ready: serves('/run/tsnet/tsnet.sock'),
    })
    await this.tsnetd.start(this.holder)
    this.containerd = new Daemon({
      name: 'containerd',
      argv: ['containerd', '--config', join(this.folder, 'config.toml')],
      log: join(this.folder, 'containerd.log'),
      ready: serves('/run/containerd.sock'),
    })
    await this.containerd.start(this.holder)
    await this.#importImage()
    this.#client = connect(`unix:${this.holder.path('/run/containerd.sock')}`)
  }

  async #importImage(): Promise<void> {
    await writeSleeper(image, join(this.folder, 'image.tar'))
    const ctr = ['ctr', '-a', '/run/containerd.sock', '-n', 'k8s.io', 'images', 'import', '--no-unpack']
    await until(
      'containerd to take the image',
      async () => (await this.attempt([...ctr, join(this.folder, 'image.tar')])).code === 0,
    )
  }
}

/** The versions of containerd's configuration. */
const second = `version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "${image}"
disable_cgroup = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"`
const third = `version = 3
[plugins."io.containerd.cri.v1.runtime"]
disable_cgroup = true
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.images"]
snapshotter = "native"
pinned_images = { sandbox = "${image}" }`

function connect(address: string): Client {
  const definition = loadSync(join(import.meta.dirname, 'cri.proto'), { keepCase: true, defaults: true })
  const { runtime } = loadPackageDefinition(definition) as never as {
    runtime: { v1: { RuntimeService: ServiceClientConstructor } }
  }
  return new runtime.v1.RuntimeService(address, credentials.createInsecure())
}

export type PodSandbox = { metadata: { name: string; uid: string; namespace: string; attempt: number } }

let count = 0
/** What a kubelet asks for. */
export const podConfig = (hostPort?: number): PodSandbox & object =>
  ({
    metadata: { name: `pod-${++count}`, uid: `uid-${count}`, namespace: 'default', attempt: 0 },
    hostname: `pod-${count}`,
    log_directory: '/tmp',
    port_mappings: hostPort ? [{ protocol: 0, container_port: 80, host_port: hostPort }] : [],
  }) as PodSandbox & object
