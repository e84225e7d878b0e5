import { statfsSync, statSync } from 'node:fs'
import type { Config } from '../cni/config.ts'
import { Door } from '../cni/door.ts'
import { cniMethods } from '../cni/methods.ts'
import { ConfiguredNetworks } from '../cni/networks.ts'
import { Spool } from '../cni/spool.ts'
import { isWay } from '../core/elsewhere.ts'
import type { Engine } from '../core/engine.ts'
import type { Store } from '../core/faces.ts'
import type { MethodTable } from '../core/methods.ts'
import type { Log } from '../core/settle.ts'
import type { Ipam } from '../ipam/ipam.ts'
import { modes } from '../modes/index.ts'
import { Conflists } from './conflists.ts'

/** Milliseconds between two looks for what no runtime will take away. */
const PERIOD = 30_000
/** Milliseconds after which an address that nobody's record names was given in vain: no ADD takes as long. */
const GRACE = 60_000

export type Parts = {
  /** Folder of DELs that the shim put off. */
  spool: string
  /** Where runtimes look for configurations. */
  conf: string
  engine: Engine
  ipam: Ipam
  store: Store
  /** Whether nodes share addresses. */
  shares: boolean
  log: Log
}

export type Pods = {
  methods: MethodTable
  /** To be called once the methods are served: does what was put off, and looks for the dead from time to time. */
  start(): Promise<void>
  close(): void
}

/**
 * Containers of CNI runtimes. First it clears away what died while nobody looked, after a reboot everything: nothing is in the
 * making yet.
 */
export async function openPods({
  spool: folder,
  conf,
  engine,
  ipam,
  store,
  shares,
  log,
}: Parts): Promise<Pods> {
  const networks = new ConfiguredNetworks(engine, ipam, shares)
  const door = new Door({ engine, book: ipam, networks, inodeOf, log })
  const spool = new Spool(folder, call => door.del(call), log)
  const isWanted = (config: Config) => leads(config, networks)
  const conflists = new Conflists({ folder: conf, networks, isWanted, store, log })
  const sweep = async (first: boolean) => {
    const gone = await door.sweep(!first)
    const addresses = await ipam.reclaim(poolsOf(engine, ipam), first ? 0 : GRACE, Date.now(), 'cni')
    if (gone.length + addresses.length > 0) log.info({ gone, addresses }, 'dropped what died without a DEL')
  }
  const look = async () => {
    await spool.replay()
    await sweep(false)
    await conflists.look()
  }
  const failed = (err: unknown) => log.error({ err }, 'looking for dead containers')
  let timer: NodeJS.Timeout | undefined
  await sweep(true)
  return {
    methods: cniMethods(door, () => spool.replay()),
    start: async () => {
      timer = setInterval(() => look().catch(failed), PERIOD).unref()
      await spool.replay()
      await conflists.look()
    },
    close: () => {
      clearInterval(timer)
      conflists.close()
    },
  }
}

/** Whether nodes are the way to their pods in the network of a configuration: only then others' pods are reached from a node without any. */
function leads(config: Config, networks: ConfiguredNetworks): boolean {
  if (config.network !== undefined) return false
  const { mode = '' } = networks.spec(config).words
  return isWay(modes, mode)
}

/** Pools of networks that configurations made; our own records tell who has an address of them. */
function poolsOf(engine: Engine, ipam: Ipam): Map<string, Set<string>> {
  const networks = [...engine.networks()].filter(({ conflist }) => conflist !== undefined)
  const ids = networks.flatMap(({ ipv4, ipv6 }) =>
    [...ipv4, ...ipv6].flatMap(({ pool }) => ipam.findPool('cni', pool) ?? []),
  )
  return new Map(ids.map(id => [id, new Set<string>()]))
}

/** Type of the file system that namespaces are files of (NSFS_MAGIC in linux/magic.h). */
const NSFS = 0x6e736673

/** Whether a network namespace is mounted at a path. */
export const isNamespace = (path: string): boolean => inodeOf(path) !== undefined

/** Such files are in memory: asking takes 10 µs, a way to another thread and back more. */
function inodeOf(path: string): number | undefined {
  try {
    return statfsSync(path).type === NSFS ? statSync(path).ino : undefined
  } catch {
    return undefined
  }
}
