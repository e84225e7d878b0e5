import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from './run.ts'

export type Archive = {
  /** `name:tag`. */
  name: string
  /** Tar of the image's only layer. */
  layer: string
  command: string[]
}

/** Writes an image as `docker save` does and `ctr images import` takes it. `to` is the archive's path. */
export async function writeArchive({ name, layer, command }: Archive, to: string): Promise<void> {
  const folder = await mkdtemp(`${to}.`)
  const sum = (await run(['sha256sum', layer])).split(' ')[0]
  const config = {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: { Env: ['PATH=/bin'], Cmd: command },
    rootfs: { type: 'layers', diff_ids: [`sha256:${sum}`] },
  }
  const manifest = [{ Config: 'config.json', RepoTags: [name], Layers: ['layer.tar'] }]
  await writeFile(join(folder, 'config.json'), JSON.stringify(config))
  await writeFile(join(folder, 'manifest.json'), JSON.stringify(manifest))
  await run(['cp', layer, join(folder, 'layer.tar')])
  await run(['tar', '-C', folder, '-cf', to, 'manifest.json', 'config.json', 'layer.tar'])
  await rm(folder, { recursive: true })
}

/** The same of busybox alone, which needs nothing else; it sleeps. */
export async function writeSleeper(name: string, to: string): Promise<void> {
  const folder = `${to}.layer`
  await mkdir(folder, { recursive: true })
  await run(['cp', '/bin/busybox', join(folder, 'busybox')])
  await run(['tar', '-C', folder, '-cf', `${folder}.tar`, '.'])
  await writeArchive({ name, layer: `${folder}.tar`, command: ['/busybox', 'sleep', '99999999'] }, to)
  await run(['rm', '-r', folder, `${folder}.tar`])
}
