// What a container runtime waits for: the verbs of tsnet-cni, and Debian's reference plugins (bridge, host-local, portmap) beside it, in turns;
// with whole pods, a plugin besides that does nothing.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import { addNamespace, deleteNamespace, netnsPath, onExit, ownName } from '../test/bed/namespace.ts'
import { CriNode, podConfig } from '../test/cni/containerd.ts'
import { Node, shim } from '../test/cni/node.ts'
import { type Contenders, type Medians, rounds } from './rounds.ts'
import { timed } from './stalls.ts'
import { against, count, median, print } from './table.ts'

const ROUNDS = count('BENCH_ROUNDS', 30, 3)
const TOGETHER = 10
const IN_USE = count('BENCH_IN_USE', 4000, 40)
/** A bridge has no more ports, so that tsnet has as many of those addresses in use as it can have on one. */
const PORTS = 900

type Measured = { makespan: number; jobs: { wall: number; cpu: number; code: number }[] }
type Job = {
  program: string
  config: object
  command: string
  sandbox: number
  env?: Record<string, string>
}

/** Starts programs in a namespace as a runtime does, without Node's own share. */
class Spawner {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>
  readonly #folder: string
  #files = 0

  constructor(namespace: string, folder: string) {
    this.#folder = folder
    mkdirSync(folder, { recursive: true })
    const program = join(folder, 'spawn')
    execFileSync('cc', ['-O2', '-o', program, join(import.meta.dirname, 'spawn.c')])
    this.#child = spawn(program, [netnsPath(namespace)], { stdio: ['pipe', 'pipe', 'inherit'] })
    const reading: Interface = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream })
    this.#lines = reading[Symbol.asyncIterator]()
  }

  /** Milliseconds. */
  async run(jobs: readonly Job[], env: Record<string, string>): Promise<Measured & { outputs: object[] }> {
    const files = jobs.map(() => join(this.#folder, `job-${++this.#files % 64}`))
    const words = jobs.map(({ program, config, command, sandbox, env: own }, i) => {
      writeFileSync(`${files[i]}.in`, JSON.stringify(config))
      const all = {
        PATH: process.env.PATH,
        CNI_PATH: '/usr/lib/cni',
        CNI_COMMAND: command,
        ...env,
        ...subject(sandbox),
        ...own,
      }
      return [
        program,
        `${files[i]}.in`,
        `${files[i]}.out`,
        ...Object.entries(all).map(([k, v]) => `${k}=${v}`),
      ].join('\t')
    })
    this.#child.stdin?.write(`${words.join('\x1f')}\n`)
    const { value } = await this.#lines.next()
    const [makespan = 0, ...rest] = (value as string).split(' ').map(Number)
    const measured = jobs.map((_, i) => ({
      wall: (rest[3 * i] ?? 0) / 1000,
      cpu: (rest[3 * i + 1] ?? 0) / 1000,
      code: rest[3 * i + 2] ?? 0,
    }))
    const outputs = files.map(file => readFileSync(`${file}.out`, 'utf8'))
    const bad = measured.findIndex(({ code }) => code !== 0)
    if (bad >= 0) throw new Error(`${jobs[bad]?.command} of ${jobs[bad]?.program}: ${outputs[bad]}`)
    return {
      makespan: makespan / 1000,
      jobs: measured,
      outputs: outputs.map(text => (text.trim() ? JSON.parse(text) : {})),
    }
  }

  end(): void {
    this.#child.stdin?.end()
  }
}

const sandboxName = (number: number) => ownName(`bench-${number}`)
let generation = 0
const subject = (sandbox: number) => ({
  CNI_CONTAINERID: `g${generation}-${sandbox}`,
  CNI_NETNS: netnsPath(sandboxName(sandbox)),
  CNI_IFNAME: 'eth0',
})

/** CPU of all threads of a process so far, in milliseconds (Documentation/scheduler/sched-stats.rst). */
function cpuOf(pid: number): number {
  const tasks = readdirSync(`/proc/${pid}/task`)
  const spent = tasks.map(task =>
    Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]),
  )
  return spent.reduce((sum, each) => sum + each, 0) / 1e6
}

type Plugin = {
  chain(sandbox: number): { program: string; config: Record<string, unknown> }[]
  env: Record<string, string>
  pid?: number
}

const ports = (sandbox: number) => ({
  runtimeConfig: { portMappings: [{ hostPort: 20000 + sandbox, containerPort: 80, protocol: 'tcp' }] },
})

const tsnet = (node: Node): Plugin => ({
  env: node.env,
  pid: node.pid,
  chain: sandbox => [
    {
      program: shim,
      config: {
        ...{ cniVersion: '1.0.0', name: 'bench', type: 'tsnet-cni' },
        ipam: { type: 'tsnet', subnet: '10.93.0.0/16' },
        ...ports(sandbox),
      },
    },
  ],
})

const reference = (folder: string): Plugin => ({
  env: {},
  chain: sandbox => [
    {
      program: '/usr/lib/cni/bridge',
      config: {
        ...{ cniVersion: '1.0.0', name: 'reference', type: 'bridge', bridge: 'ref0' },
        ...{ isGateway: true, isDefaultGateway: true, ipMasq: true, hairpinMode: true },
        ipam: { type: 'host-local', subnet: '10.94.0.0/16', dataDir: join(folder, 'leases') },
      },
    },
    {
      program: '/usr/lib/cni/portmap',
      config: { cniVersion: '1.0.0', name: 'reference', type: 'portmap', snat: true, ...ports(sandbox) },
    },
  ],
})

type Cost = { wall: number; cpu: number; results: object[] }

/** Each plugin of the chain for all sandboxes at once; the sum of the chain's parts. */
async function verb(
  spawner: Spawner,
  plugin: Plugin,
  command: 'ADD' | 'DEL' | 'STATUS',
  sandboxes: readonly number[],
  results: object[] = [],
): Promise<Cost> {
  const links = plugin.chain(0).length
  const order = Array.from({ length: links }, (_, i) => (command === 'DEL' ? links - 1 - i : i))
  const before = plugin.pid ? cpuOf(plugin.pid) : 0
  let wall = 0
  let cpu = 0
  let last = results
  for (const link of order) {
    const jobs = sandboxes.map((sandbox, i) => {
      const { program, config } = plugin.chain(sandbox)[link] as ReturnType<Plugin['chain']>[number]
      return { program, command, sandbox, config: { ...config, ...(last[i] && { prevResult: last[i] }) } }
    })
    const measured = await spawner.run(jobs, plugin.env)
    wall += measured.makespan
    cpu += measured.jobs.reduce((sum, job) => sum + job.cpu, 0)
    if (command === 'ADD') last = measured.outputs
  }
  if (plugin.pid) cpu += cpuOf(plugin.pid) - before
  return { wall, cpu: cpu / sandboxes.length, results: last }
}

async function alone(spawner: Spawner, plugin: Plugin): Promise<Record<string, number>> {
  generation++
  const add = await verb(spawner, plugin, 'ADD', [0])
  const del = await verb(spawner, plugin, 'DEL', [0], add.results)
  return { ADD: add.wall, 'CPU of ADD': add.cpu, DEL: del.wall, 'CPU of DEL': del.cpu }
}

async function together(spawner: Spawner, plugin: Plugin): Promise<Record<string, number>> {
  generation++
  const sandboxes = Array.from({ length: TOGETHER }, (_, i) => i)
  const add = await verb(spawner, plugin, 'ADD', sandboxes)
  const del = await verb(spawner, plugin, 'DEL', sandboxes, add.results)
  return { [`ADD, ${TOGETHER} at once`]: add.wall, [`DEL, ${TOGETHER} at once`]: del.wall }
}

/** Addresses in use: files of host-local, and containers of tsnet that share one namespace under names of their own. */
async function fill(spawner: Spawner, node: Node): Promise<void> {
  const folder = join(node.folder, 'leases/reference')
  mkdirSync(folder, { recursive: true })
  for (let i = 0; i < IN_USE; i++)
    writeFileSync(join(folder, `10.94.${100 + (i >> 8)}.${i & 255}`), `x${i}\neth0`)
  const [{ program, config } = { program: shim, config: {} }] = tsnet(node).chain(0)
  const plain = { ...config, runtimeConfig: {} }
  for (let first = 0; first < Math.min(IN_USE, PORTS); first += TOGETHER) {
    const jobs = Array.from({ length: TOGETHER }, (_, i) => ({
      ...{ program, config: plain, command: 'ADD', sandbox: TOGETHER },
      env: { CNI_CONTAINERID: `full-${first + i}`, CNI_IFNAME: `e${first + i}` },
    }))
    await spawner.run(jobs, node.env)
  }
}

/** Nothing but an answer. */
const floor: Plugin = {
  env: {},
  chain: () => [{ program: 'floor', config: { cniVersion: '1.0.0', name: 'bench', type: 'floor' } }],
}

/** A whole pod by a real containerd. */
async function pods(): Promise<Medians> {
  const list = (plugin: Plugin) => ({
    cniVersion: '1.0.0',
    name: 'bench',
    plugins: plugin
      .chain(0)
      .map(({ config: { runtimeConfig: _, cniVersion: __, name: ___, ...config } }, i) => ({
        ...config,
        ...(i === plugin.chain(0).length - 1 && { capabilities: { portMappings: true } }),
      })),
  })
  const fake = { env: {}, pid: 0 } as unknown as Node
  const plugins = { tsnet: tsnet(fake), reference: reference('/run/reference'), floor }
  const nodes: Record<string, CriNode> = {}
  try {
    for (const [name, plugin] of Object.entries(plugins)) nodes[name] = await CriNode.up(name, list(plugin))
    const program = nodes.floor?.holder.path('/opt/cni/bin/floor') as string
    execFileSync('cc', ['-O2', '-static', '-o', program, join(import.meta.dirname, 'floor.c')])
    const one = (node: CriNode) => async (): Promise<Record<string, number>> => {
      let pod: { pod_sandbox_id: string } = { pod_sandbox_id: '' }
      const run = await timed(async () => {
        pod = await node.cri('RunPodSandbox', { config: podConfig(28080) })
      })
      const stop = await timed(() => node.cri('StopPodSandbox', pod))
      await node.cri('RemovePodSandbox', pod)
      return { RunPodSandbox: run, StopPodSandbox: stop }
    }
    const contenders = Object.entries(nodes).map(([name, node]) => [name, one(node)])
    return await rounds(Object.fromEntries(contenders) as Contenders, Math.ceil(ROUNDS / 3))
  } finally {
    for (const node of Object.values(nodes)) await node.dispose()
  }
}

async function main(): Promise<void> {
  const node = await Node.up('bench')
  const names = Array.from({ length: TOGETHER + 2 }, (_, i) => sandboxName(i))
  for (const each of names) await addNamespace(each)
  const spawner = new Spawner(node.namespace, join(node.folder, 'bench'))
  const forget = onExit(() => spawner.end())
  try {
    await measure(spawner, node)
  } finally {
    spawner.end()
    forget()
    for (const each of names) await deleteNamespace(each)
    await node.dispose()
  }
}

const targets: Record<string, number> = {
  ADD: 6,
  DEL: 4,
  'CPU of ADD': 4,
  [`ADD, ${TOGETHER} at once`]: 40,
  [`DEL, ${TOGETHER} at once`]: 40,
  STATUS: 2,
  RunPodSandbox: 150,
  StopPodSandbox: 35,
}

async function measure(spawner: Spawner, node: Node): Promise<void> {
  const plugins = { tsnet: tsnet(node), reference: reference(node.folder) }
  const each = (work: (plugin: Plugin) => Promise<Record<string, number>>): Contenders =>
    Object.fromEntries(Object.entries(plugins).map(([name, plugin]) => [name, () => work(plugin)]))
  // Somebody is always there: the first container of a bridge costs more.
  for (const [i, plugin] of Object.values(plugins).entries())
    await verb(spawner, plugin, 'ADD', [TOGETHER + i])
  const single = await rounds(
    each(plugin => alone(spawner, plugin)),
    ROUNDS,
  )
  const ten = await rounds(
    each(plugin => together(spawner, plugin)),
    Math.ceil(ROUNDS / 6),
  )
  const status: number[] = []
  for (let i = 0; i < ROUNDS; i++) status.push((await verb(spawner, plugins.tsnet, 'STATUS', [0])).wall)
  tell('CNI, ms', merged(single, ten), { STATUS: median(status) })
  if (process.env.BENCH_FILL !== '0') {
    await fill(spawner, node)
    tell(
      `with ${IN_USE} addresses in use, ms`,
      await rounds(
        each(plugin => alone(spawner, plugin)),
        Math.ceil(ROUNDS / 3),
      ),
      {},
    )
  }
  tell('a pod by containerd, ms', await pods(), {})
}

const merged = (a: Medians, b: Medians): Medians =>
  Object.fromEntries(Object.keys(a).map(name => [name, { ...a[name], ...b[name] }]))

function tell(title: string, medians: Medians, more: Record<string, number>): void {
  const { tsnet = {}, reference = {}, floor } = medians
  const all = { ...tsnet, ...more }
  print(title, [
    ['', 'tsnet', 'reference', 'ratio', 'promise, ms', ...(floor ? ['floor'] : [])],
    ...Object.entries(all).map(([what, value]) => [
      what,
      value,
      reference[what] ?? Number.NaN,
      reference[what] ? value / reference[what] : Number.NaN,
      targets[what] === undefined ? '' : against(value, targets[what]),
      ...(floor ? [floor[what] ?? Number.NaN] : []),
    ]),
  ])
}

await main()
