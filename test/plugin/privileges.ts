import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'

export const project = resolve(import.meta.dirname, '../..')

export type Config = {
  network: { type: string }
  mounts: { source: string }[]
  linux: { capabilities: string[] }
  env: { name: string; description: string; value: string; settable?: string[] }[]
  interface: { types: string[]; socket: string }
}

export const config: Config = JSON.parse(readFileSync(resolve(project, 'config.json'), 'utf8'))

/** What `docker plugin install` asks about, as it prints it (docker/cli `cli/command/plugin/install.go`). */
export function prompt(name: string): string {
  const { network, mounts, linux } = config
  return [
    `Plugin "${name}" is requesting the following privileges:`,
    ` - network: [${network.type}]`,
    ...mounts.map(({ source }) => ` - mount: [${source}]`),
    ` - capabilities: [${linux.capabilities.join(' ')}]`,
    'Do you grant the above permissions? [y/N] y',
  ].join('\n')
}
