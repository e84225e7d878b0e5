import type { Host } from './host.ts'
import { addNamespace, deleteNamespace, inNamespace, netnsPath, ownName } from './namespace.ts'
import { attempt, type Result, type RunOptions, run } from './run.ts'

/** The network the hosts share: 10.250.0.0/24 and fd00:250::/64. */
export type Wire = {
  outside: Outside
  /** Address of a host on it. */
  address(host: Host, family?: 4 | 6): string
  stop(): Promise<void>
}

/** A machine beyond the hosts; their default route leads to it. It borrows the tools of the first host. */
export class Outside {
  readonly namespace: string
  readonly ipv4 = '10.250.0.254'
  readonly ipv6 = 'fd00:250::fe'
  /** Addresses that are reached by the default route only, as the rest of the world is. */
  readonly far4 = '198.51.100.1'
  readonly far6 = '2001:db8::1'
  readonly #tools: () => Host

  constructor(namespace: string, tools: () => Host) {
    this.namespace = namespace
    this.#tools = tools
  }

  /** Arguments that put a command on this machine. */
  enter(...argv: string[]): string[] {
    const { pid } = this.#tools().holder
    return ['nsenter', `--target=${pid}`, '--mount', `--net=${netnsPath(this.namespace)}`, ...argv]
  }

  exec(...argv: string[]): Promise<string> {
    return run(this.enter(...argv))
  }

  attempt(argv: string[], options?: RunOptions): Promise<Result> {
    return attempt(this.enter(...argv), options)
  }
}

/** Joins hosts and an outside machine by a bridge in a namespace of its own. A host that reboots is plugged in again. */
export async function wire(first: Host, ...others: Host[]): Promise<Wire> {
  const hosts = [first, ...others]
  const bridge = ownName(`wire-${first.settings.name}`)
  const outside = new Outside(ownName(`outside-${first.settings.name}`), () => first)
  const remove = async () => {
    await deleteNamespace(outside.namespace)
    await deleteNamespace(bridge)
  }
  await addNamespace(bridge)
  await inNamespace(bridge, 'ip', 'link', 'add', 'br0', 'type', 'bridge')
  await inNamespace(bridge, 'ip', 'link', 'set', 'br0', 'up')
  await addNamespace(outside.namespace)
  await plug(bridge, outside.namespace, 'outside', macOf(254), [`${outside.ipv4}/24`, `${outside.ipv6}/64`])
  for (const far of [`${outside.far4}/32`, `${outside.far6}/128`])
    await inNamespace(outside.namespace, 'ip', 'address', 'add', far, 'dev', 'lo')
  for (const [index, host] of hosts.entries()) await plugHost(bridge, outside, host, index + 1)
  const number = (host: Host) => hosts.indexOf(host) + 1
  return {
    outside,
    address: (host, family = 4) => (family === 4 ? `10.250.0.${number(host)}` : `fd00:250::${number(host)}`),
    stop: remove,
  }
}

async function plugHost(bridge: string, outside: Outside, host: Host, number: number): Promise<void> {
  const connect = async () => {
    await plug(bridge, host.namespace, `host${number}`, macOf(number), [
      `10.250.0.${number}/24`,
      `fd00:250::${number}/64`,
    ])
    await inNamespace(host.namespace, 'ip', '-4', 'route', 'add', 'default', 'via', outside.ipv4)
    await inNamespace(host.namespace, 'ip', '-6', 'route', 'add', 'default', 'via', outside.ipv6)
  }
  await connect()
  host.onBoot.push(async () => {
    // The kernel takes a namespace apart at leisure; until then its cable hangs there.
    await attempt(['nsenter', `--net=${netnsPath(bridge)}`, 'ip', 'link', 'delete', `host${number}`])
    await connect()
  })
}

/** As a network card's, the same after a reboot: the neighbours' caches stay right. */
const macOf = (number: number) => `02:fa:00:00:00:${number.toString(16).padStart(2, '0')}`

/** A veth from the bridge to `eth0` of a namespace. */
export async function plug(
  bridge: string,
  namespace: string,
  port: string,
  mac: string,
  addresses: string[],
  master = 'br0',
): Promise<void> {
  const veth = [
    'ip',
    'link',
    'add',
    port,
    'type',
    'veth',
    'peer',
    'name',
    'eth0',
    'address',
    mac,
    'netns',
    namespace,
  ]
  await inNamespace(bridge, ...veth)
  await inNamespace(bridge, 'ip', 'link', 'set', port, 'master', master, 'up')
  // Without duplicate address detection an IPv6 address serves at once.
  for (const address of addresses)
    await inNamespace(
      namespace,
      'ip',
      'address',
      'add',
      address,
      'dev',
      'eth0',
      ...(address.includes(':') ? ['nodad'] : []),
    )
  await inNamespace(namespace, 'ip', 'link', 'set', 'eth0', 'up')
}
