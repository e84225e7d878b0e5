import { existsSync } from 'node:fs'
import {
  chmod,
  copyFile,
  cp,
  lutimes,
  mkdir,
  mkdtemp,
  readdir,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { libraries, loaderOf, run } from './debian.ts'
import { type Package, packages } from './packages.ts'
import { sbom } from './sbom.ts'

/**
 * Assembles `plugin`, which `docker plugin create` takes, and `plugin-sbom.json` in the folder that it is given, else in `dist/`, from
 * the daemon in `dist/`. The same sources, Node and packages give the same bytes.
 */

const project = resolve(import.meta.dirname, '..')
const dist = join(project, 'dist')
const target = resolve(process.argv[2] ?? dist)

/** Programs that the daemon runs. There is no shell: it runs none by one. */
const programs = ['xtables-nft-multi', 'xtables-legacy-multi']

/** One program each has all of iptables' names; `iptables` alone is the backend that Debian prefers. */
const links = ['iptables', 'ip6tables'].flatMap(name =>
  ['', '-restore'].flatMap((suffix): [name: string, program: string][] => [
    [`${name}-nft${suffix}`, 'xtables-nft-multi'],
    [`${name}-legacy${suffix}`, 'xtables-legacy-multi'],
    [`${name}${suffix}`, 'xtables-nft-multi'],
  ]),
)

/** Docker would make them itself; a root that it doesn't change is the same everywhere. */
const mountpoints = [
  'dev',
  'etc',
  'host/proc/sys/net',
  'plugins',
  'proc',
  'run',
  'sys',
  'tmp',
  'var/lib/tsnet',
]
const mountfiles = ['etc/hosts', 'etc/resolv.conf']

async function build(): Promise<void> {
  const work = await mkdtemp(join(target, 'plugin.'))
  try {
    const [plugin, closure] = [join(work, 'plugin'), join(work, 'closure')]
    const available = await packages()
    for (const { file } of available) await run('dpkg-deb', '--extract', file, closure)
    const rootfs = join(plugin, 'rootfs')
    await furnish(rootfs, closure)
    const used = await contributors(available, rootfs)
    for (const { name } of used) await take(rootfs, closure, `usr/share/doc/${name}/copyright`)
    await proveLoads(rootfs)
    await copyFile(join(project, 'config.json'), join(plugin, 'config.json'))
    await normalise(plugin)
    await writeFile(join(target, 'plugin-sbom.json'), await sbom(used, dist))
    await rm(join(target, 'plugin'), { recursive: true, force: true })
    await rename(plugin, join(target, 'plugin'))
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

async function furnish(rootfs: string, closure: string): Promise<void> {
  for (const folder of mountpoints) await mkdir(join(rootfs, folder), { recursive: true })
  for (const file of mountfiles) await writeFile(join(rootfs, file), '')
  const node = join(rootfs, 'usr/bin/node')
  await mkdir(dirname(node), { recursive: true })
  await strip(closure, join(dist, 'node'), node)
  const { loader, folder } = await loaderOf(closure)
  const extensions = (await readdir(join(folder, 'xtables'))).map(name => join(folder, 'xtables', name))
  const roots = [node, ...programs.map(name => join(closure, 'usr/sbin', name)), ...extensions]
  const needed = await Promise.all(roots.map(path => libraries(closure, path)))
  const files = new Set([loader, ...roots.slice(1), ...needed.flat()])
  for (const file of files) await take(rootfs, closure, file.slice(closure.length + 1))
  for (const [name, program] of links) await symlink(program, join(rootfs, 'usr/sbin', name))
  for (const name of ['bin', 'sbin', 'lib', 'lib64'])
    if (existsSync(join(rootfs, 'usr', name))) await symlink(`usr/${name}`, join(rootfs, name))
  await symlink('/run', join(rootfs, 'var/run'))
  const own = join(rootfs, 'usr/lib/tsnet')
  await mkdir(own)
  for (const name of ['tsnetd.js', 'kernel-worker.js', 'netlink.node', 'tsnetd.js.LEGAL.txt'])
    await copyFile(join(dist, name), join(own, name))
}

/** Node without its symbols of debugging: a quarter less. By the pinned packages' own strip, for another one's bytes may differ. */
async function strip(closure: string, from: string, to: string): Promise<void> {
  const { loader, folder } = await loaderOf(closure)
  const bin = join(closure, 'usr/bin')
  const name = (await readdir(bin)).find(each => each.endsWith('-linux-gnu-strip'))
  await run(loader, '--library-path', folder, join(bin, name ?? 'strip'), '--strip-all', '-o', to, from)
}

/** A file of the closure, at its place; links are followed. */
async function take(rootfs: string, closure: string, path: string): Promise<void> {
  await mkdir(dirname(join(rootfs, path)), { recursive: true })
  await cp(join(closure, path), join(rootfs, path), { dereference: true })
}

/** The packages that a file in the root is from. */
async function contributors(available: readonly Package[], rootfs: string): Promise<Package[]> {
  const holds = async ({ file }: Package) => {
    const listing = await run('dpkg-deb', '--contents', file)
    const paths = [...listing.matchAll(/ \.\/(\S*[^\s/])(?: -> .*)?$/gm)].map(([, path]) => path ?? '')
    return paths.some(path => existsSync(join(rootfs, path)))
  }
  const held = await Promise.all(available.map(holds))
  return available.filter((_, i) => held[i])
}

/** The addon was compiled on this machine, whose libc may be newer than the one here. */
async function proveLoads(rootfs: string): Promise<void> {
  const { loader, folder } = await loaderOf(rootfs)
  const script = `process.dlopen({ exports: {} }, '${join(rootfs, 'usr/lib/tsnet/netlink.node')}')`
  await run(loader, '--library-path', folder, join(rootfs, 'usr/bin/node'), '--eval', script)
}

/** Seconds since 1970 that every file is dated (reproducible-builds.org/specs/source-date-epoch). */
const epoch = Number(process.env.SOURCE_DATE_EPOCH ?? 946_684_800)

/** Modes and dates that don't depend on who builds when. */
async function normalise(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) await normalise(path)
    else if (entry.isFile()) {
      await chmod(path, (await stat(path)).mode & 0o100 ? 0o755 : 0o644)
      await lutimes(path, epoch, epoch)
    } else await lutimes(path, epoch, epoch)
  }
  await chmod(folder, 0o755)
  await lutimes(folder, epoch, epoch)
}

await build()
