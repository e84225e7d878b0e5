import * as z from 'zod'

/**
 * Requests of libnetwork's remote driver protocol, Docker 20.10 to 29 (moby `daemon/libnetwork/drivers/remote/api/api.go`).
 * Keys that a newer Docker adds are dropped; Go prints an empty slice or map as `null`.
 */

/** 64 hex digits from an engine, 25 base-36 characters from Swarm. Nothing is read into it. */
const id = z.string().regex(/^[\w.-]{1,128}$/, 'expected an id of letters and digits')

const list = <T extends z.ZodType>(item: T) => z.array(item).nullish()
const words = z.record(z.string(), z.string()).nullish()
/** Go prints an address that isn't there as the empty string. */
const orEmpty = <T extends z.ZodType>(shape: T) => z.union([z.literal(''), shape]).nullish()

/** One `--subnet`. Gateway and AuxAddresses are left out when IPAM gave none (GwAllocCheck, `--ipam-driver null`). */
const ipamData = <T extends z.ZodType<string>>(cidr: T) =>
  list(
    z.object({
      Pool: cidr,
      Gateway: orEmpty(cidr),
      AuxAddresses: z.record(z.string(), cidr).nullish(),
    }),
  )

const networkOptions = z
  .object({
    /** Every `-o key=value`, and the daemon's `default-network-opts` for our name; always strings. */
    'com.docker.network.generic': words,
    /** Since 28.0; before, every network had IPv4. */
    'com.docker.network.enable_ipv4': z.boolean().nullish(),
    'com.docker.network.enable_ipv6': z.boolean().nullish(),
    'com.docker.network.internal': z.boolean().nullish(),
  })
  .nullish()

const port = z.int().min(0).max(65535)

/** `Proto` is the IP protocol number. `IP` is always empty: the container's own address is meant. */
const portMap = z.object({
  Proto: z.literal([6, 17, 132]),
  Port: port.min(1),
  /** Empty for every address of the host. */
  HostIP: orEmpty(z.union([z.ipv4(), z.ipv6()])),
  /** 0 asks for an ephemeral port. */
  HostPort: port.nullish(),
  /** Last port of a range to choose one from. */
  HostPortEnd: port.nullish(),
})

/** Of the whole sandbox, not only of this endpoint: ports, and private words of Docker that mean nothing without a proxy. */
const sandboxOptions = z.object({ 'com.docker.network.portmap': list(portMap) }).nullish()

const endpoint = z.object({ NetworkID: id, EndpointID: id })
const network = z.object({ NetworkID: id })

export const GwAllocCheck = z.object({ Options: networkOptions })

/** Swarm's leader only. What we answer in Options is what the workers get as `com.docker.network.generic`. */
export const AllocateNetwork = network.extend({ Options: words })

export const CreateNetwork = network.extend({
  Options: networkOptions,
  IPv4Data: ipamData(z.cidrv4()),
  IPv6Data: ipamData(z.cidrv6()),
})

export const CreateEndpoint = endpoint.extend({
  Interface: z
    .object({
      Address: orEmpty(z.cidrv4()),
      AddressIPv6: orEmpty(z.cidrv6()),
      MacAddress: orEmpty(z.mac()),
    })
    .nullish(),
  /** Docker's own words and the user's `--driver-opt` words side by side. */
  Options: z.looseObject({ 'com.docker.network.portmap': list(portMap) }).nullish(),
})

/** Docker up to 27 makes the file that SandboxKey names only after Join. */
export const Join = endpoint.extend({ SandboxKey: z.string().min(1) })

export const ProgramExternalConnectivity = endpoint.extend({ Options: sandboxOptions })

/** FreeNetwork, DeleteNetwork. */
export const OneNetwork = network

/** DeleteEndpoint, Leave, RevokeExternalConnectivity, EndpointOperInfo. */
export const OneEndpoint = endpoint

/** DiscoverNew, DiscoverDelete. Type 1 is a node; keys (2, 3) are never sent to remote drivers. */
export const Discover = z.object({
  DiscoveryType: z.int(),
  DiscoveryData: z.looseObject({ Address: z.string().nullish(), Self: z.boolean().nullish() }).nullish(),
})

export type NetworkOptions = z.infer<typeof networkOptions>
export type PortMap = z.infer<typeof portMap>
export type IpamData = NonNullable<z.infer<typeof CreateNetwork>['IPv4Data']>[number]
