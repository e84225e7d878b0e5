import { rmSync } from 'node:fs'
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { follow } from './follow.ts'
import { kernel } from './kernel.ts'
import { onExit, ownFolder } from './namespace.ts'
import { unpacked } from './package.ts'
import { attempt, type Result } from './run.ts'

/** A folder that the machine and the other kernel share: what the script writes to `/run/out` is there. */
export type Uml = {
  folder: string
  run(script: string, options?: Options): Promise<Ended>
  dispose(): Promise<void>
}

/** What a script printed, and its exit code. */
export type Ended = { printed: string; code: number }

type Options = {
  /** Milliseconds. */
  deadline?: number
  /** Megabytes; those that are never used are never taken. */
  memory?: number
  /** Hears what the script prints while it runs. */
  print?: (text: string) => void
}

/** A program that is Linux. Debian's is of sid, and so needs sid's libc, and has its modules beside it. */
type Kernel = { program: string; libraries?: string; modules?: string }

/**
 * User Mode Linux: a kernel as a process, with the kinds of links that the machine's own kernel may lack (ipvlan, 802.1q, dummy)
 * and the machine's files as they are, read-only. No way to the machine's network. Debian's is sid's: since Linux 6.16 it catches system
 * calls by seccomp, not ptrace, and so starts a process in an eighth of the time. Of nf_tables it has the bridge family alone, and no
 * iptables; the one of kernel.ts has all of them, if it was built. One CPU: with two, the threads of a process wait for each other.
 */
export async function uml(whose: 'debian' | 'own' = 'debian'): Promise<Uml> {
  const program = whose === 'own' ? { program: kernel } : await debian()
  const folder = ownFolder('uml')
  const remove = onExit(() => rmSync(folder, { recursive: true, force: true }))
  for (const name of ['memory', 'root']) await mkdir(join(folder, name), { recursive: true })
  await copyFile(join(import.meta.dirname, 'uml-init'), join(folder, 'init'))
  return {
    folder,
    run: (script, options = {}) => boot(program, folder, script, options),
    dispose: async () => {
      remove()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function debian(): Promise<Kernel> {
  const [root, libc] = [await unpacked('user-mode-linux', 'sid'), await unpacked('libc6', 'sid')]
  return {
    program: join(root, 'usr/bin/linux.uml'),
    libraries: join(libc, 'usr/lib/x86_64-linux-gnu'),
    modules: join(root, 'usr/lib/uml'),
  }
}

/** Boots, runs a shell script as root and powers off; throws if the kernel did not come up or the script did not end by the deadline. */
async function boot(
  { program, libraries = '', modules = '' }: Kernel,
  folder: string,
  script: string,
  options: Options,
): Promise<Ended> {
  const { deadline = 300_000, memory = 1024, print = () => undefined } = options
  const file = (name: string) => join(folder, name)
  for (const name of ['code', 'output']) await rm(file(name), { force: true })
  await writeFile(file('script'), script)
  const argv = ['--pdeathsig=KILL', 'unshare', '--mount', '--pid', '--fork', '--kill-child']
  const end = follow(file('output'), print)
  const places = [folder, program, libraries, modules]
  const result = await attempt(['setpriv', ...argv, 'sh', '-ec', start, 'uml', ...places, `${memory}M`], {
    deadline,
  })
  end()
  const read = (name: string) => readFile(file(name), 'utf8').catch(() => '')
  const [code, printed] = [await read('code'), await read('output')]
  if (!code) throw unfinished(result, printed)
  return { printed, code: Number(code) }
}

function unfinished({ code, stdout, stderr }: Result, printed: string): Error {
  const last = `${stdout}\n${stderr}\n${printed}`.trim().split('\n').slice(-10).join('\n')
  return new Error(`User Mode Linux did not run its script to the end (exit ${code}):\n${last}`)
}

/**
 * Modules come in sight at their place by an overlay of two folders; its memory is a file, which goes with the mounts. Its root is a second
 * sight of the machine's, for in the first one the loader is that of the kernel's own libc.
 */
const start = `
  [ -z "$4" ] || mount -t overlay -o "lowerdir=$4:/usr/lib" overlay /usr/lib
  mount --rbind / "$1/root"
  mount -t tmpfs tmpfs "$1/memory"
  export TMPDIR="$1/memory" HOME="$1/memory"
  [ -z "$3" ] || { mount --bind "$3/ld-linux-x86-64.so.2" /lib64/ld-linux-x86-64.so.2; export LD_LIBRARY_PATH="$3"; }
  exec "$2" mem="$5" seccomp=on rootfstype=hostfs rootflags="$1/root" ro quiet \\
    con=null con0=null,fd:1 con1=null uml_dir="$1/memory" init="$1/init" FOLDER="$1"`
