import type { Member } from '../../cli/answers.ts'
import { type Agent, endpointText } from '../../gossip/index.ts'
import { endpointOf, kinds, type Table } from '../../vxlan-fdb/index.ts'
import { macText, toText } from './addresses.ts'
import { tunnelEnds } from './others.ts'

/** An endpoint on another host, as the table has it. */
export type Elsewhere = {
  /** What all hosts call its network. */
  network: string
  id: string
  mac: string
  addresses: string[]
  host: string
  tunnel?: string
}

/** This host first, then the others by name; those that gossip has given up too, while their records are kept. */
export function membersOf(
  table: Table,
  agent: Agent,
  nameOf: (host: string) => string,
  now: number,
): Member[] {
  const heard = [...table.logs.values()].flatMap(log => (log.key ? log.origin : []))
  const hosts = [...new Set([...agent.members().map(({ name }) => name), ...heard])]
  return hosts
    .map(host => memberOf(table, agent, nameOf, now, host))
    .sort((a, b) => Number(b.state === 'self') - Number(a.state === 'self') || a.name.localeCompare(b.name))
}

function memberOf(
  table: Table,
  agent: Agent,
  nameOf: (host: string) => string,
  now: number,
  host: string,
): Member {
  const member = agent.member(host)
  const agreed = table.members.get(host)?.agreed ?? Number.NEGATIVE_INFINITY
  return {
    name: nameOf(host),
    host,
    address: member ? endpointText(member.endpoint) : '',
    state: host === table.origin ? 'self' : (member?.status ?? 'lost'),
    incarnation: member?.incarnation ?? 0,
    tunnel: tunnelEnds(table, host),
    ...(Number.isFinite(agreed) && { agreed: Math.max(0, Math.round((now - agreed) / 1000)) }),
  }
}

export function endpointsElsewhere(table: Table, nameOf: (host: string) => string): Elsewhere[] {
  return [...table.rows()].flatMap(({ network, kind, key, origin, value }) => {
    const found = kind === kinds.endpoint && origin !== table.origin ? endpointOf(value) : undefined
    if (!found) return []
    const [tunnel] = tunnelEnds(table, origin)
    const addresses = [found.ip4, found.ip6].flatMap(ip => (ip ? [toText(ip)] : []))
    return [
      {
        network,
        id: key,
        mac: macText(found.mac),
        addresses,
        host: nameOf(origin),
        ...(tunnel && { tunnel }),
      },
    ]
  })
}
