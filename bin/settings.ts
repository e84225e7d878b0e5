import { parseArgs } from 'node:util'
import { Refused } from '../core/errors.ts'

type Setting = { env: string; fallback: string; meaning: string; allowed?: readonly string[] }

/** Every setting is an environment variable, for `docker plugin set` and systemd, and a flag, for people. */
export const settings = {
  socket: {
    env: 'TSNET_SOCKET',
    fallback: '/run/docker/plugins/tsnet.sock',
    meaning: 'where Docker finds the driver, comma separated',
  },
  api: {
    env: 'TSNET_API',
    fallback: '/run/tsnet/tsnet.sock',
    meaning: 'where tsnet and tsnet-cni find the daemon',
  },
  state: { env: 'TSNET_STATE', fallback: '/var/lib/tsnet', meaning: 'folder of the durable records' },
  scope: {
    env: 'TSNET_SCOPE',
    fallback: 'local',
    meaning: "`global` makes networks Swarm's, on all nodes; only as a managed plugin",
    allowed: ['local', 'global'],
  },
  docker: {
    env: 'TSNET_DOCKER',
    fallback: '/var/run/docker.sock',
    meaning:
      "Docker's API, to find out what it forgot to tell and to make other hosts' networks; absent is fine",
  },
  bind: {
    env: 'TSNET_BIND',
    fallback: '',
    meaning: 'address and port of gossip, UDP and TCP; else the address of the default route, port 7947',
  },
  vtep: {
    env: 'TSNET_VTEP',
    fallback: '',
    meaning: 'tunnel end point that other hosts send to; else that of TSNET_BIND',
  },
  'vxlan-port': {
    env: 'TSNET_VXLAN_PORT',
    fallback: '4789',
    meaning: "VXLAN's UDP port, the same on every host",
  },
  dns: {
    env: 'TSNET_DNS',
    fallback: '7953',
    meaning: "UDP and TCP port where containers' names across hosts are answered, or off",
  },
  dhcp: {
    env: 'TSNET_DHCP',
    fallback: 'off',
    meaning:
      "on lets networks have their addresses from a LAN's DHCP server; Docker then chooses every container's MAC",
    allowed: ['on', 'off'],
  },
  join: { env: 'TSNET_JOIN', fallback: '', meaning: 'hosts to join, comma separated' },
  key: {
    env: 'TSNET_KEY',
    fallback: '',
    meaning:
      'base64 keys that encrypt gossip, the first one to send with; without one this host keeps to itself',
  },
  'key-file': {
    env: 'TSNET_KEY_FILE',
    fallback: '',
    meaning:
      'file with such keys, which may come later and is followed while it changes; /run/tsnet/key in scope global, where TSNET_KEY is not set',
  },
  node: {
    env: 'TSNET_NODE',
    fallback: '',
    meaning: "name of this host's Node in Kubernetes, for networks that go by its podCIDR",
  },
  'cni-conf': {
    env: 'TSNET_CNI_CONF',
    fallback: '/etc/cni/net.d',
    meaning: "folder of CNI's configurations: networks of nodes are there with them; absent is fine",
  },
  metrics: {
    env: 'TSNET_METRICS',
    fallback: '',
    meaning: 'address where Prometheus finds metrics, port 9177 unless said; off without',
  },
  log: {
    env: 'TSNET_LOG',
    fallback: 'info',
    meaning: 'least level that is logged',
    allowed: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
  },
} as const satisfies Record<string, Setting>

export type Settings = Omit<Record<keyof typeof settings, string>, 'scope'> & { scope: 'local' | 'global' }

/** The parts of a setting that may have several. */
export const list = (text: string): string[] =>
  text
    .split(',')
    .map(each => each.trim())
    .filter(each => each !== '')

/** Flags win over the environment, the environment over the defaults; throws Refused naming what is unknown. */
export function readSettings(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Settings {
  const flags = parse(args)
  const entries = Object.entries<Setting>(settings).map(([name, setting]) => {
    const value = flags[name] ?? (env[setting.env] || setting.fallback)
    if (setting.allowed && !setting.allowed.includes(value))
      throw new Refused(`${setting.env} can't be "${value}": it has to be ${setting.allowed.join(', ')}`)
    return [name, value]
  })
  return Object.fromEntries(entries) as Settings
}

function parse(args: readonly string[]): Record<string, string | undefined> {
  const options = Object.fromEntries(Object.keys(settings).map(name => [name, { type: 'string' as const }]))
  try {
    return parseArgs({ args: [...args], options, strict: true }).values as Record<string, string | undefined>
  } catch (error) {
    throw new Refused(`${(error as Error).message.split('.')[0]}; known are ${usage()}`)
  }
}

const usage = () =>
  Object.keys(settings)
    .map(name => `--${name}`)
    .join(', ')
