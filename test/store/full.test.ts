import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { scratch } from './directory.ts'

/** Runs a program on a small disk of its own, in a mount namespace that ends with it. */
function onDisk(directory: string, options: string, what: string): unknown {
  const program = join(import.meta.dirname, 'small-disk.ts')
  const script = 'mount -t tmpfs -o "$0" none "$1" && exec "$2" "$3" "$1" "$4"'
  const args = ['-m', 'sh', '-c', script, options, directory, process.execPath, program, what]
  const run = spawnSync('unshare', args, { encoding: 'utf8' })
  assert.equal(run.status, 0, run.stderr)
  return JSON.parse(run.stdout)
}

describe('store on a disk that takes no more', () => {
  it('refuses the write, keeps its records, and goes on when there is room', () => {
    using directory = scratch()
    assert.deepEqual(onDisk(directory.path, 'size=600k', 'fill'), {
      code: 'ENOSPC',
      unchanged: true,
      afterwards: 'written',
      reopened: true,
    })
  }).timeout(60_000)

  it('says that a disk is read-only', () => {
    using directory = scratch()
    const { code, message } = onDisk(directory.path, 'ro', 'open') as { code: string; message: string }
    assert.equal(code, 'EROFS')
    assert.match(message, /it is read-only: mount it read-write/)
  }).timeout(60_000)
})
