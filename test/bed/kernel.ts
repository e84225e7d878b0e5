import { existsSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { download } from '../../rootfs/debian.ts'
import { run } from './run.ts'

const cache = resolve(import.meta.dirname, '../../.cache/kernel')

/** Where the program is once it was built. */
export const kernel = join(cache, 'linux')

/** Milliseconds that the compiler has: two busy cores take a quarter of an hour. */
const DEADLINE = 7_200_000

/**
 * Builds User Mode Linux from the newest source that Debian has, unless it is there. Debian's own binary lacks IPVS, iptables and most of
 * nf_tables; this one has everything of uml.config built in.
 */
export async function buildKernel(): Promise<void> {
  if (existsSync(kernel)) return
  await mkdir(cache, { recursive: true })
  const folder = await mkdtemp(join(cache, 'building.'))
  try {
    await rename(await compiled(await source(folder)), kernel)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** `linux-source` depends on the package that has it. */
async function source(folder: string): Promise<string> {
  const debs = await download('sid', join(folder, 'apt'), ['linux-source'])
  const deb = debs.find(each => /^linux-source-[0-9.]+_/.test(basename(each)))
  await run(['dpkg-deb', '--extract', deb ?? '', join(folder, 'deb')], { deadline: 120_000 })
  const [archive = ''] = await readdir(join(folder, 'deb/usr/src'))
  await run(['tar', '--extract', '--file', join(folder, 'deb/usr/src', archive), '--directory', folder], {
    deadline: 600_000,
  })
  return join(folder, archive.replace(/\.tar\..*$/, ''))
}

async function compiled(tree: string): Promise<string> {
  const make = (...targets: string[]) =>
    run(['nice', 'make', `--directory=${tree}`, 'ARCH=um', `--jobs=${availableParallelism()}`, ...targets], {
      deadline: DEADLINE,
    })
  await copyFile(join(import.meta.dirname, 'uml.config'), join(tree, 'kernel/configs/ours.config'))
  await make('x86_64_defconfig')
  await make('ours.config')
  await make('linux')
  const program = join(tree, 'linux')
  await run(['strip', program])
  return program
}

if (import.meta.main) await buildKernel()
