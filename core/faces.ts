import type { StepError } from './errors.ts'
import type {
  Attachment,
  Change,
  Endpoint,
  Network,
  PortRequest,
  Rate,
  Records,
  Route,
  Subnet,
} from './records.ts'
import type { AcceptRow, Inside, LinkRow, Row, Step, Wanted } from './rows.ts'

/** What to read. `rows` are looked up by their key alone, whoever made them; `owned` adds everything that is ours. */
export type Scope = { owned: boolean; rows: readonly Row[] }

/** One outcome a step, in the order of the steps. */
export type Outcome = { ok: true } | { ok: false; error: StepError }

/** The steps that were taken, and the outcome of each. */
export type Amended = { steps: Step[]; outcomes: Outcome[] }

/** What the host is like right now, as far as wanted rows depend on it. */
export type Facts = {
  /** FORWARD chains that exist here and that need our accept rules. */
  accept: AcceptRow[]
  /** Bridges that the container engine made: `docker0`, `docker_gwbridge` and `br-` with twelve hex digits. */
  engineBridges: string[]
  /** First and last ephemeral port, net.ipv4.ip_local_port_range. */
  ephemeral: [number, number]
  /** This kernel lets us hand frames from container to container past the bridge. It doesn't change. */
  shortcut: boolean
}

/** All of Linux, in one network namespace. The fake twin passes the same contract suite. */
export interface Kernel {
  /** Rows that are present. Chain and set rows are returned with the rules that their comment's digest vouches for. */
  read(scope: Scope): Promise<Row[]>
  /** Applies all steps, in order, going on after a failure: one bad network must not stop the others. */
  apply(steps: readonly Step[]): Promise<Outcome[]>
  /** Both at once, for rows that are known: what differs from the wanted ones is corrected, and those of `others` that aren't wanted go. */
  amend(wanted: readonly Wanted[], others: readonly Row[]): Promise<Amended>
  /** Rings when something of ours, or a firewall beside us, may have moved. Carries no data: read to know. */
  watch(ring: () => void): void
  /** A link in a container's namespace; undefined when it isn't there, or the namespace isn't. */
  look(namespace: string, link: string): Promise<Furnished | undefined>
  /**
   * Takes a link of ours, and of this MAC, out of sight in a container's namespace, before it goes with its other end: its name is free
   * at once.
   * Anything that isn't there is fine.
   */
  retire(namespace: string, link: string, mac?: string): Promise<void>
  /**
   * In a container's namespace, connections to these addresses go to their backends in turn; what was said before of this namespace is
   * forgotten. Answers false when there is no such namespace, not yet or no more. Rejects with the kernel's words.
   */
  balance(namespace: string, services: readonly VirtualService[]): Promise<boolean>
  /** A link of the host as a parent of others; undefined when it isn't there. */
  parent(name: string): Promise<Parent | undefined>
  /**
   * Asks the LAN behind a link who has these addresses (without prefix length), for 100 ms. Answers the first that claims one;
   * undefined when nobody does, or the link is down.
   */
  probe(link: string, addresses: readonly string[]): Promise<Claim | undefined>
  /** Tells the LAN behind a link that these addresses are at this MAC, or at the link's own. */
  announce(link: string, addresses: readonly string[], mac?: string): Promise<void>
  /** Whether a link that the host had under this name is in a container's namespace, by whatever name. */
  holds(namespace: string, link: string): Promise<boolean>
  facts(): Promise<Facts>
  close(): Promise<void>
}

/** An address that nobody has, and who answers for it. */
export type VirtualService = { address: string; backends: readonly string[] }

/** What tells whether links may hang on a link, and how. */
export type Parent = {
  loopback: boolean
  /** Bytes. */
  mtu: number
  /** Bridge or bond that it is a port of. */
  master?: string
  /** Types and modes of the links that hang on it and are to be seen from the host. */
  children: { type: 'macvlan' | 'ipvlan'; mode: string }[]
  /** Its VLANs, by whatever name. */
  vlans: { name: string; tag: number }[]
}

/** Who has an address already. */
export type Claim = { address: string; mac: string }

/** How a link inside of a container is: its addresses in CIDR form, all the container's routes, and how fast it sends at most. */
export type Furnished = {
  mac: string
  mtu: number
  up: boolean
  addresses: string[]
  routes: Route[]
  rate?: Rate
}

/** What a container gets: printed into Docker's Join answer, or furnished by us for CNI. */
export type Sandbox = {
  /** Link in the host's namespace that is to be moved into the container. */
  link: string
  /** Prefix of its name there. */
  prefix: string
  gateway4?: string
  gateway6?: string
  routes: Route[]
  /** Without a gateway, Docker's own way out isn't to be had instead. */
  alone?: boolean
}

/** An endpoint of a network on another host: its MAC, its addresses without prefix length, and where frames for it go. */
export type Remote = { mac: string; addresses: readonly string[]; vtep: string }

/** This host's tunnel end points; at least one of the two. */
export type Underlay = {
  ipv4?: string
  ipv6?: string
  /** Bytes of the largest IP packet that hosts can send to each other. */
  mtu: number
  /** VXLAN's UDP port, the same on every host. */
  port: number
  /** UDP and TCP port where this host answers containers' questions for names, if it does. */
  names?: number
  /** The links that have them, and the prefixes that they are in: who has an address there needs no tunnel. */
  links?: { name: string; prefix: string }[]
}

/**
 * What other hosts told. Networks go by the key that all hosts share (`sharedKey`), never by Docker's id. Where two endpoints
 * elsewhere claim one address, `byAddress` decides.
 */
export interface Peers {
  /** Undefined: this host has no tunnel end point, its networks are its own. */
  readonly self: Underlay | undefined
  remotes(network: string): Iterable<Remote>
  byMac(network: string, mac: string): Remote | undefined
  byAddress(network: string, address: string): Remote | undefined
  /** Tunnel end points of hosts that have endpoints of the network. */
  holders(network: string): ReadonlySet<string>
  /** Blocks of these pools that other hosts give addresses of, in CIDR form, and the tunnel end points of those hosts. */
  blocks(network: string, pools: readonly string[]): ReadonlyMap<string, string>
  /** Whether an address lies in a block of the host behind a tunnel end point, or without one in a block of any other host. */
  covers(network: string, pools: readonly string[], address: string, vtep?: string): boolean
  /** Whether all that others know of the network has been heard once: until then, what isn't listed may well be. */
  complete(network: string): boolean
  /** Tunnel end points of all current members, as far as they are known. */
  members(): ReadonlySet<string>
  /** Whether all that others know has been heard once. */
  heard(): boolean
}

/** A spot in a network that peers told something new of: every MAC, address and tunnel end point it has or had. */
export type Place = {
  network: string
  macs: readonly string[]
  addresses: readonly string[]
  vteps: readonly string[]
  /** Blocks of addresses in CIDR form. */
  blocks: readonly string[]
}

/** What a mode makes of other hosts. */
export interface Elsewhere {
  /** Links that the rows below hang on. */
  links(network: Network): string[]
  /** Rows of one endpoint on another host; none when its tunnel end point can't be reached from here. */
  remote(network: Network, remote: Remote, self: Underlay): Row[]
  /** Rows of one other host that has endpoints of the network, or blocks of its addresses. */
  holder(network: Network, vtep: string, self: Underlay): Row[]
  /** Without, networks of the mode are in the kernel only while an endpoint of them is on this host. */
  readonly blocks?: BlockRows
}

/**
 * Only for modes where a host is the way to its blocks of addresses: an endpoint elsewhere has no address in `remote` that lies in a
 * block of its own host. Their networks are in the kernel as long as they are recorded, since others send here whatever is in this host's blocks.
 */
export interface BlockRows {
  /** Rows of a block of another host; none outside of the network's pools. */
  block(network: Network, prefix: string, vtep: string, self: Underlay): Row[]
  /** Rows of an endpoint here whose address lies in a block of another host. */
  stray(network: Network, address: string): Row[]
}

/** What a mode makes of a parent: the host's link that the containers' links hang on. */
export interface OnParent {
  /** Links that have to be looked at before a network is made: the parent, and the one below it if it is a VLAN. */
  names(network: Network): string[]
  /** Throws Refused with a sentence that tells why these links, or what else hangs on them, can't carry the network. */
  admit(network: Network, others: readonly Network[], parents: ReadonlyMap<string, Parent>): void
  /** Where the endpoint's neighbours on the LAN are, and its addresses there; undefined when it has none. */
  lan(
    network: Network,
    endpoint: Pick<Endpoint, 'ipv4' | 'ipv6'>,
  ): { link: string; addresses: string[] } | undefined
  /** Whether the addresses are to be asked for before a container gets them. */
  probes(network: Network): boolean
  /** Containers have the parent's MAC. */
  readonly macless: boolean
  /** The container's link anew, where the kernel took it away together with its parent. */
  again(network: Network, endpoint: Endpoint & { sandbox: string }): LinkRow
}

/** One way of making a network. Pure: records in, rows out. */
export interface Mode {
  /** Parses `-o` words and labels; throws Refused with a sentence that names what is unknown and what is allowed. */
  options(
    words: Record<string, string>,
    network: { internal: boolean; ipv4: boolean; ipv6: boolean },
  ): Record<string, unknown>
  /** Words that `--driver-opt` of an endpoint may say. */
  readonly endpointWords: readonly string[]
  /** The host's link that the network is made of; no two networks share one. */
  link(network: Network): string
  /** Rows of the network itself, in the host's namespace. */
  network(network: Network, self?: Underlay): Wanted[]
  /** Rows of one endpoint, in the host's namespace. */
  endpoint(network: Network, endpoint: Endpoint, self?: Underlay): Wanted[]
  /** Only for modes whose networks span hosts. */
  readonly elsewhere?: Elsewhere
  /** Only for modes whose links hang on one of the host's. Networks of one parent want some rows together. */
  readonly onParent?: OnParent
  sandbox(network: Network, endpoint: Endpoint): Sandbox
  /** Bytes of a container's largest packet; undefined leaves the kernel's choice. */
  mtu(network: Network, self?: Underlay): number | undefined
  /** Where a port is to be published; throws Refused when this network can't. */
  listeners(network: Network, endpoint: Endpoint, request: PortRequest): Listener[]
  /** The host's link of an endpoint: it lives as long as the sandbox does. */
  hostLink(endpoint: Endpoint): string
}

/** One host address that a port is published at, and the container's address behind it. */
export type Listener = {
  hostIp: string
  address: string
  /** False: only opened at the container's own address. */
  mapped: boolean
}

/** Durable records. */
export interface Store {
  /** Everything that was durable when the last daemon ended, however it ended. */
  readonly records: Records
  /** Resolves when the changes, all or none, are on disk; `records` shows them from then on. */
  write(changes: readonly Change[]): Promise<void>
  close(): Promise<void>
}

export type Clock = () => number

/** A network as a caller describes it, its option words not yet parsed. */
export type NetworkSpec = {
  id: string
  /** `-o` words, `mode` among them. */
  words: Record<string, string>
  internal: boolean
  ipv4: Subnet[]
  ipv6: Subnet[]
  enable: { ipv4: boolean; ipv6: boolean }
  /** What all hosts call it; else the word `name`, else its id. */
  shared?: string
  conflist?: string
}

/** An endpoint as a caller describes it; a missing `mac` is to be chosen. */
export type EndpointSpec = Pick<
  Endpoint,
  'id' | 'network' | 'ipv4' | 'ipv6' | 'options' | 'ports' | 'attachment'
> & {
  mac?: string
}

/** An endpoint that a CNI runtime asks for: its ports are published at once. */
export type AttachmentSpec = EndpointSpec & { attachment: Attachment }

/** The host's links of an attachment, and what it got inside. */
export type Attached = {
  mac: string
  bridge: string
  link: string
  mtu?: number
  inside: Pick<Inside, 'addresses' | 'routes'>
}

/** What the CNI door asks besides. */
export interface Attachments extends Networks {
  networks(): Iterable<Network>
  attachments(): (Endpoint & { attachment: Attachment })[]
  /**
   * Refused when a port is taken; a StepError EEXIST tells that the container has a link of that name. What `beside` writes goes to the
   * disk together with the record.
   */
  attach(spec: AttachmentSpec, beside?: () => Promise<unknown>): Promise<Attached>
  /** An unknown id is fine. The link's name in the container is free at once. */
  detach(id: string): Promise<void>
  /** Takes out of sight a link that no record tells of: its ADD was cut off, and its other end is on the way out. */
  evict(namespace: string, ifname: string): Promise<void>
  /** What of an attachment isn't as it was made, a sentence each. */
  drift(id: string): Promise<string[]>
  /** Those whose link is gone, as it goes with the container's namespace. */
  severed(): Promise<(Endpoint & { attachment: Attachment })[]>
}

/**
 * What the doors ask of the engine. A promise resolves when its change is on disk and in the kernel (what is deleted leaves the
 * kernel a moment later); Refused tells that nothing was changed. Docker repeats itself, so taking away what isn't there is fine, and so is asking twice for the same.
 */
export interface Networks {
  /** Docker has started, or met us for the first time. */
  activated(): void
  /** The same id again with the same content is fine, with other content Refused. */
  createNetwork(spec: NetworkSpec): Promise<void>
  /** An unknown id is fine. */
  deleteNetwork(id: string): Promise<void>
  /** `mac` is empty where the container has none of its own. */
  createEndpoint(spec: EndpointSpec): Promise<{ mac: string }>
  /** Unpublishes and leaves first. An unknown id is fine. */
  deleteEndpoint(id: string): Promise<void>
  /** Refused for an unknown id. */
  join(id: string, sandbox: string): Promise<Sandbox>
  /** Unpublishes first. An unknown id is fine. */
  leave(id: string): Promise<void>
  /** Replaces what was published. Refused for an unknown id and for a port that is taken. */
  publish(id: string, ports: PortRequest[]): Promise<void>
  /** An unknown id is fine. */
  unpublish(id: string): Promise<void>
  endpoint(id: string): Endpoint | undefined
  network(id: string): Network | undefined
}
