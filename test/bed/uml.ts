import { rmSync } from 'node:fs'
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { follow } from './follow.ts'
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

/**
 * Debian's User Mode Linux: a kernel as a process, with the kinds of links that the machine's own kernel may lack (ipvlan, 802.1q, dummy)
 * and the machine's files as they are, read-only. One CPU and no way to the machine's network; of nf_tables it has the bridge family
 * alone, and no iptables. It is sid's: since Linux 6.16 it catches system calls by seccomp, not ptrace, and so starts a process in an
 * eighth of the time.
 */
export async function uml(): Promise<Uml> {
  const [kernel, libc] = [await unpacked('user-mode-linux', 'sid'), await unpacked('libc6', 'sid')]
  const folder = ownFolder('uml')
  const remove = onExit(() => rmSync(folder, { recursive: true, force: true }))
  for (const name of ['memory', 'root']) await mkdir(join(folder, name), { recursive: true })
  await copyFile(join(import.meta.dirname, 'uml-init'), join(folder, 'init'))
  const libraries = join(libc, 'usr/lib/x86_64-linux-gnu')
  return {
    folder,
    run: (script, options = {}) => boot([kernel, libraries, folder], script, options),
    dispose: async () => {
      remove()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Boots, runs a shell script as root and powers off; throws if the kernel did not come up or the script did not end by the deadline. */
async function boot(
  places: [kernel: string, libraries: string, folder: string],
  script: string,
  options: Options,
): Promise<Ended> {
  const { deadline = 300_000, memory = 1024, print = () => undefined } = options
  const [, , folder] = places
  const file = (name: string) => join(folder, name)
  for (const name of ['code', 'output']) await rm(file(name), { force: true })
  await writeFile(file('script'), script)
  const argv = ['--pdeathsig=KILL', 'unshare', '--mount', '--pid', '--fork', '--kill-child']
  const end = follow(file('output'), print)
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
 * Its modules come in sight at their place by an overlay of two folders; its memory is a file, which goes with the mounts. Its root is a second
 * sight of the machine's, for in the first one the loader is that of the kernel's own libc.
 */
const start = `
  mount -t overlay -o "lowerdir=$1/usr/lib/uml:/usr/lib" overlay /usr/lib
  mount --rbind / "$3/root"
  mount -t tmpfs tmpfs "$3/memory"
  export TMPDIR="$3/memory" HOME="$3/memory"
  mount --bind "$2/ld-linux-x86-64.so.2" /lib64/ld-linux-x86-64.so.2
  export LD_LIBRARY_PATH="$2"
  exec "$1/usr/bin/linux.uml" mem="$4" seccomp=on rootfstype=hostfs rootflags="$3/root" ro quiet \\
    con=null con0=null,fd:1 con1=null uml_dir="$3/memory" init="$3/init" FOLDER="$3"`
