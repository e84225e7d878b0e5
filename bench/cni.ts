// What a container runtime waits for: the verbs of tsnet-cni, and Debian's reference plugins (bridge, host-local, portmap) beside it, in turns.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import { addNamespace, deleteNamespace, netnsPath, onExit, ownName } from '../test/bed/namespace.ts'
import { Node, shim } from '../test/cni/node.ts'
import { type Contenders, type Medians, rounds } from './rounds.ts'
import { against, count, median, print, quick } from './table.ts'

const ROUNDS = count('BENCH_ROUNDS', 30, 3)
const TOGETHER = 10
const IN_USE = count('BENCH_IN_USE', 4000, 40)

type Measured = { makespan: number; jobs: { wall: number; cpu: number; code: number }[] }
type Job = { program: string; config: object; command: string; sandbox: number }

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
    const words = jobs.map(({ program, config, command, sandbox }, i) => {
      writeFileSync(`${files[i]}.in`, JSON.stringify(config))
      const all = { PATH: process.env.PATH, CNI_PATH: '/usr/lib/cni', CNI_COMMAND: command, ...env, ...subject(sandbox) }
      return [program, `${files[i]}.in`, `${files[i]}.out`, ...Object.entries(all).map(([k, v]) => `${k}=${v}`)].join('\t')
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
  const spent = tasks.map(task => Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]))
  return spent.reduce((sum, each) => sum + each, 0) / 1e6
}

type Plugin = { chain(sandbox: number): { program: string; config: Record<string, unknown> }[]; env: Record<string, string>; pid?: number }

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

/** Addresses that are given to nobody: files of host-local, and attachments whose namespaces are gone, of tsnet. */
async function fill(spawner: Spawner, node: Node, plugin: Plugin): Promise<void> {
  const folder = join(node.folder, 'leases/reference')
  mkdirSync(folder, { recursive: true })
  for (let i = 0; i < IN_USE; i++) writeFileSync(join(folder, `10.94.${100 + (i >> 8)}.${i & 255}`), `x${i}\neth0`)
  const config = { ...plugin.chain(0)[0]?.config, runtimeConfig: {} }
  for (let first = 0; first < IN_USE; first += 40) {
    const jobs = Array.from({ length: 40 }, (_, i) => first + i).map(number => ({
      ...{ program: shim, command: 'ADD', sandbox: 0, config },
      number,
    }))
    await spawner.run(jobs, { ...node.env, FILL: '1' })
  }
}

async function main(): Promise<void> {
  const node = await Node.up('bench')
  const names = Array.from({ length: TOGETHER }, (_, i) => sandboxName(i))
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
}

async function measure(spawner: Spawner, node: Node): Promise<void> {
  const plugins = { tsnet: tsnet(node), reference: reference(node.folder) }
  const each = (work: (plugin: Plugin) => Promise<Record<string, number>>): Contenders =>
    Object.fromEntries(Object.entries(plugins).map(([name, plugin]) => [name, () => work(plugin)]))
  const single = await rounds(each(plugin => alone(spawner, plugin)), ROUNDS)
  const ten = await rounds(each(plugin => together(spawner, plugin)), Math.ceil(ROUNDS / 6))
  const status: number[] = []
  for (let i = 0; i < ROUNDS; i++) status.push((await verb(spawner, plugins.tsnet, 'STATUS', [0])).wall)
  tell('CNI, ms', merged(single, ten), { STATUS: median(status) })
}

const merged = (a: Medians, b: Medians): Medians =>
  Object.fromEntries(Object.keys(a).map(name => [name, { ...a[name], ...b[name] }]))

function tell(title: string, { tsnet = {}, reference = {} }: Medians, more: Record<string, number>): void {
  const all = { ...tsnet, ...more }
  print(title, [
    ['', 'tsnet', 'reference', 'ratio', 'promise, ms'],
    ...Object.entries(all).map(([what, value]) => [
      what,
      value,
      reference[what] ?? Number.NaN,
      reference[what] ? value / reference[what] : Number.NaN,
      targets[what] === undefined ? '' : against(value, targets[what]),
    ]),
  ])
}

await main()
void [fill, quick, rmSync]
