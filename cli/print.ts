import type { Endpoint, FdbLine, Forgotten, Keys, Member, Network, Plan, Status } from './answers.ts'
import { duration, plural, table } from './table.ts'

/** Answers of the daemon as people read them. */

export function status({
  version,
  uptime,
  state,
  complaint,
  modes,
  docker,
  counts,
  cluster,
  alone,
}: Status): string {
  const { networks, endpoints, pools, addresses } = counts
  const lines = [
    ['tsnetd', `${version}, up ${duration(uptime)}`],
    ['modes', modes.join(', ')],
    [
      'records',
      `${state}: ${plural(networks, 'network')}, ${plural(endpoints, 'endpoint')}, ${plural(pools, 'pool')}, ${addresses} addresses`,
    ],
    ...(complaint ? [['trouble', complaint]] : []),
    [
      'docker',
      docker.version ? `${docker.version} at ${docker.socket}` : `${docker.socket}: ${docker.trouble}`,
    ],
  ]
  return pairs([...lines, ...(cluster ? clusterLines(cluster) : [['cluster', `none: ${alone}`]])])
}

function clusterLines({
  host,
  bind,
  tunnel,
  members,
  complete,
  keys,
}: NonNullable<Status['cluster']>): string[][] {
  return [
    ['host', host],
    ['gossip', `${bind}, ${plural(keys, 'key')}`],
    ['tunnel', `${tunnel.ends.join(', ')}, UDP port ${tunnel.port}, MTU ${tunnel.mtu}`],
    [
      'members',
      `${members.alive} of ${members.known} alive${complete ? '' : '; what the others know was not heard yet'}`,
    ],
  ]
}

const pairs = (lines: readonly (readonly string[])[]): string => {
  const width = Math.max(...lines.map(([word = '']) => word.length))
  return lines.map(([word = '', text]) => `${word.padEnd(width)}  ${text}`).join('\n')
}

export const members = (all: readonly Member[]): string =>
  table(
    ['NAME', 'STATE', 'ADDRESS', 'TUNNEL', 'TABLE', 'HOST'],
    all.map(each => [
      each.name,
      each.state,
      each.address,
      each.tunnel.join(','),
      each.state === 'self'
        ? ''
        : each.agreed === undefined
          ? 'not compared'
          : `equal ${duration(each.agreed)} ago`,
      each.host,
    ]),
    'No cluster: tsnet status tells why.',
  )

export const networks = (all: readonly Network[]): string =>
  table(
    ['NAME', 'MODE', 'SUBNETS', 'VNI', 'HERE', 'ELSEWHERE', 'HOSTS', 'ID'],
    all.map(each => [
      each.name ?? '',
      each.internal ? `${each.mode}, internal` : each.mode,
      each.subnets.join(','),
      each.vni === undefined ? '' : String(each.vni),
      String(each.here),
      String(each.elsewhere),
      each.hosts.join(','),
      each.id.slice(0, 12),
    ]),
    'No networks.',
  )

export const endpoints = (all: readonly Endpoint[]): string =>
  table(
    ['NETWORK', 'CONTAINER', 'ADDRESSES', 'MAC', 'HOST', 'PORTS', 'ID'],
    all.map(each => [
      each.network,
      each.container ?? '',
      [...each.addresses, ...(each.refused ?? []).map(lost)].join(','),
      each.mac,
      each.tunnel ? `${each.host} (${each.tunnel})` : each.host,
      each.published.join(','),
      each.id.slice(0, 12),
    ]),
    'No endpoints.',
  )

const lost = ({ address, keeper }: NonNullable<Endpoint['refused']>[number]) => `(${address} is ${keeper}'s)`

const SIGNS = { same: ' ', missing: '-', extra: '+', contested: '!' } as const

export function fdb(all: readonly FdbLine[]): string {
  if (all.length === 0) return 'No entries: no overlay network has endpoints here and elsewhere.'
  const rows = all.filter(({ state }) => state !== 'contested').length
  const different = all.filter(({ state }) => state === 'missing' || state === 'extra').length
  const lines = all.map(({ network, line, state }) => `${SIGNS[state]} ${network}  ${line}`)
  const verdict =
    different === 0
      ? `${plural(rows, 'line')}, kernel and table agree.`
      : `${different} of ${plural(rows, 'line')} differ: - is not in the kernel, + is not in the table.`
  return [...lines, verdict].join('\n')
}

export const plan = ({ steps }: Plan): string =>
  steps.length === 0 ? 'Nothing to do: the kernel is as it should be.' : steps.join('\n')

export const forgotten = ({ host, name }: Forgotten): string =>
  `Host ${name} (${host}) is forgotten. Its addresses pass on to this host once all others know; it may come back only as a new one.`

export function keys({ keys: all, hosts, trouble }: Keys): string {
  const rows = all.map(({ key, hosts: having, primary }) => [
    key,
    `${having} of ${hosts}`,
    `${primary} of ${hosts}`,
  ])
  const lines = [table(['KEY', 'INSTALLED', 'USED'], rows, 'No keys.')]
  for (const { host, reason } of trouble) lines.push(`${host}: ${reason}`)
  return lines.join('\n')
}
