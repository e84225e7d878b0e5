import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { cp, mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { isIPv6 } from 'node:net'
import { basename, join } from 'node:path'
import { Daemon } from '../bed/daemon.ts'
import { engineRoot } from '../bed/engines.ts'
import { Holder } from '../bed/holder.ts'
import { addNamespace, deleteNamespace, onExit, ownFolder, ownName, sweepCgroups } from '../bed/namespace.ts'
import { attempt, type Result, type RunOptions, run } from '../bed/run.ts'
import { plug } from '../bed/wire.ts'
import { binaries } from './build.ts'
import { addressesAt, type Plan } from './plan.ts'

/** What a machine's process is: `argv[0]` is its name. */
export type Process = { argv: string[]; ready: () => Promise<boolean> }

/** A machine of a cluster: network, mounts and processes of its own, on a wire. */
export class Machine {
  readonly name: string
  readonly plan: Plan
  readonly #place: string
  readonly folder: string
  readonly namespace: string
  readonly daemons = new Map<string, Daemon>()
  holder!: Holder

  private constructor(name: string, place: string, plan: Plan) {
    this.name = name
    this.plan = plan
    this.#place = place
    this.folder = ownFolder(`kube-${name}`)
    this.namespace = ownName(`kube-${name}`)
  }

  /** `router` is a namespace with a bridge for each subnet, which has the last address of it. */
  static async boot(name: string, place: string, router: string, plan: Plan): Promise<Machine> {
    const machine = new Machine(name, place, plan)
    onExit(() => machine.holder?.kill())
    const { folder, namespace } = machine
    await mkdir(folder, { recursive: true })
    await addNamespace(namespace)
    machine.holder = await Holder.start({
      namespace,
      folder,
      root: await engineRoot(plan.engine),
      iptables: 'nft',
    })
    await machine.#furnish()
    await machine.#connect(router)
    return machine
  }

  /** In all families, the first one first. */
  get addresses(): string[] {
    return addressesAt(this.plan, this.#place)
  }

  get address(): string {
    return this.addresses[0] as string
  }

  run(...argv: string[]): Promise<string> {
    return run(this.holder.enter(...argv))
  }

  attempt(argv: string[], options?: RunOptions): Promise<Result> {
    return attempt(this.holder.enter(...argv), options)
  }

  /** A path of the machine, as it is reached from outside. */
  path(inside: string): string {
    return this.holder.path(inside)
  }

  /** Starts a program and returns once it serves. */
  async serve({ argv: [program = '', ...args], ready }: Process): Promise<void> {
    const built = join(binaries, program)
    const name = basename(program)
    const daemon = new Daemon({
      // As much as /proc shows of a name.
      name: name.slice(0, 15),
      argv: [existsSync(built) ? built : program, ...args],
      log: join(this.folder, `${name}.log`),
      ready,
    })
    this.daemons.set(name, daemon)
    await daemon.start(this.holder)
  }

  /** Whether what listens at a port of the machine itself says that it is well. */
  answers = (port: number) => async (): Promise<boolean> => {
    const script = `exec 3<>/dev/tcp/127.0.0.1/${port} && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q ' 200 ' <&3`
    return (await this.attempt(['bash', '-c', script], { deadline: 5_000 })).code === 0
  }

  /** Ends a program that was started. */
  async stop(program: string): Promise<void> {
    await this.daemons.get(program)?.stop()
  }

  /** Removes it and all it left, but its logs when `TS_TEST_KEEP` is set. */
  async dispose(): Promise<void> {
    this.holder?.kill()
    await this.holder?.gone()
    await deleteNamespace(this.namespace)
    sweepCgroups(this.namespace)
    if (!process.env.TS_TEST_KEEP) await rm(this.folder, { recursive: true, force: true })
  }

  async #furnish(): Promise<void> {
    const mount = (...argv: string[]) => this.run('mount', ...argv)
    await this.#privateVar()
    await mount('-t', 'tmpfs', 'tmpfs', '/opt')
    for (const name of sysctls) await this.#privateSysctl(name)
    await this.#clockSpeed()
    await this.#cgroups()
    // As systemd makes it: without, volumes don't reach containers.
    await mount('--make-rshared', '/')
  }

  async #privateVar(): Promise<void> {
    const own = join(this.folder, 'var')
    for (const name of ['lib', 'log', 'cache', 'tmp']) await mkdir(join(own, name), { recursive: true })
    await symlink('/run', join(own, 'run'))
    await this.run('mount', '--bind', own, '/var')
  }

  /** A kubelet writes these, and they are the whole machine's. */
  async #privateSysctl(name: string): Promise<void> {
    const copy = join(this.folder, name.replaceAll('/', '.'))
    await writeFile(copy, readFileSync(`/proc/sys/${name}`))
    await this.run('mount', '--bind', copy, `/proc/sys/${name}`)
  }

  /** A kubelet doesn't start without it, and User Mode Linux doesn't tell. */
  async #clockSpeed(): Promise<void> {
    const told = readFileSync('/proc/cpuinfo', 'utf8')
    if (/cpu MHz/.test(told)) return
    const copy = join(this.folder, 'cpuinfo')
    await writeFile(copy, told.replaceAll(/^bogomips/gm, 'cpu MHz\t\t: 1000.000\nbogomips'))
    await this.run('mount', '--bind', copy, '/proc/cpuinfo')
  }

  /** The group below which a kubelet makes its own, in each tree of cgroup v1, or in the one of v2. */
  async #cgroups(): Promise<void> {
    const base = '/sys/fs/cgroup'
    if (existsSync(join(base, 'cgroup.controllers'))) return this.#oneTree(base)
    for (const tree of readdirSync(base)) {
      const group = join(base, tree, this.namespace)
      await mkdir(group, { recursive: true })
      for (const file of ['cpuset.cpus', 'cpuset.mems'])
        if (existsSync(join(group, file)))
          await writeFile(join(group, file), readFileSync(join(base, tree, file)))
    }
  }

  async #oneTree(base: string): Promise<void> {
    const group = join(base, this.namespace)
    await mkdir(group, { recursive: true })
    const all = readFileSync(join(base, 'cgroup.controllers'), 'utf8').trim().replaceAll(/(\w+)/g, '+$1')
    for (const each of [base, group]) await writeFile(join(each, 'cgroup.subtree_control'), all)
  }

  async #connect(router: string): Promise<void> {
    const [, , subnet = '', last = ''] = this.#place.split('.')
    const mac = `02:77:00:00:0${subnet}:${Number(last).toString(16).padStart(2, '0')}`
    const addresses = this.addresses.map(each => `${each}/${isIPv6(each) ? 64 : 24}`)
    await plug(router, this.namespace, `to-${this.name}`, mac, addresses, `br${subnet}`)
    for (const via of addressesAt(this.plan, this.#place.replace(/\d+$/, '254')))
      await this.run('ip', 'route', 'add', 'default', 'via', via)
    // As kubeadm asks for; where tsnetd has to turn it on, it closes the host for others, as Docker does.
    await this.run('sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1')
  }
}

const sysctls = [
  'vm/overcommit_memory',
  'vm/panic_on_oom',
  'kernel/panic',
  'kernel/panic_on_oops',
  'kernel/keys/root_maxkeys',
  'kernel/keys/root_maxbytes',
]

/** Copies a program that is this machine's own to where the emulated one looks for it. */
export const install = (from: string, machine: Machine, to: string) =>
  cp(from, machine.path(to), { recursive: true, dereference: true })
