import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { download } from '../../rootfs/debian.ts'
import { run } from './run.ts'

const cache = resolve(import.meta.dirname, '../../.cache/packages')

/**
 * Root of one unpacked Debian package, without what it depends on, below `.cache/packages`. Fetched on first use from the mirror
 * that this machine's apt uses, and never installed: that might start it or choose it for the whole machine.
 */
export async function unpacked(name: string, suite = 'bookworm'): Promise<string> {
  const root = join(cache, suite === 'bookworm' ? name : `${name}-${suite}`)
  if (existsSync(root)) return root
  await mkdir(cache, { recursive: true })
  const building = await mkdtemp(`${root}.`)
  try {
    const debs = await download(suite, join(building, 'apt'), [name])
    const deb = debs.find(each => basename(each).startsWith(`${name}_`))
    await run(['dpkg-deb', '--extract', deb ?? '', join(building, 'root')])
    await rename(join(building, 'root'), root)
  } catch (error) {
    throw new Error(`cannot fetch ${name} from Debian ${suite}: ${(error as Error).message.trim()}`, {
      cause: error,
    })
  } finally {
    await rm(building, { recursive: true, force: true })
  }
  return root
}
