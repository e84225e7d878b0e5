import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, rmdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { attempt, run } from './run.ts'

const prefix = 'ts-test-'
const netnsFolder = '/run/netns'

/** Names of everything a test run makes on the machine: `ts-test-PID-name`. The owner's pid tells leftovers apart. */
export const ownName = (name: string) => `${prefix}${process.pid}-${name}`

/** Folder below the system's temporary folder, of the same name. */
export const ownFolder = (name: string) => join(tmpdir(), ownName(name))

export const netnsPath = (name: string) => join(netnsFolder, name)

export async function addNamespace(name: string): Promise<void> {
  await run(['ip', 'netns', 'add', name])
  await inNamespace(name, 'ip', 'link', 'set', 'lo', 'up')
}

export async function deleteNamespace(name: string): Promise<void> {
  if (existsSync(netnsPath(name))) await run(['ip', 'netns', 'delete', name])
}

/** Ends what still runs in a namespace, such as web servers in the background, which would outlive it. */
export async function endProcesses(name: string): Promise<void> {
  if (!existsSync(netnsPath(name))) return
  const pids = (await run(['ip', 'netns', 'pids', name])).split('\n').filter(Boolean)
  if (pids.length > 0) await attempt(['kill', '-KILL', ...pids])
}

/** Runs a command with the network of a namespace and everything else of the machine. */
export const inNamespace = (name: string, ...argv: string[]) =>
  run(['nsenter', `--net=${netnsPath(name)}`, ...argv])

/** Things to undo when this process ends, however it ends short of SIGKILL; each must be synchronous. */
const atExit = new Set<() => void>()

export function onExit(undo: () => void): () => void {
  if (atExit.size === 0) installHandlers()
  atExit.add(undo)
  return () => atExit.delete(undo)
}

let installed = false
function installHandlers(): void {
  if (installed) return
  installed = true
  sweep(pid => !isAlive(pid))
  process.on('exit', () => {
    for (const undo of [...atExit].reverse()) undo()
    sweep(pid => pid === process.pid)
  })
  for (const [signal, number] of [
    ['SIGTERM', 15],
    ['SIGHUP', 1],
    ['SIGINT', 2],
  ] as const)
    process.once(signal, () => process.exit(128 + number))
}

function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}`)
}

/** Removes namespaces, cgroups and folders whose owner is chosen. Processes need no hunt: they die with their holder. */
function sweep(chosen: (pid: number) => boolean): void {
  const ours = (name: string) => {
    const owner = new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1]
    return owner !== undefined && chosen(Number(owner))
  }
  for (const name of list(netnsFolder).filter(ours)) spawnSync('ip', ['netns', 'delete', name])
  for (const name of process.env.TS_TEST_KEEP ? [] : list(tmpdir()).filter(ours))
    rmSync(join(tmpdir(), name), { recursive: true, force: true })
  for (const path of cgroups(ours)) removeCgroup(path)
}

/** Removes the cgroups that the containers of one emulated host lived in. */
export function sweepCgroups(name: string): void {
  for (const path of cgroups(found => found === name)) removeCgroup(path)
}

function cgroups(ours: (name: string) => boolean): string[] {
  const base = '/sys/fs/cgroup'
  const trees = [base, ...list(base).map(controller => join(base, controller))]
  return trees.flatMap(tree =>
    list(tree)
      .filter(ours)
      .map(name => join(tree, name)),
  )
}

function removeCgroup(path: string): void {
  for (const child of list(path)) removeCgroup(join(path, child))
  try {
    rmdirSync(path)
  } catch {
    // A plain file of the controller, or a group whose last process is still on its way out: the next sweep takes it.
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
