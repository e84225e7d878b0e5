import { join } from 'node:path'
import { recordsIn } from '../bed/records.ts'
import type { Cluster, NodeName } from './cluster.ts'

/** What pods that had these addresses left on a node: routes, elements of the packet filter, records. */
export async function leftOf(
  cluster: Cluster,
  name: NodeName,
  addresses: readonly string[],
): Promise<string[]> {
  const machine = cluster.nodes[name]
  const found = await Promise.all([
    machine.run('ip', 'route', 'show', 'table', 'all'),
    machine.run('nft', '--stateless', 'list', 'table', 'inet', 'tsnet'),
  ])
  const gone = new RegExp(`\\b(${addresses.join('|').replaceAll('.', '\\.')})(?![\\d/])`)
  const records = recordsIn(join(machine.folder, 'var/lib/tsnet'))
  return [...found.flatMap(lines), ...records].filter(line => gone.test(line))
}

/** Links and records of pods that a node has. */
export async function linksOf(cluster: Cluster, name: NodeName): Promise<string[]> {
  const machine = cluster.nodes[name]
  const links = lines(await machine.run('ip', '-o', 'link', 'show'))
  const records = recordsIn(join(machine.folder, 'var/lib/tsnet'))
  return [
    ...links.filter(line => line.includes(' tsv-')),
    ...records.filter(each => each.startsWith('endpoint ')),
  ]
}

const lines = (text: string) =>
  text
    .split('\n')
    .map(line => line.trim())
    .filter(Boolean)
