import { type ChildProcess, spawn } from 'node:child_process'
import { type Host, image } from '../test/bed/host.ts'
import {
  addNamespace,
  deleteNamespace,
  inNamespace,
  netnsPath,
  onExit,
  ownName,
} from '../test/bed/namespace.ts'
import { run } from '../test/bed/run.ts'
import { until } from '../test/bed/until.ts'
import type { Wire } from '../test/bed/wire.ts'

/** Port of the exchange server and of iperf3 in every container; published at the same number. */
export const EXCHANGE = 700
export const IPERF = 701

/** The network that a command runs in: arguments that lead there. Everything else is the machine's. */
export type Place = (...argv: string[]) => string[]
/** From where, to which address. */
export type Path = { from: Place; to: string }
/** A server, and the ways to it by name. */
export type Contender = { server: Place; paths: Record<string, Path> }

export const enter =
  (file: string): Place =>
  (...argv) => ['nsenter', `--net=${file}`, ...argv]
export const namespace = (name: string) => enter(netnsPath(name))

const servers = new Set<ChildProcess>()

/** Starts both servers; they end with this process. */
export async function serve(place: Place, exchange: string): Promise<void> {
  const argvs = [
    [exchange, 'serve', String(EXCHANGE)],
    ['iperf3', '--server', '--port', String(IPERF)],
  ]
  for (const [command = '', ...args] of argvs.map(argv => place(...argv)))
    servers.add(spawn('setpriv', ['--pdeathsig=KILL', command, ...args], { stdio: 'ignore' }))
  for (const port of [EXCHANGE, IPERF])
    await until(`port ${port} to be served`, () => run(place('ss', '-Hlt', `sport = ${port}`)))
}

export function stopServers(): void {
  for (const server of servers) server.kill('SIGKILL')
}
onExit(stopServers)

/** Two containers on a network of a driver; the servers' ports are published. */
export async function dockerPaths(
  host: Host,
  driver: string,
  { outside, address }: Wire,
): Promise<Contender> {
  const publish = [EXCHANGE, IPERF].flatMap(port => ['--publish', `${port}:${port}`])
  await host.docker('network', 'create', '--driver', driver, '--subnet', '10.77.0.0/24', 'data')
  const start = async (name: string, ...options: string[]) => {
    const idle = ['--detach', '--network', 'data', ...options, image, 'sleep', '99999999']
    await host.docker('run', '--name', name, ...idle)
    const key = await host.docker('inspect', '--format', '{{.NetworkSettings.SandboxKey}}', name)
    return enter(host.path(key.replace(/^\/var\/run/, '/run')))
  }
  const server = await start('server', ...publish)
  const client = await start('client')
  const inside = '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}'
  const here = namespace(host.namespace)
  return {
    server,
    paths: {
      pair: { from: client, to: await host.docker('inspect', '--format', inside, 'server') },
      outside: { from: namespace(outside.namespace), to: address(host) },
      host: { from: here, to: address(host) },
      loopback: { from: here, to: '127.0.0.1' },
    },
  }
}

/**
 * What every container of Docker's has in its own namespace, for its name server, whatever network it is on. With it come connection
 * tracking and NAT inside the container.
 */
export const nameServer = [
  '-N DOCKER_OUTPUT',
  '-N DOCKER_POSTROUTING',
  '-A OUTPUT -d 127.0.0.11/32 -j DOCKER_OUTPUT',
  '-A POSTROUTING -d 127.0.0.11/32 -j DOCKER_POSTROUTING',
  '-A DOCKER_OUTPUT -d 127.0.0.11/32 -p tcp -m tcp --dport 53 -j DNAT --to-destination 127.0.0.11:40001',
  '-A DOCKER_OUTPUT -d 127.0.0.11/32 -p udp -m udp --dport 53 -j DNAT --to-destination 127.0.0.11:40002',
  '-A DOCKER_POSTROUTING -s 127.0.0.11/32 -p tcp -m tcp --sport 40001 -j SNAT --to-source :53',
  '-A DOCKER_POSTROUTING -s 127.0.0.11/32 -p udp -m udp --sport 40002 -j SNAT --to-source :53',
]

/**
 * The same shape by the kernel alone: two ends on a bridge and a router on the same wire, no rule on the way. There is no
 * published port: outside and the host send to the container's own address.
 */
export class Bare implements Contender {
  readonly server: Place
  readonly paths: Record<string, Path>
  readonly #names: string[]

  private constructor(names: string[], subnet: string, outside: string) {
    const [host = '', server = '', client = ''] = names
    const to = `${subnet}.2`
    this.#names = names
    this.server = namespace(server)
    this.paths = {
      pair: { from: namespace(client), to },
      outside: { from: namespace(outside), to },
      host: { from: namespace(host), to },
    }
  }

  /** `number` tells several apart. With `netfilter`, frames on the bridge pass the hooks of IP, as on a Docker host. */
  static async start(first: Host, { outside }: Wire, number: number, netfilter: boolean): Promise<Bare> {
    const names = ['host', 'server', 'client'].map(name => ownName(`bare${number}-${name}`))
    const [host = '', ...ends] = names
    const subnet = `10.78.${number}`
    for (const name of names) await addNamespace(name)
    const ip = (...words: string[]) => inNamespace(host, 'ip', ...words)
    await ip('link', 'add', 'br0', 'type', 'bridge')
    for (const [at, end] of ends.entries()) {
      await plug(host, `port${at}`, end, `${subnet}.${2 + at}/24`)
      await ip('link', 'set', `port${at}`, 'master', 'br0')
      await inNamespace(end, 'ip', 'route', 'add', 'default', 'via', `${subnet}.1`)
      for (const rule of nameServer) await inNamespace(end, 'iptables', '-t', 'nat', ...rule.split(' '))
    }
    await ip('address', 'add', `${subnet}.1/24`, 'dev', 'br0')
    await ip('link', 'set', 'br0', 'up')
    const wire = ownName(`wire-${first.settings.name}`)
    await plug(wire, `bare${number}`, host, `10.250.0.${200 + number}/24`)
    await inNamespace(wire, 'ip', 'link', 'set', `bare${number}`, 'master', 'br0')
    await outside.exec('ip', 'route', 'add', `${subnet}.0/24`, 'via', `10.250.0.${200 + number}`)
    const nf = `net.bridge.bridge-nf-call-iptables=${Number(netfilter)}`
    await inNamespace(host, 'sysctl', '-qw', 'net.ipv4.ip_forward=1', nf)
    return new Bare(names, subnet, outside.namespace)
  }

  async stop(): Promise<void> {
    for (const name of this.#names) await deleteNamespace(name)
  }
}

/** A veth from one namespace to `eth0` of another. */
async function plug(from: string, port: string, to: string, address: string): Promise<void> {
  await inNamespace(
    from,
    'ip',
    'link',
    'add',
    port,
    'up',
    'type',
    'veth',
    'peer',
    'name',
    'eth0',
    'netns',
    to,
  )
  await inNamespace(to, 'ip', 'address', 'add', address, 'dev', 'eth0')
  await inNamespace(to, 'ip', 'link', 'set', 'eth0', 'up')
}
