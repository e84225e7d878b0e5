import { createHash } from 'node:crypto'
import { host, isDefault } from '../core/addresses.ts'
import { Refused, StepError } from '../core/errors.ts'
import type { Attached, Attachments } from '../core/faces.ts'
import type { Attachment, Endpoint, Network, PortRequest } from '../core/records.ts'
import type { Log } from '../core/settle.ts'
import { Turns } from '../core/turns.ts'
import { bandwidthOf } from './bandwidth.ts'
import { askedAddresses, type Config, dnsOf, readConfig, readName } from './config.ts'
import { CniError, CODE } from './errors.ts'
import type { Book, ConfiguredNetworks } from './networks.ts'
import { type Asked, askedIn, type Call, type Subject, subjectOf } from './request.ts'
import { chained, printed, type Result, resultOf } from './result.ts'
import { checkedVersion, isBefore } from './version.ts'

export type DoorParts = {
  engine: Attachments
  book: Book
  networks: ConfiguredNetworks
  /** Number of the namespace's file at a path; undefined when no network namespace is there. */
  inodeOf(path: string): number | undefined
  log: Log
}

type Held = Endpoint & { attachment: Attachment }
type Addresses = Pick<Endpoint, 'ipv4' | 'ipv6'>
/** Taken, and not yet on their way to the disk. */
type Granted = { addresses: Addresses; write(): Promise<unknown> }

/**
 * The verbs. Whatever a runtime does twice, late or never comes out right: an attachment is known by network, container and name of its
 * link, never by the path of a namespace, which is reused.
 */
export class Door {
  readonly #parts: DoorParts
  readonly #turns = new Turns()
  /** Attachments that seemed dead at the last look. */
  #doubtful = new Set<string>()

  constructor(parts: DoorParts) {
    this.#parts = parts
  }

  async add({ env, stdin }: Call): Promise<object> {
    const config = readConfig(stdin)
    const version = checkedVersion(config.cniVersion)
    const subject = subjectOf(env)
    const asked = askedIn(env)
    const inode = this.#inode(subject)
    const id = attachmentId(config.name, subject)
    const result = await this.#turns.take(id, () => this.#add(id, config, subject, inode, asked))
    return printed(chained(config.prevResult as Partial<Result>, result), version)
  }

  /** Succeeds whatever is there no more, and with any configuration that has a name. */
  async del({ env, stdin }: Call): Promise<void> {
    const { name } = readName(stdin)
    const subject = subjectOf(env)
    const id = attachmentId(name, subject)
    await this.#turns.take(id, async () => {
      if (this.#parts.engine.endpoint(id)) await this.#drop(id)
      else if (subject.namespace !== '') await this.#parts.engine.evict(subject.namespace, subject.ifname)
    })
  }

  async check({ env, stdin }: Call): Promise<void> {
    const config = readConfig(stdin)
    if (isBefore(checkedVersion(config.cniVersion), '0.4.0'))
      throw new CniError(CODE.version, `CHECK came with cniVersion 0.4.0, not ${config.cniVersion}`)
    if (!config.prevResult) throw new CniError(CODE.config, 'network configuration: CHECK needs prevResult')
    const subject = subjectOf(env)
    this.#inode(subject)
    const id = attachmentId(config.name, subject)
    const wrong = this.#parts.engine.endpoint(id)
      ? [
          ...(await this.#parts.engine.drift(id)),
          ...this.#unmentioned(id, config.prevResult as Partial<Result>),
        ]
      : [`${subject.ifname} of this container is not known`]
    if (wrong.length > 0) throw new CniError(CODE.drift, wrong[0] as string, wrong.slice(1).join('; '))
  }

  /** Takes away what isn't listed, goes on after failures and tells of them at the end. */
  async gc({ stdin }: Call): Promise<void> {
    const config = readConfig(stdin)
    const listed = config['cni.dev/valid-attachments'] ?? config['cni.dev/attachments']
    if (!listed)
      throw new CniError(CODE.config, 'network configuration: cni.dev/valid-attachments is missing')
    const valid = new Set(
      listed.map(({ containerID, ifname }) => attachmentId(config.name, { container: containerID, ifname })),
    )
    const gone = this.#heldBy(config.name).filter(({ id }) => !valid.has(id))
    const done = await Promise.allSettled(gone.map(({ id }) => this.#turns.take(id, () => this.#drop(id))))
    const failures = done.flatMap(each => (each.status === 'rejected' ? [String(each.reason.message)] : []))
    if (failures.length > 0)
      throw new CniError(CODE.kernel, failures[0] as string, failures.slice(1).join('; '))
  }

  /** Whoever is answered at all is answered by a daemon that is ready; what may be wrong is the configuration. */
  async status({ stdin }: Call): Promise<void> {
    try {
      const config = readConfig(stdin)
      checkedVersion(config.cniVersion)
      if (config.network === undefined) this.#parts.networks.spec(config)
      else await this.#parts.networks.of(config)
    } catch (error) {
      throw error instanceof CniError && error.code === CODE.config
        ? new CniError(CODE.notReady, error.message)
        : error
    }
  }

  /**
   * Takes away what no runtime will: most never call GC. An attachment is dead when its link has gone, as it goes with its namespace, and
   * its path leads to that namespace no more. With `twice`, only those that were so at the last look, too: one may be in the making.
   */
  async sweep(twice: boolean): Promise<string[]> {
    const dead = await this.#dead()
    const sure = twice ? dead.filter(id => this.#doubtful.has(id)) : dead
    this.#doubtful = new Set(dead)
    await Promise.all(sure.map(id => this.#turns.take(id, () => this.#drop(id))))
    return sure
  }

  async #dead(): Promise<string[]> {
    const severed = await this.#parts.engine.severed()
    return severed
      .filter(({ attachment }) => this.#parts.inodeOf(attachment.namespace) !== attachment.inode)
      .map(({ id }) => id)
  }

  #inode({ namespace }: Subject): number {
    if (namespace === '') throw new CniError(CODE.environment, 'CNI_NETNS is missing')
    const inode = this.#parts.inodeOf(namespace)
    if (inode === undefined)
      throw new CniError(CODE.environment, `CNI_NETNS "${namespace}" is no network namespace on this host`)
    return inode
  }

  async #add(id: string, config: Config, subject: Subject, inode: number, asked: Asked): Promise<Result> {
    const bandwidth = bandwidthOf(config)
    await this.#clear(id, config.name, subject)
    const network = await this.#parts.networks.of(config)
    const { addresses, write } = await this.#addresses(network, askedAddresses(config, asked))
    const mac = (config.runtimeConfig?.mac ?? asked.MAC)?.toLowerCase()
    const { container, ifname, namespace, pod } = subject
    try {
      const wanted = {
        ...{ id, network: network.id, options: {}, ports: portsOf(config, subject), ...addresses },
        ...(mac && { mac }),
        attachment: {
          ...{ conflist: config.name, container, ifname, namespace, inode },
          routes: routesOf(config, addresses),
          ...(pod && { pod }),
          ...(bandwidth && { bandwidth }),
        },
      }
      return made(config, subject, await this.#parts.engine.attach(wanted, write))
    } catch (error) {
      await this.#parts.engine.detach(id)
      await this.#parts.networks.release(network, addresses)
      throw explained(error, ifname)
    }
  }

  /** What is left of an attempt before, and what a dead sandbox of the same pod holds: its successor may want the same host ports. */
  async #clear(id: string, name: string, { pod, ifname }: Subject): Promise<void> {
    const { engine } = this.#parts
    if (engine.endpoint(id)) {
      if (!(await engine.severed()).some(each => each.id === id))
        throw new CniError(CODE.exists, `${ifname} of this container is there already: DEL has to come first`)
      await this.#drop(id)
    }
    if (pod === undefined) return
    const before = this.#heldBy(name).filter(
      each => each.attachment.pod === pod && each.attachment.ifname === ifname && each.id !== id,
    )
    await Promise.all(before.map(each => this.#turns.take(each.id, () => this.#drop(each.id))))
  }

  #heldBy(name: string): Held[] {
    return this.#parts.engine.attachments().filter(each => each.attachment.conflist === name)
  }

  /** Both families or none. */
  async #addresses(network: Network, asked: readonly string[]): Promise<Granted> {
    const addresses: Addresses = {}
    const writes: (() => Promise<void>)[] = []
    const grant = async (v6: boolean) => {
      const grant = await this.#address(network, asked, v6)
      addresses[v6 ? 'ipv6' : 'ipv4'] = grant.address
      writes.push(grant.write)
    }
    try {
      if (network.ipv4.length > 0) await grant(false)
      if (network.ipv6.length > 0) await grant(true)
      return { addresses, write: () => Promise.all(writes.map(write => write())) }
    } catch (error) {
      await this.#parts.networks.release(network, addresses)
      throw error instanceof Refused ? new CniError(CODE.address, error.message) : error
    }
  }

  async #address(network: Network, asked: readonly string[], v6: boolean) {
    const pool = this.#parts.networks.poolOf(network, v6)
    if (pool === undefined)
      throw new Refused(
        `addresses of network ${network.id} are another driver's: make it with --ipam-driver tsnet`,
      )
    const address = asked.find(each => each.includes(':') === v6) ?? ''
    return this.#parts.book.grantAddress({ pool, address, gateway: false })
  }

  async #drop(id: string): Promise<void> {
    const endpoint = this.#parts.engine.endpoint(id)
    if (!endpoint) return
    const network = this.#parts.engine.network(endpoint.network)
    // Side by side, so that one flush of the disk serves both.
    await Promise.all([this.#parts.engine.detach(id), this.#parts.networks.release(network, endpoint)])
  }

  #unmentioned(id: string, { ips = [] }: Partial<Result>): string[] {
    const { ipv4, ipv6 } = this.#parts.engine.endpoint(id) ?? {}
    const mentioned = new Set(ips.map(({ address }) => host(address)))
    return [ipv4, ipv6].flatMap(each =>
      each === undefined || mentioned.has(host(each)) ? [] : [`prevResult doesn't have the address ${each}`],
    )
  }
}

/** Also what a link on the host is called after. */
export function attachmentId(
  name: string,
  { container, ifname }: Pick<Subject, 'container' | 'ifname'>,
): string {
  return createHash('sha256').update(`${name} ${container} ${ifname}`).digest('hex')
}

/**
 * A host port of 0 isn't published: Kubernetes sends those too. nerdctl and podman listen at host ports themselves, the one before ADD,
 * the other after it; Kubernetes' runtimes leave that to us.
 */
function portsOf({ runtimeConfig }: Config, { pod }: Subject): PortRequest[] {
  return (runtimeConfig?.portMappings ?? [])
    .filter(({ hostport }) => hostport > 0)
    .map(({ hostport, containerport, protocol, hostip }) => ({
      proto: protocol,
      port: containerport,
      hostIp: hostip ?? '',
      hostPort: hostport,
      hostPortEnd: hostport,
      ...(pod === undefined && { held: true }),
    }))
}

/** Those of a family that the container has. */
function routesOf({ ipam }: Config, { ipv4, ipv6 }: Addresses): Attachment['routes'] {
  return (ipam?.routes ?? [])
    .filter(({ dst }) => (dst.includes(':') ? ipv6 : ipv4) !== undefined)
    .map(({ dst, gw }) => ({ to: dst, ...(gw !== undefined && { via: gw }) }))
}

function made(config: Config, { ifname, namespace }: Subject, attached: Attached): Result {
  const { bridge, link, mac, mtu, inside } = attached
  const gateway = (v6: boolean) =>
    inside.routes.find(each => isDefault(each) && each.to.includes(':') === v6)?.via
  return resultOf({
    ...{ bridge, link, ifname, mac, namespace, dns: dnsOf(config), ...(mtu !== undefined && { mtu }) },
    addresses: inside.addresses.map(address => {
      const via = gateway(address.includes(':'))
      return { address, ...(via !== undefined && { gateway: via }) }
    }),
    routes: inside.routes,
  })
}

function explained(error: unknown, ifname: string): unknown {
  if (error instanceof Refused) return new CniError(CODE.port, error.message)
  if (!(error instanceof StepError)) return error
  if (error.code === 'EEXIST')
    return new CniError(CODE.exists, `the container has a link named ${ifname} already`, error.message)
  return new CniError(CODE.kernel, error.message)
}
