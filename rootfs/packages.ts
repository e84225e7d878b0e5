import { hash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { download, run } from './debian.ts'

export type Package = { name: string; version: string; sha256: string; file: string }

/** Debian 13. A newer iptables lists rules that an older one can't. */
const suite = 'trixie'

/** What programs and libraries come from; binutils has the `strip` that makes Node smaller, and stays behind. */
const wanted = ['iptables', 'libatomic1', 'libstdc++6', 'binutils']

const cache = resolve(import.meta.dirname, '../.cache/rootfs')

/**
 * Debian's packages, in the versions that `packages.ARCHITECTURE.txt` pins. Debian's mirrors keep the newest version only: when a pinned one
 * isn't there any more the newest are taken and pinned, which shows as a change of that file.
 */
export async function packages(): Promise<Package[]> {
  const lock = join(import.meta.dirname, `packages.${await run('dpkg', '--print-architecture')}.txt`)
  const pinned = readLock(lock)
  if (pinned.length > 0 && pinned.every(isCached)) return pinned
  const found = await fetched(pinned)
  const text = found.map(({ name, version, sha256 }) => `${name} ${version} ${sha256}\n`).join('')
  if (pinned.length > 0 && text !== readFileSync(lock, 'utf8'))
    process.stderr.write(`${basename(lock)}: Debian has newer packages, which are pinned now\n`)
  await writeFile(lock, text)
  return found
}

const cached = (sha256: string) => join(cache, `${sha256}.deb`)
const isCached = ({ file, sha256 }: Package) => existsSync(file) && digest(file) === sha256
const digest = (file: string) => hash('sha256', readFileSync(file))

function readLock(path: string): Package[] {
  if (!existsSync(path)) return []
  const lines = readFileSync(path, 'utf8').trim().split('\n')
  return lines.map(line => {
    const [name = '', version = '', sha256 = ''] = line.split(' ')
    return { name, version, sha256, file: cached(sha256) }
  })
}

async function fetched(pinned: readonly Package[]): Promise<Package[]> {
  await mkdir(cache, { recursive: true })
  const folder = await mkdtemp(join(cache, 'apt.'))
  try {
    const exact = pinned.map(({ name, version }) => `${name}=${version}`)
    const asPinned = exact.length > 0 && download(suite, folder, exact).catch(() => undefined)
    const debs = (await asPinned) || (await download(suite, folder, wanted))
    return await Promise.all(debs.map(keep))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function keep(deb: string): Promise<Package> {
  const fields = await run('dpkg-deb', '--field', deb, 'Package', 'Version')
  const [name = '', version = ''] = fields.split('\n').map(line => line.slice(line.indexOf(' ') + 1))
  const sha256 = digest(deb)
  await copyFile(deb, cached(sha256))
  return { name, version, sha256, file: cached(sha256) }
}
