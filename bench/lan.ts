// Macvlan networks: what a user of Docker's API waits for, and packets between a container and a machine of the LAN, with tsnet, with
// Docker's own macvlan driver, and for packets with a macvlan link made by hand. One engine, one parent, in turns.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type Docker from 'dockerode'
import type { EngineName } from '../test/bed/engines.ts'
import { type Host, image, startHost } from '../test/bed/host.ts'
import { addNamespace, deleteNamespace, inNamespace, ownName } from '../test/bed/namespace.ts'
import { type Wire, wire } from '../test/bed/wire.ts'
import { compare } from './packets.ts'
import { enter, nameServer, namespace, type Place, serve, stopServers } from './paths.ts'
import { rounds } from './rounds.ts'
import { timed } from './stalls.ts'
import { against, print, quick } from './table.ts'

const ROUNDS = quick ? 3 : 12
const EXCHANGES = quick ? 300 : 3000

/** Contenders, each with a share of the LAN's subnet. `unprobed` doesn't ask the LAN for who has an address. */
const kinds = {
  docker: { driver: 'macvlan', options: {}, gateway: '10.250.0.65', range: '10.250.0.64/28' },
  tsnet: { driver: 'tsnet', options: { mode: 'macvlan' }, gateway: '10.250.0.81', range: '10.250.0.80/28' },
  unprobed: {
    driver: 'tsnet',
    options: { mode: 'macvlan', probe: 'false' },
    gateway: '10.250.0.97',
    range: '10.250.0.96/28',
  },
} as const
type Kind = keyof typeof kinds
const names = Object.keys(kinds) as Kind[]

let subnets = 0
/** On the LAN, or for a network that only comes and goes, in a subnet of its own. */
function options(name: string, kind: Kind, passing: boolean): Docker.NetworkCreateOptions {
  const { driver, options, gateway, range } = kinds[kind]
  const config = passing
    ? { Subnet: `10.99.${subnets++ & 255}.0/24` }
    : { Subnet: '10.250.0.0/24', IPRange: range, Gateway: gateway }
  return {
    Name: name,
    Driver: driver,
    CheckDuplicate: false,
    Options: { parent: 'eth0', ...options },
    IPAM: { Driver: 'default', Config: [config] },
  }
}

async function operate(api: Docker, kind: Kind, runner: Docker.Container): Promise<Record<string, number>> {
  let passing: Docker.Network | undefined
  const create = await timed(async () => {
    passing = await api.createNetwork(options(`passing-${kind}`, kind, true))
  })
  const connect = await timed(async () => passing?.connect({ Container: runner.id }))
  const disconnect = await timed(async () => passing?.disconnect({ Container: runner.id }))
  const remove = await timed(async () => passing?.remove())
  return { create, connect, disconnect, remove }
}

async function control({ api }: Host): Promise<void> {
  const runner = await api.createContainer({ name: 'runner', Image: image, Cmd: ['sleep', '99999999'] })
  await runner.start()
  const each = names.map(kind => [kind, () => operate(api, kind, runner)] as const)
  const medians = await rounds(Object.fromEntries(each), ROUNDS)
  print('Macvlan networks through Docker’s API, ms', [
    ['', ...names, 'tsnet of docker', 'unprobed of docker'],
    ...['create', 'connect', 'disconnect', 'remove'].map(what => {
      const [docker = 0, tsnet = 0, unprobed = 0] = names.map(kind => medians[kind]?.[what])
      return [what, docker, tsnet, unprobed, tsnet / docker, against(unprobed / docker, 1)]
    }),
  ])
}

async function container(host: Host, kind: Kind): Promise<Place> {
  await host.api.createNetwork(options(kind, kind, false))
  await host.docker('run', '--detach', '--name', kind, '--network', kind, image, 'sleep', '99999999')
  const key = await host.docker('inspect', '--format', '{{.NetworkSettings.SandboxKey}}', kind)
  return enter(host.path(key.replace(/^\/var\/run/, '/run')))
}

/** A macvlan link of the kernel alone, in a namespace that has Docker's rules for its name server. */
async function bare(host: Host, name: string): Promise<Place> {
  await addNamespace(name)
  const link = `ip link add link eth0 name bare0 netns ${name} type macvlan mode bridge`
  await inNamespace(host.namespace, ...link.split(' '))
  await inNamespace(name, 'ip', 'address', 'add', '10.250.0.120/24', 'dev', 'bare0')
  await inNamespace(name, 'ip', 'link', 'set', 'bare0', 'up')
  for (const rule of nameServer) await inNamespace(name, 'iptables', '-t', 'nat', ...rule.split(' '))
  return namespace(name)
}

async function packets(host: Host, { outside }: Wire, other: string, helper: string): Promise<void> {
  const to = outside.ipv4
  await serve(namespace(outside.namespace), helper)
  const paths = {
    'bare macvlan': { from: await bare(host, other), to },
    docker: { from: await container(host, 'docker'), to },
    tsnet: { from: await container(host, 'tsnet'), to },
  }
  const peers = [
    { name: 'bare macvlan', promise: 0.97 },
    { name: 'docker', promise: 0.97 },
  ]
  await compare('Container to a machine of the LAN', paths, peers, { helper, times: EXCHANGES }, ROUNDS)
}

const folder = mkdtempSync(join(tmpdir(), 'ts-bench-'))
const exchange = join(folder, 'exchange')
execFileSync('cc', ['-O2', '-pthread', '-o', exchange, join(import.meta.dirname, 'exchange.c')])
const other = ownName('lan-bare')
const host = await startHost({ engine: (process.env.BENCH_ENGINE ?? '20.10') as EngineName, name: 'lan' })
const net = await wire(host)
try {
  await host.tsnetd.start(host.holder)
  await control(host)
  await packets(host, net, other, exchange)
} catch (error) {
  console.error(await host.logs())
  throw error
} finally {
  stopServers()
  await deleteNamespace(other)
  await net.stop()
  await host.stop()
  rmSync(folder, { recursive: true })
}
process.exit()
