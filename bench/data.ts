// What packets meet on their way: latency, connecting and throughput with tsnet, with Docker's own bridge (userland proxy on and
// off), and with a bridge and nothing else. Each on an emulated host of its own, in turns, client and server on one CPU.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { EngineName } from '../test/bed/engines.ts'
import { type Host, type HostSettings, image, startHost } from '../test/bed/host.ts'
import { run } from '../test/bed/run.ts'
import { type Wire, wire } from '../test/bed/wire.ts'
import { latency as ofPath, throughput } from './packets.ts'
import { Bare, type Contender, dockerPaths, type Path, serve, stopServers } from './paths.ts'
import { type Medians, rounds } from './rounds.ts'
import { against, count, print, quick } from './table.ts'

const ROUNDS = quick ? 2 : 11
const STREAMS = quick ? 1 : 3
const EXCHANGES = quick ? 300 : 2000
const NETWORKS = count('BENCH_NETWORKS', 100, 5)
const PORTS = count('BENCH_PORTS', 1000, 10)

const folder = mkdtempSync(join(tmpdir(), 'ts-bench-'))
const helper = join(folder, 'exchange')

const latency = (path: Path): Promise<Record<string, number>> => ofPath(path, { helper, times: EXCHANGES })

type Contenders = Record<string, Contender>
const paths = ['pair', 'outside', 'host', 'loopback']
const titles: Record<string, string> = {
  pair: 'container to container',
  outside: 'from outside',
  host: 'from the host, by its address',
  loopback: 'from the host, by 127.0.0.1',
}

async function measure(
  contenders: Contenders,
  times: number,
  one: (path: Path) => Promise<Record<string, number>>,
): Promise<Map<string, Medians>> {
  const found = new Map<string, Medians>()
  for (const path of paths) {
    const able = Object.entries(contenders).flatMap(([name, { paths }]) =>
      paths[path] ? [[name, paths[path]] as const] : [],
    )
    found.set(
      path,
      await rounds(Object.fromEntries(able.map(([name, path]) => [name, () => one(path)])), times),
    )
  }
  return found
}

function report(
  title: string,
  measured: Map<string, Medians>,
  what: string,
  better: 'lower' | 'higher',
): void {
  const names = [...new Set([...measured.values()].flatMap(Object.keys))]
  print(title, [
    ['', ...names, 'tsnet of bare', 'tsnet of Docker'],
    ...[...measured].map(([path, medians]) => {
      const of = (name: string) => medians[name]?.[what] ?? Number.NaN
      const bare = of('tsnet') / of('bare')
      return [
        titles[path] ?? path,
        ...names.map(of),
        // A published port is translated; the bare one isn't there: only frames on a bridge have an equal.
        path === 'pair' && what !== 'stream' ? against(bare, 1.05) : bare,
        against(of('tsnet') / of('docker'), 1, better),
      ]
    }),
  ])
}

async function latencies(title: string, contenders: Contenders): Promise<Map<string, Medians>> {
  const measured = await measure(contenders, ROUNDS, latency)
  report(`${title}: request and response, p50 µs`, measured, 'ask', 'lower')
  report(`${title}: connect, exchange and close, p50 µs`, measured, 'connect', 'lower')
  return measured
}

/** Networks that have no container still have their rules. */
async function moreNetworks(host: Host, driver: string): Promise<void> {
  for (let number = 1; number < NETWORKS; number++)
    await host.docker(
      'network',
      'create',
      '--driver',
      driver,
      '--subnet',
      `10.80.${number}.0/24`,
      `more-${number}`,
    )
}

const morePorts = (host: Host) =>
  host.docker(
    ...`run --detach --network data --publish 20000-${19999 + PORTS}:20000-${19999 + PORTS}`.split(' '),
    image,
    'sleep',
    '99999999',
  )

function growth(stages: Map<string, Map<string, Medians>>): void {
  const [first] = stages.values()
  const cell = (name: string, path: string, what: string) =>
    [...stages.values()].map(
      stage => (stage.get(path)?.[name]?.[what] ?? Number.NaN) / (first?.get(path)?.[name]?.[what] ?? 1),
    )
  print('Growth: times of what it takes with one network', [
    ['', ...stages.keys()],
    ...['tsnet', 'docker'].flatMap(name =>
      ['pair', 'outside'].flatMap(path =>
        ['ask', 'connect'].map(what => [`${name}, ${titles[path]}, ${what}`, ...cell(name, path, what)]),
      ),
    ),
  ])
}

type Hosts = { tsnet: Host; docker: Host; proxied: Host; wire: Wire }

async function bench({ tsnet, docker, proxied, wire }: Hosts, bare: Contenders): Promise<void> {
  const contenders: Contenders = {
    tsnet: await dockerPaths(tsnet, 'tsnet', wire),
    docker: await dockerPaths(docker, 'bridge', wire),
    'docker with proxy': await dockerPaths(proxied, 'bridge', wire),
    ...bare,
  }
  for (const { server } of Object.values(contenders)) await serve(server, helper)
  const stages = new Map<string, Map<string, Medians>>()
  stages.set('1 network', await latencies('1 network', contenders))
  report(
    '1 network: one TCP stream, Gbit/s',
    await measure(contenders, STREAMS, throughput),
    'stream',
    'higher',
  )
  // Docker's proxy is a process for each port, and doesn't change how the kernel forwards: it stays out of the crowd.
  delete contenders['docker with proxy']
  await Promise.all([moreNetworks(tsnet, 'tsnet'), moreNetworks(docker, 'bridge')])
  stages.set(`${NETWORKS} networks`, await latencies(`${NETWORKS} networks`, contenders))
  await Promise.all([morePorts(tsnet), morePorts(docker)])
  const crowd = `${NETWORKS} networks, ${PORTS} ports`
  stages.set(crowd, await latencies(crowd, contenders))
  growth(stages)
}

const engine = (process.env.BENCH_ENGINE ?? '20.10') as EngineName
const started: { stop(): Promise<void> }[] = []
const keep = <T extends { stop(): Promise<void> }>(thing: T): T => {
  started.unshift(thing)
  return thing
}
const settings = (name: string, proxy: boolean): HostSettings => ({
  engine,
  name,
  daemonJson: { 'userland-proxy': proxy },
})

try {
  await run(['cc', '-O2', '-o', helper, join(import.meta.dirname, 'exchange.c')])
  const tsnet = keep(await startHost(settings('ts', true)))
  const docker = keep(await startHost(settings('dock', false)))
  const proxied = keep(await startHost(settings('prox', true)))
  const net = keep(await wire(tsnet, docker, proxied))
  await tsnet.tsnetd.start(tsnet.holder)
  const bare = {
    bare: keep(await Bare.start(tsnet, net, 1, true)),
    'no br_netfilter': keep(await Bare.start(tsnet, net, 2, false)),
  }
  await bench({ tsnet, docker, proxied, wire: net }, bare)
} finally {
  stopServers()
  for (const thing of started) await thing.stop()
  rmSync(folder, { recursive: true })
}
