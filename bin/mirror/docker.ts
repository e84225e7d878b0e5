import Docker from 'dockerode'
import { host } from '../../core/addresses.ts'
import type { Network, Subnet as Pool } from '../../core/records.ts'
import type { Net, Subnet } from './network.ts'

/** Docker's networks as a list of its API shows them (`GET /networks`, 1.40 to 1.52). */
export type Listed = Docker.NetworkInspectInfo & { EnableIPv4?: boolean }

/** What the mirror asks of Docker's API. Never while dockerd waits for an answer of ours: it may hold a lock. */
export interface Engine {
  list(): Promise<Listed[]>
  /** Answers the id. */
  create(request: Docker.NetworkCreateOptions): Promise<string>
  /** A network that isn't there any more is fine. */
  remove(id: string): Promise<void>
}

/** Milliseconds. Making a network takes Docker a while when many are made. */
const PATIENCE = 60_000

/** @throws what dockerode throws: with `statusCode` when Docker has answered, without when it is away. */
export function docker(socketPath: string): Engine {
  const api = new Docker({ socketPath, timeout: PATIENCE })
  return {
    list: () => api.listNetworks(),
    async create(request) {
      return (await api.createNetwork(request)).id
    },
    async remove(id) {
      try {
        await api.getNetwork(id).remove()
      } catch (error) {
        if ((error as { statusCode?: number }).statusCode !== 404) throw error
      }
    },
  }
}

/**
 * Which store of networks this is: `none` is made with it and never again. Docker's other fixed networks are made anew at times.
 */
export const storeOf = (all: readonly Listed[]): string =>
  all.find(({ Driver }) => Driver === 'null')?.Id ?? ''

type Config = {
  Subnet?: string
  IPRange?: string
  AuxiliaryAddresses?: Record<string, string> | null
}

/** A network that was made here: what Docker lists, and the pools and gateways that it chose and lists in some releases only. */
export function describe(listed: Listed, { ipv4, ipv6, created }: Network, vni: number): Net {
  const configs = (listed.IPAM?.Config ?? []) as Config[]
  return {
    made: created,
    vni,
    name: listed.Name,
    driver: listed.Driver,
    ipam: {
      driver: listed.IPAM?.Driver ?? 'default',
      options: listed.IPAM?.Options ?? {},
      subnets: [...ipv4, ...ipv6].map(pool => subnetOf(pool, configs)),
    },
    options: listed.Options ?? {},
    labels: listed.Labels ?? {},
    internal: listed.Internal,
    attachable: listed.Attachable,
    ipv4: ipv4.length > 0,
    ipv6: listed.EnableIPv6,
  }
}

function subnetOf({ pool, gateway, aux }: Pool, configs: readonly Config[]): Subnet {
  const range = configs.find(each => each.Subnet === pool)?.IPRange
  const reserved = Object.entries(aux).map(([name, address]) => [name, host(address)])
  return {
    subnet: pool,
    ...(range && { range }),
    ...(gateway && { gateway: host(gateway) }),
    ...(reserved.length > 0 && { aux: Object.fromEntries(reserved) }),
  }
}

/** `POST /networks/create`. `driver` is what Docker calls us on this host: a plugin's name may differ from host to host. */
export function request(net: Net, driver: string): Docker.NetworkCreateOptions {
  return {
    Name: net.name,
    // Docker up to 24 allows two networks with one name unless it is told not to.
    CheckDuplicate: true,
    Driver: driver,
    Internal: net.internal,
    Attachable: net.attachable,
    // Docker up to 27 doesn't know it and has no network without IPv4.
    ...(!net.ipv4 && { EnableIPv4: false }),
    EnableIPv6: net.ipv6,
    IPAM: {
      Driver: net.ipam.driver === net.driver ? driver : net.ipam.driver,
      Options: net.ipam.options,
      Config: net.ipam.subnets.map(({ subnet, range, gateway, aux }) => ({
        Subnet: subnet,
        ...(range && { IPRange: range }),
        ...(gateway && { Gateway: gateway }),
        ...(aux && { AuxiliaryAddresses: aux }),
      })),
    },
    Options: net.options,
    Labels: net.labels,
  }
}
