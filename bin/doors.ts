import { hostname } from 'node:os'
import { dirname, join } from 'node:path'
import type { Logger } from 'pino'
import { cliMethods } from '../cli/methods.ts'
import type { Method, MethodTable } from '../core/methods.ts'
import { complaint, type Planned } from '../core/networkspec.ts'
import { driverMethods } from '../driver/methods.ts'
import { ipamMethods } from '../ipam/methods.ts'
import { modes } from '../modes/index.ts'
import manifest from '../package.json' with { type: 'json' }
import type { Host } from './host.ts'
import type { Membership } from './membership.ts'
import { Memory } from './memory.ts'
import type { Metrics } from './metrics.ts'
import { Desk } from './operator.ts'
import { openPods } from './pods.ts'
import { Reconciler } from './reconcile.ts'
import { type Served, serve } from './serve.ts'
import { list, type Settings } from './settings.ts'
import { SwarmNodes } from './swarm.ts'

type Parts = {
  host: Host
  membership: Membership
  settings: Settings
  log: Logger
  started: number
  metrics: Metrics | undefined
}

/**
 * Everything that the daemon is asked at: by operators and CNI runtimes, then by Docker, who looks for the last of a plugin's sockets to
 * tell that it is ready. `close` answers what has begun.
 */
export async function openDoors(parts: Parts): Promise<{ close(): Promise<void> }> {
  const { host, membership, settings, log, metrics } = parts
  const { engine, ipam } = host
  const { docker: socket, scope } = settings
  const memory = new Memory()
  const reconciler = new Reconciler({ socket, engine, ipam, log, now: Date.now })
  const greet = (addresses: readonly string[]) => membership.cluster?.hosts.greet(addresses) ?? false
  const nodes = new SwarmNodes({ socket, greet, log })
  const spool = join(dirname(settings.api), 'spool')
  const here = { spool, conf: settings['cni-conf'], engine, ipam, store: host.settler.store }
  const pods = await openPods({ ...here, shares: membership.wanted, log })

  const counted = (methods: MethodTable) => metrics?.measured(methods) ?? methods
  const asked = noticed(counted(pods.methods), () => memory.touch())
  const api = await serve({ path: settings.api, methods: { ...cliMethods(desk(parts)), ...asked }, log })
  await pods.start()
  host.own.start()
  const warned = (spec: Planned) => complained(spec, log)
  const docker = counted({
    ...driverMethods(engine, { scope, nodes, complaint: warned }),
    ...ipamMethods(ipam),
  })
  const methods = noticed(docker, () => {
    reconciler.touch()
    memory.touch()
  })
  const servers: Served[] = [api]
  if (metrics) servers.push(await metrics.serve(settings.metrics, host, membership))
  for (const path of list(settings.socket)) servers.push(await serve({ path, methods, log }))
  reconciler.start()
  memory.rest()
  if (scope === 'global') nodes.start()
  return {
    async close() {
      for (const part of [reconciler, nodes, memory, pods]) part.close()
      await Promise.all(servers.map(server => server.close()))
    },
  }
}

/** What a Swarm's leader finds wrong with a network, for its log, too. */
function complained(spec: Planned, log: Logger): string | undefined {
  const sentence = complaint(spec, modes)
  if (sentence !== undefined) log.warn({}, `network ${spec.id} will be refused on every node: ${sentence}`)
  return sentence
}

/** What an operator's questions are answered from. */
const desk = ({ host, membership, settings, started }: Parts) =>
  new Desk({
    version: manifest.version,
    started,
    state: settings.state,
    ...(host.complaint !== undefined && { complaint: host.complaint }),
    docker: settings.docker,
    settler: host.settler,
    peers: host.peers,
    cluster: () => membership.cluster,
    alone: () => membership.complaint,
    name: hostname(),
  })

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
