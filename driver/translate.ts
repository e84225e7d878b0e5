import type * as z from 'zod'
import { Refused } from '../core/errors.ts'
import type { EndpointSpec, NetworkSpec, Sandbox } from '../core/faces.ts'
import type { Planned } from '../core/networkspec.ts'
import type { PortRequest, Proto, Subnet } from '../core/records.ts'
import type * as shapes from './shapes.ts'

/** Docker's words to ours and back. Pure. */

type Request<S extends z.ZodType> = z.infer<S>

export function networkSpec(request: Request<typeof shapes.CreateNetwork>): NetworkSpec {
  return {
    id: request.NetworkID,
    ...networkOptions(request.Options),
    ipv4: request.IPv4Data?.map(subnet) ?? [],
    ipv6: request.IPv6Data?.map(subnet) ?? [],
  }
}

/** Before 28.0 `enable_ipv4` isn't sent and IPv4 can't be turned off. */
export function networkOptions(
  options: shapes.NetworkOptions,
): Pick<NetworkSpec, 'words' | 'internal' | 'enable'> {
  return {
    words: options?.['com.docker.network.generic'] ?? {},
    internal: options?.['com.docker.network.internal'] ?? false,
    enable: {
      ipv4: options?.['com.docker.network.enable_ipv4'] ?? true,
      ipv6: options?.['com.docker.network.enable_ipv6'] ?? false,
    },
  }
}

function subnet({ Pool, Gateway, AuxAddresses }: shapes.IpamData): Subnet {
  return { pool: Pool, ...(Gateway && { gateway: Gateway }), aux: AuxAddresses ?? {} }
}

/** Refused for an interface name, and for an endpoint without any address. */
export function endpointSpec(request: Request<typeof shapes.CreateEndpoint>): EndpointSpec {
  const { Address, AddressIPv6, MacAddress } = request.Interface ?? {}
  if (!Address && !AddressIPv6)
    throw new Refused('the endpoint has no address: tsnet needs an IPAM driver that gives one, so not null')
  return {
    id: request.EndpointID,
    network: request.NetworkID,
    ...(Address && { ipv4: Address }),
    ...(AddressIPv6 && { ipv6: AddressIPv6 }),
    ...(MacAddress && { mac: MacAddress.toLowerCase() }),
    options: endpointOptions(request.Options ?? {}),
    ports: portRequests(request.Options?.['com.docker.network.portmap']),
  }
}

const IFNAME = 'com.docker.network.endpoint.ifname'

/**
 * Where Docker keeps its own plumbing, to which every release may add: ports, `macaddress` (base64 of what Interface says
 * readably), `dnsservers`, `sysctls`. libnetwork honours them all itself. Everything else was typed by a user.
 */
const PLUMBING =
  /^com\.docker\.network\.(portmap$|generic$|endpoint\.|driver\.private\.|internal$|enable_ipv[46]$)/

/** The user's `--driver-opt` words, which Docker puts beside its own ones without a prefix. */
function endpointOptions(options: Record<string, unknown>): Record<string, string> {
  // Docker renames the link to a prefix and the first free number whatever a plugin answers (DstName is parsed and
  // ignored up to 29), so the user who asked for a name would silently get another one.
  if (options[IFNAME])
    throw new Refused(
      `${IFNAME}: Docker lets a plugin choose only the prefix of an interface's name: create the network with -o interface_prefix=${prefixOf(options[IFNAME])}`,
    )
  const said = Object.entries(options).filter(([word]) => !PLUMBING.test(word))
  return Object.fromEntries(said.map(([word, value]) => [word, text(word, value)]))
}

const prefixOf = (name: unknown) => (typeof name === 'string' ? name.replace(/\d+$/, '') : '') || 'eth'

function text(word: string, value: unknown): string {
  if (typeof value !== 'string')
    throw new Refused(`Options.${word}: expected string, received ${typeof value}`)
  return value
}

const PROTOS: Record<shapes.PortMap['Proto'], Proto> = { 6: 'tcp', 17: 'udp', 132: 'sctp' }

export function portRequests(portmap: shapes.PortMap[] | null | undefined): PortRequest[] {
  return (portmap ?? []).map(({ Proto, Port, HostIP, HostPort, HostPortEnd }) => ({
    proto: PROTOS[Proto],
    port: Port,
    hostIp: HostIP ?? '',
    hostPort: HostPort ?? 0,
    hostPortEnd: HostPortEnd ?? 0,
  }))
}

/**
 * What Join answers. A route without Destination crashes dockerd from 26.1 on.
 *
 * A container whose endpoints offer no gateway gets a second interface on `docker_gwbridge`, where dockerd publishes its
 * ports: right for an endpoint without any gateway. Up to 27.5 one that offers an IPv6 gateway alone would get it, too,
 * and so have IPv4 by a way nobody asked for; DisableGatewayService prevents that. It is not set beside an IPv4 gateway,
 * since libnetwork then overlooks that gateway when it asks what the container's other endpoints need (`needDefaultGW`).
 */
export function joinAnswer({ link, prefix, gateway4, gateway6, routes, alone }: Sandbox) {
  return {
    InterfaceName: { SrcName: link, DstPrefix: prefix },
    Gateway: gateway4 ?? '',
    GatewayIPv6: gateway6 ?? '',
    StaticRoutes: routes.map(({ to, via }) => ({
      Destination: to,
      RouteType: via ? NEXTHOP : CONNECTED,
      NextHop: via ?? '',
    })),
    DisableGatewayService: !gateway4 && (!!gateway6 || alone === true),
  }
}

const NEXTHOP = 0
const CONNECTED = 1

/**
 * Families for which Docker need not set an address aside for the gateway; as Docker's own bridge does since 29: no host
 * address on the bridge and no default route that could use one. Nor does a macvlan or ipvlan network that leads nowhere or routes.
 */
export function skipGateway(options: shapes.NetworkOptions): { SkipIPv4: boolean; SkipIPv6: boolean } {
  const { words, internal } = networkOptions(options)
  const { mode, parent, ipvlan_mode = 'l2' } = words
  if (mode === 'macvlan' || mode === 'ipvlan') {
    const skip = internal || parent === undefined || ipvlan_mode !== 'l2'
    return { SkipIPv4: skip, SkipIPv6: skip }
  }
  const word = (name: string) => (words[name] ?? words[`com.docker.network.bridge.${name}`])?.toLowerCase()
  return {
    SkipIPv4:
      word('gateway_mode_ipv4') === 'isolated' ||
      (internal && ['true', '1'].includes(word('inhibit_ipv4') ?? '')),
    SkipIPv6: word('gateway_mode_ipv6') === 'isolated',
  }
}

/** Docker shows it to whoever inspects the network; no option of ours. */
const REFUSED = 'refused'

/**
 * What the nodes of a Swarm get of a network's options: exactly what is answered here. A network of all nodes is an overlay unless it was
 * said to be something else, and its addresses are given by the Swarm's leader alone.
 *
 * Docker has already told the user that the network is made, and would try an error of ours for ever and hold tasks back without a word.
 * So a complaint goes among the options, for `docker network inspect`; each node refuses the network by itself.
 */
export function allocated(
  { NetworkID, Options }: Request<typeof shapes.AllocateNetwork>,
  complaint: (spec: Planned) => string | undefined = () => undefined,
): Record<string, string> {
  const { [REFUSED]: _, ...said } = Options ?? {}
  const { mode = 'overlay' } = said
  const words = { ...said, mode, ...(mode === 'overlay' && { addresses: 'manual' }) }
  const refused = complaint({
    id: NetworkID,
    words,
    enable: { ipv4: true, ipv6: false },
    ipv4: [],
    ipv6: [],
  })
  return { ...words, ...(refused !== undefined && { [REFUSED]: refused }) }
}

/** A network that a Swarm's leader has looked at, as the user described it. */
export function onNode(spec: NetworkSpec): NetworkSpec {
  const { [REFUSED]: _, ...words } = spec.words
  return { ...spec, words }
}

/** The address of another node that came or went; undefined for this node itself. */
export function otherNode({
  DiscoveryType,
  DiscoveryData,
}: Request<typeof shapes.Discover>): string | undefined {
  return (DiscoveryType === NODE && !DiscoveryData?.Self && DiscoveryData?.Address) || undefined
}

const NODE = 1
