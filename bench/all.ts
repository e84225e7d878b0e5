// Every benchmark, one after the other. They compare within one run: figures of two machines, or of two days, tell nothing.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

const parts = [
  'netlink',
  'socket',
  'memory',
  'control',
  'data',
  'vxlan',
  'overlay',
  'lan',
  'fdb',
  'idle',
  'cni',
  'nodes',
]

for (const part of parts) {
  console.log(`\n${part}: node bench/${part}.ts`)
  const file = join(import.meta.dirname, `${part}.ts`)
  const { status } = spawnSync(process.execPath, [file], { stdio: 'inherit' })
  if (status !== 0) process.exitCode = 1
}
