import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ownFolder } from './namespace.ts'
import { unpacked } from './package.ts'
import { attempt } from './run.ts'

/** A folder that the machine and the other kernel share: what the script writes to `/run/out` is there. */
export type Uml = {
  folder: string
  run(script: string, deadline?: number): Promise<string>
  dispose(): Promise<void>
}

/**
 * Debian's User Mode Linux: a kernel as a process, with the kinds of links that the machine's own kernel may lack (ipvlan, 802.1q, dummy)
 * and the machine's files as they are, read-only. One CPU, 1 GB of memory, no way to the machine's network; of nf_tables it has the
 * bridge family alone.
 */
export async function uml(): Promise<Uml> {
  const root = await unpacked('user-mode-linux')
  const folder = ownFolder('uml')
  await mkdir(join(folder, 'memory'), { recursive: true })
  await copyFile(join(import.meta.dirname, 'uml-init'), join(folder, 'init'))
  return {
    folder,
    run: (script, deadline = 180_000) => boot(root, folder, script, deadline),
    dispose: () => rm(folder, { recursive: true, force: true }),
  }
}

/**
 * Boots, runs a shell script as root and powers off.
 * @returns what the script printed; throws if the kernel did not come up or the script did not end by `deadline` (ms)
 */
async function boot(root: string, folder: string, script: string, deadline: number): Promise<string> {
  await writeFile(join(folder, 'script'), script)
  await rm(join(folder, 'code'), { force: true })
  const argv = ['--pdeathsig=KILL', 'unshare', '--mount', '--pid', '--fork', '--kill-child']
  const result = await attempt(['setpriv', ...argv, 'sh', '-ec', start, 'uml', root, folder], { deadline })
  const read = (name: string) => readFile(join(folder, name), 'utf8').catch(() => '')
  const [code, output] = [await read('code'), await read('output')]
  if (code) return output
  const last = `${result.stdout}\n${result.stderr}\n${output}`.trim().split('\n').slice(-10).join('\n')
  throw new Error(`User Mode Linux did not run its script to the end (exit ${result.code}):\n${last}`)
}

/** Its modules come in sight at their place by an overlay of two folders; its memory is a file, which goes with the mounts. */
const start = `
  mount -t overlay -o "lowerdir=$1/usr/lib/uml:/usr/lib" overlay /usr/lib
  mount -t tmpfs tmpfs "$2/memory"
  export TMPDIR="$2/memory" HOME="$2/memory"
  exec "$1/usr/bin/linux.uml" mem=1024M rootfstype=hostfs rootflags=/ ro quiet \\
    con=null con0=null,fd:1 con1=null uml_dir="$2/memory" init="$2/init" FOLDER="$2"`
