// What a user of Docker's API waits for: networks, connections and starts with tsnet, with Docker's own bridge driver, and with
// the floor, a driver that answers at once. One engine, in turns.
import { spawn } from 'node:child_process'
import { join, resolve } from 'node:path'
import type Docker from 'dockerode'
import type { EngineName } from '../test/bed/engines.ts'
import { type Host, image, startHost } from '../test/bed/host.ts'
import { until } from '../test/bed/until.ts'
import { Line } from './line.ts'
import { type Contenders, type Medians, rounds } from './rounds.ts'
import { timed } from './stalls.ts'
import { against, count, print, quick } from './table.ts'

const ROUNDS = quick ? 3 : 12
/** A start costs Docker a second, and networks little of it. */
const STARTS = quick ? 1 : 4
const FEW = count('BENCH_FEW', 100, 10)
/** 500 endpoints come from 100 containers with five networks each: a container costs Docker much more than an endpoint. */
const MANY = count('BENCH_MANY', 500, 20)
const SHARE = 5
const NETWORKS = count('BENCH_NETWORKS', 100, 10)

const drivers = ['bridge', 'tsnet', 'floor'] as const
type Driver = (typeof drivers)[number]
const promises: Record<string, number> = { create: 0.4, remove: 0.4, connect: 0.7, disconnect: 0.6 }
const operations = ['create', 'remove', 'connect', 'disconnect', 'start']

let subnets = 0
function networkOptions(name: string, driver: Driver): Docker.NetworkCreateOptions {
  const number = subnets++
  const Subnet = `10.${100 + (number >> 8)}.${number & 255}.0/24`
  return {
    Name: name,
    Driver: driver,
    CheckDuplicate: false,
    IPAM: { Driver: 'default', Config: [{ Subnet }] },
  }
}

const makeNetwork = (api: Docker, name: string, driver: Driver) =>
  api.createNetwork(networkOptions(name, driver))

/** Its networks' names come after `bridge`, so that connecting never moves the container's gateway. */
async function makeContainer(api: Docker, name: string, network?: string): Promise<Docker.Container> {
  return api.createContainer({
    name,
    Image: image,
    Cmd: ['sleep', '99999999'],
    HostConfig: network ? { NetworkMode: network } : {},
  })
}

/** Every operation of networks once, on one that many others may be on. */
async function operate(
  api: Docker,
  driver: Driver,
  runner: Docker.Container,
): Promise<Record<string, number>> {
  let passing: Docker.Network | undefined
  const create = await timed(async () => {
    passing = await makeNetwork(api, `t-${driver}-passing`, driver)
  })
  const remove = await timed(async () => passing?.remove())
  const network = api.getNetwork(home(driver))
  const connect = await timed(() => network.connect({ Container: runner.id }))
  const disconnect = await timed(() => network.disconnect({ Container: runner.id }))
  return { create, remove, connect, disconnect }
}

async function start(api: Docker, driver: Driver): Promise<Record<string, number>> {
  const container = await makeContainer(api, `passing-${driver}`, home(driver))
  const milliseconds = await timed(() => container.start())
  await container.remove({ force: true })
  return { start: milliseconds }
}

const home = (driver: Driver, number = 0) => `t-${driver}-${number}`

/** More containers, each with an endpoint on `SHARE` networks of both real drivers. */
async function crowd(api: Docker, from: number, to: number): Promise<void> {
  const numbers = Array.from({ length: Math.max(0, to - from) / SHARE }, (_, i) => from / SHARE + i)
  const queue = [...numbers]
  const work = async () => {
    for (let number = queue.shift(); number !== undefined; number = queue.shift()) {
      const container = await makeContainer(api, `crowd-${number}`, home('tsnet'))
      await container.start()
      for (const driver of ['bridge', 'tsnet'] as const)
        for (let i = driver === 'tsnet' ? 1 : 0; i < SHARE; i++)
          await api.getNetwork(home(driver, i)).connect({ Container: container.id })
    }
  }
  await Promise.all([work(), work()])
}

async function manyNetworks(api: Docker): Promise<void> {
  for (let number = SHARE; number < NETWORKS; number++)
    for (const driver of drivers) await makeNetwork(api, home(driver, number), driver)
}

async function startFloor(host: Host): Promise<Line> {
  const inside = '/run/docker/plugins/floor.sock'
  const project = resolve(import.meta.dirname, '..')
  const argv = [join(project, 'dist/node'), join(import.meta.dirname, 'floor.js'), inside, '8']
  const [command = '', ...args] = host.enter(...argv)
  spawn(command, args, {
    stdio: 'inherit',
    env: { ...process.env, LD_LIBRARY_PATH: join(project, 'dist/lib') },
  })
  return until('the floor to listen', () => Line.open(host.path(inside)))
}

function report(title: string, measured: Medians): void {
  const of = (driver: Driver, operation: string) => measured[driver]?.[operation] ?? Number.NaN
  print(title, [
    ['', ...drivers.map(driver => `${driver} ms`), 'tsnet of bridge', 'tsnet of floor'],
    ...operations.map(operation => {
      const [bridge = 0, tsnet = 0, floor = 0] = drivers.map(driver => of(driver, operation))
      const promise = promises[operation]
      const ratio = tsnet / bridge
      return [
        operation,
        bridge,
        tsnet,
        floor,
        promise ? against(ratio, promise) : ratio,
        against(tsnet / floor, 1.2),
      ]
    }),
  ])
}

function reportGrowth(stages: Map<string, Medians>): void {
  const [first] = stages.values()
  print('Growth of tsnet: times of what it takes with no endpoint', [
    ['', ...stages.keys()],
    ...operations.map(operation => [
      operation,
      ...[...stages.values()].map(
        measured => (measured.tsnet?.[operation] ?? 0) / (first?.tsnet?.[operation] ?? 0),
      ),
    ]),
  ])
}

async function bench(host: Host): Promise<void> {
  const { api } = host
  await host.tsnetd.start(host.holder)
  const floor = await startFloor(host)
  for (const driver of drivers)
    for (let i = 0; i < SHARE; i++) await makeNetwork(api, home(driver, i), driver)
  const runner = await makeContainer(api, 'runner')
  await runner.start()
  const stages = new Map<string, Medians>()
  const stage = async (name: string) => {
    const each = (work: (driver: Driver) => Promise<Record<string, number>>): Contenders => ({
      bridge: () => work('bridge'),
      tsnet: () => work('tsnet'),
      floor: async () => {
        await floor.ask('Floor.Refill')
        return work('floor')
      },
    })
    const wired = await rounds(
      each(driver => operate(api, driver, runner)),
      ROUNDS,
    )
    const started = await rounds(
      each(driver => start(api, driver)),
      STARTS,
    )
    const all = Object.fromEntries(drivers.map(driver => [driver, { ...wired[driver], ...started[driver] }]))
    stages.set(name, all)
    report(`Docker ${host.settings.engine}, ${name}`, all)
  }
  await stage('0 endpoints')
  await crowd(api, 0, FEW)
  await stage(`${FEW} endpoints`)
  await crowd(api, FEW, MANY)
  await stage(`${MANY} endpoints`)
  await manyNetworks(api)
  await stage(`${MANY} endpoints, ${NETWORKS} networks`)
  reportGrowth(stages)
  floor.close()
}

const engine = (process.env.BENCH_ENGINE ?? '20.10') as EngineName
const host = await startHost({ engine, name: 'control' })
try {
  await bench(host)
} catch (error) {
  console.error(await host.logs())
  throw error
} finally {
  await host.stop()
}
