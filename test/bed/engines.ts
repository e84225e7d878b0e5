import { existsSync } from 'node:fs'
import { lstat, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { download } from '../../rootfs/debian.ts'
import { run } from './run.ts'

/** Docker engines the tests run on, by the release that the project promises to work with; 26.1 only when asked for. */
export type EngineName = '20.10' | '26.1' | '28.5'

const suites: Record<EngineName, string> = { '20.10': 'bookworm', '26.1': 'trixie', '28.5': 'sid' }

// libstdc++6 is for the node that runs tsnetd inside the emulated host.
const packages = (
  'docker.io containerd runc iptables nftables iproute2 procps kmod mount ca-certificates coreutils bash util-linux ' +
  'dash sed grep findutils mawk conntrack iputils-ping libstdc++6 busybox socat iperf3'
).split(' ')

// docker.io is the engine alone in newer releases; the older one's docker-compose is the old Python program. kube-proxy does nothing by IPVS
// without ipset.
const extra: Record<string, string[]> = {
  bookworm: ['ipset'],
  trixie: ['docker-cli', 'docker-compose'],
  sid: ['docker-cli', 'docker-compose'],
}

const cache = resolve(import.meta.dirname, '../../.cache/engines')

/**
 * Root of an unpacked Debian closure that holds one Docker engine, below `.cache/engines`. Fetched on first use from the
 * mirror that this machine's apt uses, verified by Debian's own keyring; no maintainer script is run.
 */
export async function engineRoot(engine: EngineName): Promise<string> {
  const suite = suites[engine]
  const root = join(cache, suite)
  const wanted = [...packages, ...(extra[suite] ?? [])].join(' ')
  if (await isComplete(root, wanted)) return root
  const building = await begin(root)
  try {
    await unpack(building, await download(suite, join(building, 'apt'), wanted.split(' ')))
    await writeFile(join(building, 'complete'), wanted)
    await rename(building, root)
  } catch (error) {
    if (await isComplete(root, wanted)) return root
    throw new Error(`cannot fetch Docker ${engine} from Debian ${suite}: ${reason(error)}`, { cause: error })
  } finally {
    await rm(building, { recursive: true, force: true })
  }
  return root
}

async function isComplete(root: string, wanted: string): Promise<boolean> {
  const found = await readFile(join(root, 'complete'), 'utf8').catch(() => '')
  return found === wanted
}

async function begin(root: string): Promise<string> {
  await mkdir(cache, { recursive: true })
  await rm(root, { recursive: true, force: true })
  return mkdtemp(`${root}.`)
}

async function unpack(root: string, debs: readonly string[]): Promise<void> {
  for (const deb of debs) await run(['dpkg-deb', '--extract', deb, root])
  await rm(join(root, 'apt'), { recursive: true })
  for (const folder of ['bin', 'sbin', 'lib', 'lib64']) await merge(root, folder)
  for (const folder of ['doc', 'man', 'locale', 'info'])
    await rm(join(root, 'usr/share', folder), { recursive: true, force: true })
  await mkdir(join(root, 'usr/lib/modules'), { recursive: true })
  await linkAlternatives(root)
}

/** Older packages still carry `/bin` and its like; only `/usr` is mounted in the emulated host. */
async function merge(root: string, folder: string): Promise<void> {
  const [from, to] = [join(root, folder), join(root, 'usr', folder)]
  if (!existsSync(from) || (await lstat(from)).isSymbolicLink()) return
  await mkdir(to, { recursive: true })
  await run(['cp', '--archive', `${from}/.`, to])
  await rm(from, { recursive: true })
  await symlink(`usr/${folder}`, from)
}

/** What update-alternatives would have linked; the target is chosen by the emulated host's own /etc/alternatives. */
async function linkAlternatives(root: string): Promise<void> {
  for (const name of iptablesNames) {
    await rm(join(root, 'usr/sbin', name), { force: true })
    await symlink(`/etc/alternatives/${name}`, join(root, 'usr/sbin', name))
  }
  await rm(join(root, 'usr/bin/awk'), { force: true })
  await symlink('mawk', join(root, 'usr/bin/awk'))
}

export const iptablesNames = ['iptables', 'ip6tables'].flatMap(name => [
  name,
  `${name}-save`,
  `${name}-restore`,
])

const reason = (error: unknown) =>
  error instanceof Error ? error.message.trim().split('\n').at(-1) : String(error)
