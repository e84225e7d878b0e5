import { networkInterfaces } from 'node:os'
import type { Logger } from 'pino'
import { isWay } from '../core/elsewhere.ts'
import { Engine } from '../core/engine.ts'
import type { Kernel, Store } from '../core/faces.ts'
import { PeerTable } from '../core/peers.ts'
import { Settler } from '../core/settle.ts'
import { Ipam } from '../ipam/ipam.ts'
import { befriendFirewalld, openKernel } from '../kernel/index.ts'
import { ground } from '../modes/firewall.ts'
import { modes } from '../modes/index.ts'
import { openStore } from '../store/open.ts'
import { Following } from './cluster/following.ts'
import { telling } from './cluster/own.ts'
import { Leases } from './dhcp.ts'
import { Doorbell } from './doorbell.ts'
import { openPodCidrs } from './kubernetes/index.ts'
import type { PodCidrs } from './kubernetes/pod-cidrs.ts'
import { machineId } from './machine.ts'
import type { Membership } from './membership.ts'
import type { Metrics } from './metrics.ts'
import { OwnAddresses } from './ownaddresses.ts'
import { isNamespace } from './pods.ts'
import type { Settings } from './settings.ts'

/** This host alone: records, kernel, and what holds the two together. */
export type Host = {
  store: Store
  /** Why some records could not be read. */
  complaint: string | undefined
  peers: PeerTable
  kernel: Kernel
  settler: Settler
  engine: Engine
  ipam: Ipam
  podCidrs: PodCidrs
  own: OwnAddresses
  close(): Promise<void>
}

type Parts = { settings: Settings; membership: Membership; log: Logger; metrics: Metrics | undefined }

/**
 * Opens the records and settles the kernel with them: before anything is served, for after a reboot Docker never tells of its
 * networks again, it only starts containers on them.
 */
export async function openHost({ settings, membership, log, metrics }: Parts): Promise<Host> {
  const { state, dhcp } = settings
  const disk = openStore(state)
  if (disk.complaint) log.error(disk.complaint)
  let own: OwnAddresses | undefined
  const store = telling(disk, changes => {
    membership.tell(changes)
    own?.tell(changes)
  })
  await membership.listen(store)
  const peers = new PeerTable(membership.wanted ? await Following.underlay(membership.meeting) : undefined)
  const linux = await openKernel({ log: words => log.warn(words) })
  const kernel = metrics?.metered(linux) ?? linux
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
  const engine = new Engine({
    kernel,
    settler,
    modes,
    peers,
    ephemeral: (await kernel.facts()).ephemeral,
    now: Date.now,
    log,
    admit: network => membership.admit(network),
    isNamespace: async path => isNamespace(path),
  })
  const leases = dhcp === 'on' ? new Leases(settler.store, log) : undefined
  const divided = () => {
    membership.cluster?.divide()
    own?.ring()
  }
  const podCidrs = openPodCidrs(settings.node, settler.store, divided, log)
  const portion = (pool: string) => podCidrs.portion(pool) ?? membership.cluster?.portion(pool)
  const ipam = new Ipam({
    store: settler.store,
    dhcp: leases,
    clock: Date.now,
    routes: async () => linkSubnets(),
    seed: await machineId(store),
    portion,
  })
  own = new OwnAddresses({ engine, ipam, portion, isWay: mode => isWay(modes, mode), log })
  await settler.settle('everything')
  await swept
  await engine.restore()
  const stop = keep(kernel, () => settler.settle('everything').then(() => engine.restore()), log)
  const close = async () => {
    stop()
    own?.close()
    leases?.close()
    podCidrs.close()
    await kernel.close()
    await store.close()
  }
  return { store, complaint: disk.complaint, peers, kernel, settler, engine, ipam, podCidrs, own, close }
}

/** Puts back what others change, until it is stopped. */
function keep(kernel: Kernel, settle: () => Promise<unknown>, log: Logger): () => void {
  const doorbell = new Doorbell(settle)
  kernel.watch(() => doorbell.ring())
  befriendFirewalld().catch(error => log.error({ err: error }, "firewalld doesn't know tsnet's bridges"))
  return () => doorbell.close()
}

/** Subnets that this host's links are in: pools that we choose keep clear of them. */
function linkSubnets(): string[] {
  return Object.values(networkInterfaces()).flatMap(links => links?.flatMap(link => link.cidr ?? []) ?? [])
}
