import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { netnsPath, onExit, ownFolder } from './namespace.ts'
import { unpacked } from './package.ts'
import { attempt } from './run.ts'
import { until } from './until.ts'
import type { Outside } from './wire.ts'

/** A registry on the machine outside, for engines that have its `address` among their `insecure-registries`. */
export type Registry = { address: string; stop(): Promise<void> }

const PORT = 5000

/** As the hosts of a wire write it. */
export const registryAddress = `10.250.0.254:${PORT}`

export async function startRegistry(outside: Outside): Promise<Registry> {
  const program = join(await unpacked('docker-registry'), 'usr/bin/docker-registry')
  const folder = ownFolder('registry')
  await mkdir(folder, { recursive: true })
  const config = join(folder, 'config.yml')
  await writeFile(config, configuration(folder))
  const argv = [
    '--pdeathsig=KILL',
    'nsenter',
    `--net=${netnsPath(outside.namespace)}`,
    program,
    'serve',
    config,
  ]
  const child = spawn('setpriv', argv, { stdio: 'ignore' })
  const release = onExit(() => child.kill('SIGKILL'))
  await until('the registry to serve', async () => alive(child) && (await listens(outside)))
  return {
    address: registryAddress,
    async stop() {
      child.kill('SIGKILL')
      await until('the registry to end', () => child.exitCode !== null || child.signalCode !== null)
      release()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

const configuration = (folder: string) =>
  JSON.stringify({
    version: '0.1',
    log: { level: 'error' },
    storage: { filesystem: { rootdirectory: folder } },
    http: { addr: `0.0.0.0:${PORT}` },
  })

function alive(child: ChildProcess): true {
  if (child.exitCode !== null) throw new Error(`the registry ended with ${child.exitCode}`)
  return true
}

async function listens(outside: Outside): Promise<boolean> {
  const tried = await attempt([
    'nsenter',
    `--net=${netnsPath(outside.namespace)}`,
    'bash',
    '-c',
    `echo > /dev/tcp/127.0.0.1/${PORT}`,
  ])
  return tried.code === 0
}
