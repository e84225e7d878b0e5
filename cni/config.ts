import { isIP } from 'node:net'
import * as z from 'zod'
import { CniError, CODE } from './errors.ts'
import type { Asked } from './request.ts'

/**
 * The network configuration on a plugin's standard input. What a user wrote is checked strictly; what runtimes add
 * (`runtimeConfig`, `prevResult`, `cni.dev/…`) may grow.
 */

const address = z.string().refine(text => isIP(text) > 0, 'has to be an IP address')
const prefix = z.union([z.cidrv4(), z.cidrv6()])
const names = z.array(z.string())

const dns = z.looseObject({
  nameservers: names.nullish(),
  domain: z.string().nullish(),
  search: names.nullish(),
  options: names.nullish(),
})
export type Dns = { nameservers?: string[]; domain?: string; search?: string[]; options?: string[] }

const route = z.strictObject({ dst: prefix, gw: address.optional() })
const range = z.strictObject({
  subnet: prefix,
  /** First address of the subnet when absent. */
  gateway: address.optional(),
  /** Part of the subnet that addresses come from. */
  range: prefix.optional(),
})
const ipam = z.strictObject({
  type: z.literal('tsnet', 'has to be "tsnet"; leave "ipam" out for addresses that nodes share'),
  ...range.partial().shape,
  ranges: z.array(range).optional(),
  /** Each node gives addresses of its Node's `spec.podCIDRs`. */
  podCIDR: z.boolean().optional(),
  routes: z.array(route).optional(),
})
export type Range = z.infer<typeof range>

/** go-cni prints Go's own names (`HostPort`), others the specification's (`hostPort`): CONVENTIONS.md. */
const folded = <T extends z.ZodType>(shape: T) =>
  z.preprocess(
    value =>
      value !== null && typeof value === 'object'
        ? Object.fromEntries(Object.entries(value).map(([name, each]) => [name.toLowerCase(), each]))
        : value,
    shape,
  )
const portMapping = folded(
  z.object({
    hostport: z.int().min(0).max(65535),
    containerport: z.int().min(1).max(65535),
    protocol: z
      .string()
      .nullish()
      .transform(text => (text || 'tcp').toLowerCase())
      .pipe(z.enum(['tcp', 'udp', 'sctp'])),
    hostip: z.string().nullish(),
  }),
)
export type PortMapping = z.infer<typeof portMapping>
const amount = z.number().nullish()
const rates = folded(
  z.object({ ingressrate: amount, ingressburst: amount, egressrate: amount, egressburst: amount }),
)
const runtimeDns = folded(
  z.object({ servers: names.nullish(), searches: names.nullish(), options: names.nullish() }),
)
const runtimeConfig = z.looseObject({
  portMappings: z.array(portMapping).nullish(),
  bandwidth: rates.nullish(),
  dns: runtimeDns.nullish(),
  ips: z.array(z.string()).nullish(),
  mac: z.string().nullish(),
})

/** Go prints an empty list as null: CRI-O does at the start of a node without pods. */
const attachments = z
  .array(z.looseObject({ containerID: z.string(), ifname: z.string() }))
  .nullable()
  .transform(list => list ?? [])
  .optional()

/** What the user may write besides `cniVersion`, `name` and `type`. */
const words = {
  /** Id, or name of all hosts (`-o name=`), of a network of tsnet's that is there. */
  network: z.string().min(1).optional(),
  mode: z.enum(['bridge', 'overlay', 'nodes']).optional(),
  /** Name of the bridge on the host. */
  bridge: z.string().optional(),
  mtu: z.int().min(68).max(65535).optional(),
  ipMasq: z.boolean().optional(),
  internal: z.boolean().optional(),
  isolation: z.boolean().optional(),
  vni: z.int().min(1).max(0xffffff).optional(),
  /** Mode `nodes`: nodes that share a link need no tunnel. */
  direct: z.boolean().optional(),
  ipam: ipam.optional(),
  dns: dns.optional(),
}
const config = z.looseObject({
  cniVersion: z.string().default('0.3.1'),
  name: z.string().regex(/^[a-zA-Z0-9][\w.-]*$/, 'has to be letters, digits and "_.-"'),
  type: z.string(),
  ...words,
  runtimeConfig: runtimeConfig.nullish(),
  args: z.looseObject({ cni: z.looseObject({ ips: z.array(z.string()).nullish() }).nullish() }).nullish(),
  prevResult: z.looseObject({}).nullish(),
  'cni.dev/valid-attachments': attachments,
  /** As libcni spells it, too. */
  'cni.dev/attachments': attachments,
})
export type Config = z.infer<typeof config>

const runtimes = ['capabilities', 'disableCheck', 'disableGC', 'cniVersions', 'loadOnlyInlinedPlugins']
const known = new Set([...Object.keys(config.shape), ...runtimes])

export function readConfig(stdin: string): Config {
  const value = parsed(stdin)
  refuseOdd(value)
  const { success, data, error } = config.safeParse(value)
  if (success) return data
  const [issue] = error.issues
  throw new CniError(CODE.config, `network configuration: ${issue?.path.join('.') || 'it'} ${issue?.message}`)
}

/** What DEL needs: a configuration that was changed meanwhile must not keep a container from going. */
export function readName(stdin: string): { name: string; cniVersion: string } {
  const value = parsed(stdin) as { name?: unknown; cniVersion?: unknown }
  if (typeof value.name !== 'string' || value.name === '')
    throw new CniError(CODE.config, 'network configuration: name is missing')
  return { name: value.name, cniVersion: typeof value.cniVersion === 'string' ? value.cniVersion : '0.3.1' }
}

function parsed(stdin: string): object {
  try {
    const value: unknown = JSON.parse(stdin)
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value
  } catch (error) {
    throw new CniError(CODE.decode, `network configuration is not JSON: ${(error as Error).message}`)
  }
  throw new CniError(CODE.decode, 'network configuration is not a JSON object')
}

function refuseOdd(value: object): void {
  const odd = Object.keys(value).find(name => !known.has(name) && !name.includes('/'))
  if (odd === undefined) return
  const allowed = Object.keys(words).join(', ')
  throw new CniError(CODE.config, `network configuration: "${odd}" is not known; tsnet takes ${allowed}`)
}

/** Ranges of addresses, IPv4 and IPv6; none when nodes share theirs. */
export function rangesOf({ ipam }: Config): Range[] {
  if (!ipam) return []
  const { subnet, gateway, range: part, ranges = [] } = ipam
  const first = subnet ? [{ subnet, ...(gateway && { gateway }), ...(part && { range: part }) }] : []
  return [...first, ...ranges]
}

/** Addresses asked for, without prefix length. */
export const askedAddresses = ({ runtimeConfig, args }: Config, { IP }: Asked): string[] =>
  (runtimeConfig?.ips ?? args?.cni?.ips ?? (IP ? [IP] : [])).map(each => each.split('/')[0] ?? each)

export function dnsOf({ dns, runtimeConfig }: Config): Dns {
  const { servers, searches, options } = runtimeConfig?.dns ?? {}
  const said = {
    nameservers: servers ?? dns?.nameservers,
    domain: dns?.domain,
    search: searches ?? dns?.search,
    options: options ?? dns?.options,
  }
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value && value.length > 0)) as Dns
}
