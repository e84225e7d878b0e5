import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { readFile, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { iptablesNames } from './engines.ts'
import { netnsPath } from './namespace.ts'
import { run } from './run.ts'
import { until } from './until.ts'

export type Iptables = 'nft' | 'legacy'
export type HolderSettings = { namespace: string; root: string; folder: string; iptables: Iptables }

/**
 * Process 1 of an emulated host: owner of its mount, uts and pid namespaces. When it dies the kernel kills everything in
 * the host, and it dies with us (PR_SET_PDEATHSIG), so that no process can be left over.
 */
export class Holder {
  /** As the machine sees it. */
  readonly pid: number
  readonly #parent: number

  private constructor(pid: number, parent: number) {
    this.pid = pid
    this.#parent = parent
  }

  static async start(settings: HolderSettings): Promise<Holder> {
    const parent = spawnHolder(settings.namespace)
    const pid = await until('the emulated host to have a process 1', () => onlyChild(parent, 'bash'))
    const holder = new Holder(pid, parent)
    await furnish(holder, settings)
    return holder
  }

  /** Arguments that put a command into all namespaces of the host. */
  enter(...argv: string[]): string[] {
    return ['nsenter', `--target=${this.pid}`, '--mount', '--uts', '--net', '--pid', ...argv]
  }

  /** A path of the host as it is reached from outside; valid while the holder lives. */
  path(inside: string): string {
    return join(`/proc/${this.pid}/root`, inside)
  }

  /** Everything in the host is killed at once, as by a power cut. */
  kill(): void {
    try {
      process.kill(this.#parent, 'SIGKILL')
    } catch {
      // Already gone.
    }
  }

  async gone(): Promise<void> {
    await until('the emulated host to be gone', () => !existsSync(`/proc/${this.pid}`))
  }
}

/** bash, and not sleep alone, because process 1 has to reap the orphans of the engine. */
function spawnHolder(namespace: string): number {
  const unshare = [
    'unshare',
    '--mount',
    '--uts',
    '--pid',
    '--fork',
    '--kill-child',
    '--mount-proc',
    '--propagation=private',
  ]
  const argv = ['--pdeathsig=KILL', 'nsenter', `--net=${netnsPath(namespace)}`, ...unshare]
  const child = spawn('setpriv', [...argv, 'bash', '-c', 'sleep infinity & wait'], { stdio: 'ignore' })
  child.unref()
  if (!child.pid) throw new Error('setpriv (package util-linux) cannot be started')
  return child.pid
}

/** The child of a process once there is one and it runs `program`; undefined until then. */
export async function onlyChild(pid: number, program?: string): Promise<number | undefined> {
  const child = Number.parseInt(await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8'), 10)
  if (Number.isNaN(child)) return undefined
  if (program === undefined) return child
  const name = await readFile(`/proc/${child}/comm`, 'utf8')
  return name.trim() === program ? child : undefined
}

/**
 * The engine's /usr over the machine's, so that no glibc meets a stranger; /etc as an overlay, so that nothing of the
 * host is written to the machine; /run empty, as after a boot; /sys fresh (it shows one network namespace only) with the
 * cgroup tree moved below it.
 */
async function furnish(holder: Holder, { root, folder, iptables, namespace }: HolderSettings): Promise<void> {
  for (const name of ['layer', 'layer/etc', 'layer/work', 'aside'])
    mkdirSync(join(folder, name), { recursive: true })
  const [layer, aside] = [join(folder, 'layer'), join(folder, 'aside')]
  await writeEtc(join(layer, 'etc'), iptables)
  const mount = (...argv: string[]) => run(holder.enter('mount', ...argv))
  await mount(
    '-t',
    'overlay',
    '-o',
    `lowerdir=/etc,upperdir=${layer}/etc,workdir=${layer}/work`,
    'overlay',
    '/etc',
  )
  await moveBelow(mount, aside, '/sys/fs/cgroup', () => mount('-t', 'sysfs', 'sysfs', '/sys'))
  if (existsSync('/usr/lib/modules'))
    await moveBelow(mount, aside, '/usr/lib/modules', () => mount('--bind', join(root, 'usr'), '/usr'))
  else await mount('--bind', join(root, 'usr'), '/usr')
  // Shared, as systemd makes it: a managed plugin sees mounts that come later.
  await mount('-t', 'tmpfs', 'tmpfs', '/run')
  await mount('--make-shared', '/run')
  await run(holder.enter('sysctl', '--quiet', '--write', `kernel.hostname=${namespace}`))
}

/** Covers a folder's parent and keeps the folder itself in sight. */
async function moveBelow(
  mount: (...argv: string[]) => Promise<string>,
  aside: string,
  path: string,
  cover: () => Promise<string>,
): Promise<void> {
  await mount('--rbind', path, aside)
  await cover()
  await mount('--move', aside, path)
}

/** What the machine's administrator would have chosen: iptables' backend; no name server is ever asked. */
async function writeEtc(etc: string, iptables: Iptables): Promise<void> {
  const alternatives = join(etc, 'alternatives')
  mkdirSync(alternatives, { recursive: true })
  writeFileSync(join(etc, 'resolv.conf'), 'nameserver 10.250.0.254\n')
  for (const name of iptablesNames) {
    const target = name.replace(/^(ip6?tables)/, `/usr/sbin/$1-${iptables}`)
    await symlink(target, join(alternatives, name)).catch(ignoreExisting)
  }
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error
}
