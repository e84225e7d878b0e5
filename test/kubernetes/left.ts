import { join } from 'node:path'
import { recordsIn } from '../bed/records.ts'
import type { Cluster, NodeName } from './cluster.ts'

/** What pods left on a node: links, routes, elements of the packet filter, records. The gateway's address is the network's. */
export async function leftOn(cluster: Cluster, name: NodeName): Promise<string[]> {
  const machine = cluster.nodes[name]
  const [links, routes, rules] = await Promise.all([
    machine.run('ip', '-o', 'link', 'show'),
    machine.run('ip', 'route', 'show', 'proto', '116'),
    machine.run('nft', '--stateless', 'list', 'table', 'inet', 'tsnet'),
  ])
  const records = recordsIn(join(machine.folder, 'var/lib/tsnet'))
  return [
    ...lines(links).filter(line => /\bts[a-z]-/.test(line)),
    ...lines(routes),
    ...lines(rules).filter(line => line.includes('10.93.')),
    ...records.filter(each => /^(endpoint|lease) /.test(each) && !each.endsWith('/10.93.0.1')),
  ]
}

const lines = (text: string) =>
  text
    .split('\n')
    .map(line => line.trim())
    .filter(Boolean)
