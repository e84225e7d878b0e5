// One network over three hosts: Docker Swarm's overlay, tsnet's on the same three engines, and for packets a VXLAN link on a bridge and
// nothing else. How long `network connect` takes, how soon the others reach who was connected, what a packet meets on its way.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type Docker from 'dockerode'
import type { EngineName } from '../test/bed/engines.ts'
import { type Host, image, startHost } from '../test/bed/host.ts'
import { run } from '../test/bed/run.ts'
import { formSwarm } from '../test/bed/swarm.ts'
import { until } from '../test/bed/until.ts'
import { wire } from '../test/bed/wire.ts'
import { BareTunnel } from './baretunnel.ts'
import { compare } from './packets.ts'
import { enter, type Place, serve, stopServers } from './paths.ts'
import { against, count, median, print, quantile, quick } from './table.ts'

const ROUNDS = quick ? 2 : 11
const SAMPLES = count('BENCH_SAMPLES', 50, 3)
const EXCHANGES = quick ? 300 : 2000
const KEY = Buffer.alloc(32, 7).toString('base64')
const KNOWN = { deadline: 60_000 }
/** Milliseconds in which an address has to answer. */
const PATIENCE = 10_000
/** The overlay of Swarm has its usual UDP port. */
const VXLAN_PORT = 4790

const overlays = { swarm: '10.91.0', tsnet: '10.90.0' } as const
type Overlay = keyof typeof overlays
const names = Object.keys(overlays) as Overlay[]

const folder = mkdtempSync(join(tmpdir(), 'ts-bench-'))
const compiled = async (source: string) => {
  const program = join(folder, source)
  await run(['cc', '-O2', '-o', program, join(import.meta.dirname, `${source}.c`)])
  return program
}

const started: { stop(): Promise<void> }[] = []
const keep = <T extends { stop(): Promise<void> }>(thing: T): T => {
  started.unshift(thing)
  return thing
}

const addressOf = (index: number) => `10.250.0.${index + 1}`

/** Three hosts, all of one Swarm and of one cluster of tsnet. */
async function startHosts(engine: EngineName): Promise<[Host, Host, Host]> {
  const indexes = [0, 1, 2]
  const seeds = indexes.map(addressOf).join()
  const hosts: Host[] = []
  for (const index of indexes) {
    const bind = { TSNET_BIND: addressOf(index), TSNET_JOIN: seeds, TSNET_VXLAN_PORT: String(VXLAN_PORT) }
    const tsnetEnv = { TSNET_KEY: KEY, ...bind }
    hosts.push(keep(await startHost({ engine, name: `v${index}`, tsnetEnv })))
  }
  const [first, ...others] = hosts as [Host, Host, Host]
  const net = keep(await wire(first, ...others))
  for (const host of hosts) await host.tsnetd.start(host.holder)
  await formSwarm([first, ...others], 'worker', net)
  return [first, ...others] as [Host, Host, Host]
}

async function createNetworks([first, ...others]: readonly Host[]): Promise<void> {
  const subnet = (overlay: Overlay) => ['--subnet', `${overlays[overlay]}.0/24`]
  await first?.docker('network', 'create', '--driver', 'overlay', '--attachable', ...subnet('swarm'), 'swarm')
  const words = ['--ipam-driver', 'tsnet', '--opt', 'mode=overlay']
  await first?.docker('network', 'create', '--driver', 'tsnet', ...words, ...subnet('tsnet'), 'tsnet')
  for (const host of others)
    await until(
      'the network of tsnet to be everywhere',
      () => host.docker('network', 'inspect', 'tsnet'),
      KNOWN,
    )
}

/** A container and the network namespace it has. */
type Guest = { container: Docker.Container; place: Place }

async function guest(host: Host, name: string, network: string): Promise<Guest> {
  await host.docker('run', '--detach', '--name', name, '--network', network, image, 'sleep', '99999999')
  const key = await host.docker('inspect', '--format', '{{.NetworkSettings.SandboxKey}}', name)
  return {
    container: host.api.getContainer(name),
    place: enter(host.path(key.replace(/^\/var\/run/, '/run'))),
  }
}

const addressIn = async ({ container }: Guest, network: string) =>
  (await container.inspect()).NetworkSettings.Networks[network]?.IPAddress ?? ''

/** Milliseconds since 1970, in fractions. */
const clock = () => performance.timeOrigin + performance.now()

/** When an address answers a place for the first time. Begins once this resolves. */
async function firstReply(helper: string, from: Place, to: string): Promise<{ at: Promise<number> }> {
  const [command = '', ...args] = from(helper, to, String(PATIENCE))
  const child: ChildProcess = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout as NonNullable<typeof child.stdout> })
  await once(lines, 'line')
  const told = new Promise<number>(done => {
    lines.once('line', line => done(Number(line) / 1000)).once('close', () => done(Number.NaN))
  })
  return { at: told }
}

/**
 * A MAC that tells its address, as both drivers' do, put into a neighbour table by hand: a kernel that has asked in vain doesn't ask again
 * for a second, and that would be all we see.
 */
async function introduce(from: Place, to: string): Promise<void> {
  const mac = ['02', '42', ...to.split('.').map(octet => Number(octet).toString(16).padStart(2, '0'))].join(
    ':',
  )
  const link = /dev (\S+)/.exec(await run(from('ip', 'route', 'get', to)))?.[1] ?? ''
  await run(from('ip', 'neighbour', 'replace', to, 'lladdr', mac, 'dev', link, 'nud', 'permanent'))
}

type Stage = {
  /** On the first host; it comes and goes. */
  runner: Guest
  /** On the third host, which has nobody else in the networks; it comes and goes. */
  lonely: Guest
  /** Those who stay: on the first host and on the second. */
  near: Record<Overlay, Guest>
  far: Record<Overlay, Guest>
  hosts: readonly [Host, Host, Host]
}

async function furnish(hosts: readonly [Host, Host, Host]): Promise<Stage> {
  const [a, b, c] = hosts
  const on = async (host: Host, name: string) => ({
    swarm: await guest(host, `${name}-swarm`, 'swarm'),
    tsnet: await guest(host, `${name}-tsnet`, 'tsnet'),
  })
  const [near, far] = [await on(a, 'near'), await on(b, 'far')]
  return {
    runner: await guest(a, 'runner', 'bridge'),
    lonely: await guest(c, 'lonely', 'bridge'),
    near,
    far,
    hosts,
  }
}

/** Addresses beside a guest's, of the sixteen that tsnet gives to a host; which of them, in turns. */
let turn = 0
async function nextAddress(overlay: Overlay, beside: Guest): Promise<string> {
  const octets = (await addressIn(beside, overlay)).split('.').map(Number)
  return [...octets.slice(0, 3), ((octets[3] ?? 0) & ~15) + 6 + (turn++ % 8)].join('.')
}

const connect = (host: Host, overlay: Overlay, { container }: Guest, EndpointConfig = {}) =>
  host.api.getNetwork(overlay).connect({ Container: container.id, EndpointConfig })

const disconnect = (host: Host, overlay: Overlay, { container }: Guest) =>
  host.api.getNetwork(overlay).disconnect({ Container: container.id, Force: true })

/** Milliseconds from the request: to its answer, to the first reply on the same host, to the first reply on another one. */
async function reach(stage: Stage, overlay: Overlay, helper: string): Promise<Record<string, number>> {
  const { runner, near, far, hosts } = stage
  const to = await nextAddress(overlay, near[overlay])
  const places = [near[overlay].place, far[overlay].place]
  for (const place of places) await introduce(place, to)
  const [here, there] = await Promise.all(places.map(place => firstReply(helper, place, to)))
  const begun = clock()
  await connect(hosts[0], overlay, runner, { IPAMConfig: { IPv4Address: to } })
  const answered = clock() - begun
  const [local = 0, remote = 0] = await Promise.all([here?.at, there?.at])
  await disconnect(hosts[0], overlay, runner)
  return { answered, local: local - begun, remote: remote - begun, apart: remote - local }
}

/** Milliseconds of the request on a host that has nobody in the network. */
async function first({ lonely, hosts }: Stage, overlay: Overlay): Promise<number> {
  const begun = clock()
  await connect(hosts[2], overlay, lonely)
  const answered = clock() - begun
  await disconnect(hosts[2], overlay, lonely)
  return answered
}

type Samples = Record<Overlay, Record<string, number>[]>

async function control(stage: Stage): Promise<void> {
  const helper = await compiled('firstreply')
  const seen: Samples = { swarm: [], tsnet: [] }
  for (let sample = 0; sample <= SAMPLES; sample++)
    for (const overlay of sample % 2 ? names : names.toReversed()) {
      const figures = await reach(stage, overlay, helper)
      const alone = sample % 5 === 0 || quick ? { first: await first(stage, overlay) } : {}
      if (sample > 0) seen[overlay].push({ ...figures, ...alone })
    }
  report(seen)
}

function report(seen: Samples): void {
  const of = (overlay: Overlay, what: string) =>
    seen[overlay].flatMap(figures => (figures[what] === undefined ? [] : figures[what]))
  const line = (title: string, what: string, promise?: number) => {
    const [theirs, ours] = [of('swarm', what), of('tsnet', what)]
    const ratio = median(ours) / median(theirs)
    return [
      title,
      ...[theirs, ours].flatMap(values => [median(values), quantile(values, 0.99)]),
      promise === undefined ? '' : against(ratio, promise),
    ]
  }
  print(`\`network connect\`, ms, ${SAMPLES} times`, [
    ['', 'Swarm p50', 'p99', 'tsnet p50', 'p99', 'of Swarm, p50'],
    line('the request, a host with others', 'answered', 0.2),
    line('the request, the first on a host', 'first', 0.1),
    line('first reply on the same host', 'local', 1),
    line('first reply on another host', 'remote', 1),
    line('… after that on the same host', 'apart'),
  ])
  const apart = of('tsnet', 'apart')
  console.log(
    `reached from another host after the own: p50 ${against(median(apart), 5)}, p99 ${against(quantile(apart, 0.99), 30)} ms`,
  )
}

type Ends = { from: Place; server: Place; to: string }

async function packets({ near, far }: Stage, bare: Ends): Promise<void> {
  const helper = await compiled('exchange')
  const ends = async (overlay: Overlay): Promise<Ends> => ({
    from: near[overlay].place,
    server: far[overlay].place,
    to: await addressIn(far[overlay], overlay),
  })
  const contenders: Record<string, Ends> = {
    'bare VXLAN': bare,
    Swarm: await ends('swarm'),
    tsnet: await ends('tsnet'),
  }
  for (const { server } of Object.values(contenders)) await serve(server, helper)
  const probe = join(folder, 'firstreply')
  for (const { from, to } of Object.values(contenders)) await (await firstReply(probe, from, to)).at
  const peers = [
    { name: 'bare VXLAN', promise: 0.97 },
    { name: 'Swarm', promise: 1 },
  ]
  await compare(
    'Container to container on two hosts',
    contenders,
    peers,
    { helper, times: EXCHANGES },
    ROUNDS,
  )
}

try {
  const hosts = await startHosts((process.env.BENCH_ENGINE ?? '20.10') as EngineName)
  await createNetworks(hosts)
  const stage = await furnish(hosts)
  try {
    await control(stage)
    await packets(stage, keep(await BareTunnel.start(hosts[0])))
  } catch (error) {
    for (const host of hosts) console.error(await host.logs())
    throw error
  }
} finally {
  stopServers()
  for (const thing of started) await thing.stop()
  rmSync(folder, { recursive: true })
}
process.exit()
