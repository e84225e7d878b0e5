import type { EngineName } from '../bed/engines.ts'

export type Family = 4 | 6
/** What a cluster is made of: families of addresses, in Kubernetes' order, and the Docker engine whose containerd it has. */
export type Plan = { families: readonly Family[]; engine: EngineName }

/** Both families, by containerd 1.6. */
export const dual: Plan = { families: [4, 6], engine: '20.10' }
/** No address of IPv4 anywhere but at loopback, by containerd 2.1. */
export const six: Plan = { families: [6], engine: '28.5' }

/** Addresses of pods, and of services. */
export const pods = { 4: '10.93.0.0/16', 6: 'fd00:93::/48' } as const
const services = { 4: '10.96.0.0/16', 6: 'fd00:96::/112' }
const apis = { 4: '10.96.0.1', 6: 'fd00:96::1' }
const names = { 4: '10.96.0.10', 6: 'fd00:96::a' }

export const podsOf = ({ families }: Plan): string[] => families.map(each => pods[each])
export const servicesOf = ({ families }: Plan): string[] => families.map(each => services[each])
/** The cluster addresses of the API server. */
export const apisOf = ({ families }: Plan): string[] => families.map(each => apis[each])
/** Where every pod is told to ask for names. */
export const dnsOf = ({ families: [first = 4] }: Plan): string => names[first]

/** The addresses of a machine whose place is an address of IPv4. */
export const addressesAt = ({ families }: Plan, place: string): string[] =>
  families.map(each => (each === 4 ? place : ipv6Of(place)))

function ipv6Of(place: string): string {
  const [, , subnet, last] = place.split('.')
  return `fd77:0:0:${subnet}::${Number(last).toString(16)}`
}
