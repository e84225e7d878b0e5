import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../bed/run.ts'
import { project } from './privileges.ts'

const dist = join(project, 'dist')
const plugin = join(dist, 'plugin')
const MEGABYTE = 1_000_000

/** Digest of all that Docker would put into the plugin: names, modes, dates, owners, bytes. */
const digest = (folder: string) =>
  run(['bash', '-c', `tar --sort=name -c -C ${folder} . | sha256sum`], { deadline: 120_000 })

describe('the root of the managed plugin', function () {
  this.timeout(120_000)

  it('has the same bytes when it is built again', async () => {
    const again = await mkdtemp(join(dist, 'again.'))
    try {
      await run([process.execPath, join(project, 'rootfs/build.ts'), again], { deadline: 120_000 })
      assert.equal(await digest(join(again, 'plugin')), await digest(plugin))
    } finally {
      await rm(again, { recursive: true })
    }
  })

  it('is small and has no shell', async () => {
    const count = `tar -c -C ${plugin}/rootfs . | gzip -6 | wc -c`
    const size = Number(await run(['bash', '-c', count], { deadline: 120_000 }))
    assert(size < 60 * MEGABYTE, `${size} bytes`)
    for (const shell of ['sh', 'bash', 'dash', 'busybox'])
      assert(!existsSync(join(plugin, 'rootfs/usr/bin', shell)), shell)
  })

  it('has a bill of materials that names what it is from', () => {
    const { components } = JSON.parse(readFileSync(`${plugin}-sbom.json`, 'utf8'))
    const names = components.map(({ name }: { name: string }) => name)
    for (const name of ['libc6', 'iptables', 'node', 'zod', 'pino']) assert(names.includes(name), name)
    assert(!names.includes('binutils'), 'what only builds is not in it')
  })
})
