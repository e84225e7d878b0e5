import { constants, hostname, networkInterfaces, setPriority } from 'node:os'
import { dirname, join } from 'node:path'
import { pino } from 'pino'
import { cliMethods } from '../cli/methods.ts'
import { Engine } from '../core/engine.ts'
import { Refused } from '../core/errors.ts'
import type { Method, MethodTable } from '../core/methods.ts'
import { PeerTable } from '../core/peers.ts'
import type { Network } from '../core/records.ts'
import { Settler } from '../core/settle.ts'
import { driverMethods } from '../driver/methods.ts'
import { Ipam } from '../ipam/ipam.ts'
import { ipamMethods } from '../ipam/methods.ts'
import { befriendFirewalld, openKernel } from '../kernel/index.ts'
import { ground } from '../modes/firewall.ts'
import { modes } from '../modes/index.ts'
import { vniOf } from '../modes/overlay.ts'
import manifest from '../package.json' with { type: 'json' }
import { openStore } from '../store/open.ts'
import type { Entry } from '../vxlan-fdb/index.ts'
import { Following } from './cluster/following.ts'
import { Cluster } from './cluster/index.ts'
import type { Moves } from './cluster/others.ts'
import { telling } from './cluster/own.ts'
import { clusterSettings, readPort } from './cluster/settings.ts'
import { Doorbell } from './doorbell.ts'
import { machineId } from './machine.ts'
import { docker } from './mirror/docker.ts'
import { Mirror } from './mirror/index.ts'
import { engine as dockerNames } from './names/docker.ts'
import { Names } from './names/index.ts'
import { Desk } from './operator.ts'
import { pluginName } from './plugin.ts'
import { isNamespace, openPods } from './pods.ts'
import { Reconciler } from './reconcile.ts'
import { type Served, serve } from './serve.ts'
import { list, readSettings } from './settings.ts'
import { SwarmNodes } from './swarm.ts'

/** The daemon: the only place where the real parts meet. Runs until SIGTERM or SIGINT. */
async function main(): Promise<void> {
  process.title = 'tsnetd'
  comeFirst()
  const started = Date.now()
  const settings = readSettings(process.argv.slice(2), process.env)
  const log = pino({ level: settings.log, base: null })
  const isMember = settings.key !== '' || settings.join !== '' || settings.scope === 'global'
  const disk = openStore(settings.state)
  if (disk.complaint) log.error(disk.complaint)
  let following: Following | undefined
  let mirror: Mirror | undefined
  let names: Names | undefined
  const store = telling(disk, changes => {
    following?.cluster?.tell(changes)
    mirror?.tell(changes)
    names?.tell(changes)
  })
  const spans = (mode: string) => modes[mode]?.elsewhere !== undefined
  if (isMember && settings.dns !== 'off') {
    const say = (entries: Entry[]) => following?.cluster?.write(entries)
    names = new Names({ engine: dockerNames(settings.docker), store, spans, say, log })
    if (!(await names.listen(readPort('TSNET_DNS', settings.dns)))) settings.dns = 'off'
  }
  const meeting = () => clusterSettings(settings)
  const peers = new PeerTable(isMember ? await Following.underlay(meeting) : undefined)
  const kernel = await openKernel({ log: words => log.warn(words) })
  const { ephemeral } = await kernel.facts()

  let swept: Promise<unknown> | undefined
  const settler = new Settler({
    kernel,
    store,
    modes,
    peers,
    ground: ground(),
    // What the kernel holds and damaged records don't may belong to a container that runs.
    sparing: disk.complaint !== undefined,
    log,
    found: present => {
      swept = Promise.allSettled(engine.abandoned(present))
    },
  })
  const now = Date.now
  const admit = (network: Network) => mirror?.admit(network) ?? network
  const engine = new Engine({
    kernel,
    settler,
    modes,
    peers,
    ephemeral,
    now,
    log,
    admit,
    isNamespace: async path => isNamespace(path),
  })
  const ipam = new Ipam({
    store: settler.store,
    clock: Date.now,
    routes: async () => linkSubnets(),
    seed: await machineId(store),
    portion: pool => following?.cluster?.portion(pool),
  })

  // Before anything is served: after a reboot Docker never tells of its networks again, it only starts containers on them.
  await settler.settle('everything')
  await swept
  await engine.restore()
  const doorbell = new Doorbell(async () => {
    await settler.settle('everything')
    await engine.restore()
  })
  kernel.watch(() => doorbell.ring())
  befriendFirewalld().catch(error => log.error({ err: error }, "firewalld doesn't know tsnet's bridges"))

  const unsettled = (err: unknown) => log.error({ err }, 'what other hosts told is not in the kernel yet')
  if (isMember) {
    mirror = new Mirror({
      docker: docker(settings.docker),
      driver: () => pluginName(settings.docker),
      store,
      spans,
      vniOf,
      say: entries => following?.cluster?.write(entries),
      log,
      now: () => performance.now(),
    })
    const parts = {
      store,
      peers,
      networks: mirror,
      ...(names && { names }),
      spans,
      run: dirname(settings.api),
      moved: ({ places, members }: Moves) => {
        if (places.length > 0) engine.moved(places).catch(unsettled)
        if (members.length > 0) engine.joined(members).catch(unsettled)
      },
      heard: () => {
        settler.settle('everything').catch(unsettled)
        mirror?.complete()
      },
      log,
    }
    following = new Following({
      settings: meeting,
      peers,
      open: of => Cluster.open({ ...parts, settings: of }),
      moved: () => settler.settle('everything'),
      log,
    })
    await following.start()
  }

  const reconciler = new Reconciler({ socket: settings.docker, engine, ipam, log, now: Date.now })
  const { scope } = settings
  const greet = (addresses: readonly string[]) => following?.cluster?.greet(addresses) ?? false
  const nodes = new SwarmNodes({ socket: settings.docker, greet, log })
  const methods = { ...driverMethods(engine, { scope, nodes }), ...ipamMethods(ipam) }
  const spool = join(dirname(settings.api), 'spool')
  const pods = await openPods({ spool, engine, ipam, shares: isMember, log })
  const desk = new Desk({
    version: manifest.version,
    started,
    state: settings.state,
    ...(disk.complaint !== undefined && { complaint: disk.complaint }),
    docker: settings.docker,
    settler,
    peers,
    cluster: () => following?.cluster,
    name: hostname(),
  })
  const api = await serve({ path: settings.api, methods: { ...cliMethods(desk), ...pods.methods }, log })
  await pods.start()
  const asked = noticed(methods, () => reconciler.touch())
  const servers: Served[] = []
  // Docker looks for a plugin's last one to tell that the plugin is ready.
  for (const path of list(settings.socket)) servers.push(await serve({ path, methods: asked, log }))
  reconciler.start()
  if (scope === 'global') nodes.start()
  mirror?.start()
  names?.start()
  log.info({ socket: settings.socket, state: settings.state }, 'tsnetd serves')

  const end = async () => {
    reconciler.close()
    nodes.close()
    mirror?.close()
    names?.close()
    doorbell.close()
    pods.close()
    await Promise.all([...servers, api].map(server => server.close()))
    await following?.close()
    await kernel.close()
    await store.close()
    process.exit(0)
  }
  process.once('SIGTERM', end)
  process.once('SIGINT', end)
}

/**
 * Containers that start by the hundred wait for us, and so would we for them. Threads, and the programs that they run, inherit it; who
 * may not ask for it goes without.
 */
function comeFirst(): void {
  try {
    setPriority(constants.priority.PRIORITY_HIGH)
  } catch {}
}

/** The same methods, each telling that it was asked and that it has answered. */
function noticed(methods: MethodTable, notice: () => void): MethodTable {
  const entries = Object.entries(methods).map(([name, method]): [string, Method] => [
    name,
    {
      ...method,
      run: async request => {
        notice()
        try {
          return await method.run(request)
        } finally {
          notice()
        }
      },
    },
  ])
  return Object.fromEntries(entries)
}

/** Subnets that this host's links are in: pools that we choose keep clear of them. */
function linkSubnets(): string[] {
  return Object.values(networkInterfaces()).flatMap(links => links?.flatMap(link => link.cidr ?? []) ?? [])
}

main().catch((error: unknown) => {
  process.stderr.write(`tsnetd: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(error instanceof Refused ? 2 : 1)
})
