import type { Route } from '../core/records.ts'
import type { Dns } from './config.ts'
import { isBefore, type Version } from './version.ts'

/** A result as version 1.1 has it, the parts that tsnet makes or passes on. */
export type Result = { interfaces: Interface[]; ips: Ip[]; routes: Record<string, unknown>[]; dns: Dns }
type Interface = { name: string; mac?: string; mtu?: number; sandbox?: string; [other: string]: unknown }
type Ip = { address: string; gateway?: string; interface?: number; [other: string]: unknown }

/** What was made of a container: the bridge and the host's end of the pair, then the container's own. */
export type Made = {
  bridge: string
  link: string
  ifname: string
  mac: string
  mtu?: number
  namespace: string
  addresses: { address: string; gateway?: string }[]
  routes: Route[]
  dns: Dns
}

export function resultOf({
  bridge,
  link,
  ifname,
  mac,
  mtu,
  namespace,
  addresses,
  routes,
  dns,
}: Made): Result {
  return {
    interfaces: [
      { name: bridge },
      { name: link },
      { name: ifname, mac, sandbox: namespace, ...(mtu !== undefined && { mtu }) },
    ],
    ips: addresses.map(each => ({ ...each, interface: 2 })),
    routes: routes.map(({ to, via }) => ({ dst: to, ...(via !== undefined && { gw: via }) })),
    dns,
  }
}

/** In a chain, what plugins before us made comes first, and whoever comes after us finds it all. */
export function chained(
  before: Partial<Result> | undefined,
  { interfaces, ips, routes, dns }: Result,
): Result {
  const count = before?.interfaces?.length ?? 0
  const moved = ips.map(each => ({ ...each, interface: (each.interface ?? 0) + count }))
  return {
    interfaces: [...(before?.interfaces ?? []), ...interfaces],
    ips: [...(before?.ips ?? []), ...moved],
    routes: [...(before?.routes ?? []), ...routes],
    dns: Object.keys(dns).length > 0 ? dns : (before?.dns ?? {}),
  }
}

/** Fields that came with 1.1. */
const newInterface = new Set(['mtu', 'socketPath', 'pciID'])
const newRoute = new Set(['mtu', 'advmss', 'priority', 'table', 'scope'])

const without = (value: Record<string, unknown>, fields: ReadonlySet<string>) =>
  Object.fromEntries(Object.entries(value).filter(([name]) => !fields.has(name)))

/** The result as a runtime of this version reads it. Before 1.0 an address tells its family. */
export function printed({ interfaces, ips, routes, dns }: Result, version: Version): object {
  const old = isBefore(version, '1.1.0')
  const versioned = ({ version: _, ...ip }: Ip): object =>
    isBefore(version, '1.0.0') ? { version: ip.address.includes(':') ? '6' : '4', ...ip } : ip
  return {
    cniVersion: version,
    interfaces: old ? interfaces.map(each => without(each, newInterface)) : interfaces,
    ips: ips.map(versioned),
    ...(routes.length > 0 && { routes: old ? routes.map(each => without(each, newRoute)) : routes }),
    dns,
  }
}
