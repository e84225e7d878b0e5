import { diff } from '../core/diff.ts'
import { StepError } from '../core/errors.ts'
import type {
  Amended,
  Claim,
  Facts,
  Furnished,
  Kernel,
  Outcome,
  Parent,
  Scope,
  VirtualService,
} from '../core/faces.ts'
import { line, stepLine } from '../core/lines.ts'
import type {
  FdbRow,
  NeighbourRow,
  PortRow,
  RateRow,
  RouteRow,
  Row,
  ShortcutRow,
  Step,
  SysctlRow,
  Wanted,
} from '../core/rows.ts'
import { key } from '../core/rows.ts'
import { link, linkRow } from './fakelinks.ts'
import { chain, element, type Plan, set } from './fakerules.ts'
import { encodeFields, isMac, plain } from './fields.ts'
import { ENGINE_BRIDGE } from './names.ts'
import { about, ordered } from './order.ts'
import { linkOf } from './sysctls.ts'
import { Errno, fail, World } from './world.ts'

export { World }

/**
 * A kernel in memory that passes the same contract suite as Linux. `world` is the namespace: a second kernel on the same
 * world is the daemon after kill -9.
 */
export class FakeKernel implements Kernel {
  readonly world: World
  /** Every step that was applied, as lines, oldest first. */
  readonly log: string[] = []
  #rings: (() => void)[] = []
  readonly #held = new Set<string>()

  constructor(world = new World()) {
    this.world = world
  }

  async read({ owned, rows }: Scope): Promise<Row[]> {
    const found = new Map<string, Row>()
    for (const row of [...rows.flatMap(row => this.#find(row) ?? []), ...(owned ? this.#owned() : [])]) {
      found.set(key(row), structuredClone(row))
    }
    return [...found.values()]
  }

  async apply(steps: readonly Step[]): Promise<Outcome[]> {
    const outcomes: Outcome[] = []
    const placed = ordered(steps)
    const plan = new Map(
      about(placed, 'chain').map(({ step: { verb, row } }) => [
        row.name,
        verb === 'delete' ? undefined : row,
      ]),
    )
    for (const { at, step } of placed.flat()) outcomes[at] = this.#try(structuredClone(step), plan)
    return outcomes
  }

  async amend(wanted: readonly Wanted[], others: readonly Row[]): Promise<Amended> {
    const rows = [...wanted.map(({ row }) => row), ...others]
    const steps = diff(wanted, await this.read({ owned: false, rows }))
    return { steps, outcomes: await this.apply(steps) }
  }

  async facts(): Promise<Facts> {
    return {
      accept: structuredClone(this.world.possible),
      engineBridges: [...this.world.links.keys()].filter(name => ENGINE_BRIDGE.test(name)),
      ephemeral: [32768, 60999],
      shortcut: this.world.bpf,
    }
  }

  async look(namespace: string, link: string): Promise<Furnished | undefined> {
    return structuredClone(this.world.insides.get(`${namespace} ${link}`)?.furnished)
  }

  async retire(namespace: string, link: string, mac?: string): Promise<void> {
    const at = `${namespace} ${link}`
    const there = this.world.insides.get(at)?.furnished.mac
    if (there === (mac ?? there)) this.world.insides.delete(at)
  }

  async balance(namespace: string, services: readonly VirtualService[]): Promise<boolean> {
    this.world.balanced.set(namespace, structuredClone(services))
    return true
  }

  async parent(name: string): Promise<Parent | undefined> {
    return this.world.parent(name)
  }

  async probe(link: string, addresses: readonly string[]): Promise<Claim | undefined> {
    const claims = addresses.flatMap(address => {
      const mac = this.world.neighboursOn.get(`${link} ${address}`)
      return mac === undefined ? [] : { address, mac }
    })
    return claims[0]
  }

  async announce(link: string, addresses: readonly string[], mac?: string): Promise<void> {
    const own = this.world.links.get(link)?.row.mac ?? ''
    for (const address of addresses) this.world.announced.set(`${link} ${address}`, mac ?? own)
  }

  async holds(namespace: string, link: string): Promise<boolean> {
    return [...this.world.insides.entries()].some(
      ([at, { host }]) => host === link && at.startsWith(`${namespace} `),
    )
  }

  watch(ring: () => void): void {
    this.#rings.push(ring)
    this.world.rings.add(ring)
  }

  async close(): Promise<void> {
    for (const ring of this.#rings) this.world.rings.delete(ring)
    for (const port of this.#held) this.world.ports.delete(port)
  }

  /** Everything in the namespace, ours or not, as sorted lines. */
  dump(): string[] {
    const { links, addresses, fdb, neighbours, sysctls, ports } = this.world
    const rows: Row[] = [
      ...[...links.values()].map(link => link.row),
      ...[...addresses.values()].map(({ link, address }) => ({ kind: 'address' as const, link, address })),
      ...[...sysctls].map(([key, value]) => ({ kind: 'sysctl' as const, key, value })),
      ...[...fdb.values(), ...neighbours.values(), ...ports.values()],
      ...this.world.plain(),
    ]
    return rows.map(line).sort()
  }

  #try(step: Step, plan: Plan): Outcome {
    try {
      this.#do(step, plan)
      this.log.push(stepLine(step))
      return { ok: true }
    } catch (error) {
      if (!(error instanceof Errno)) throw error
      return { ok: false, error: new StepError(stepLine(step), error.code, error.message) }
    }
  }

  #do(step: Step, plan: Plan): unknown {
    const { row } = step
    switch (row.kind) {
      case 'link':
        return link(this.world, step.verb, row)
      case 'address':
        return this.#address(step.verb, row)
      case 'fdb':
      case 'neighbour':
        return this.#hanging(step.verb, row)
      case 'route':
        return this.#route(step.verb, row)
      case 'sysctl':
        return this.#sysctl(step.verb, row)
      case 'chain':
        return chain(this.world, step.verb, row, plan)
      case 'set':
        return set(this.world, step.verb, row)
      case 'element':
        return element(this.world, step.verb, row)
      case 'port':
        return this.#port(step.verb, row)
      case 'accept':
        return step.verb === 'delete'
          ? this.world.accepts.delete(key(row))
          : this.world.accepts.set(key(row), row)
      case 'shortcut':
        return this.#shortcut(step.verb, row)
      case 'rate':
        return this.#rate(step.verb, row)
    }
  }

  #address(verb: Step['verb'], { link, address, kind }: Extract<Row, { kind: 'address' }>): unknown {
    const at = key({ kind, link, address })
    if (verb === 'delete') return this.world.addresses.delete(at)
    if (!this.world.links.has(link)) fail('ENODEV', `no such link ${link}`)
    if (!encodeFields([address.includes(':') ? 'ipv6_addr' : 'ipv4_addr'], [address], true))
      fail('EINVAL', 'no valid address')
    if (verb === 'add' && this.world.addresses.has(at)) fail('EEXIST', 'the address is there')
    this.world.addresses.set(at, { link, address, ours: true })
  }

  #route(verb: Step['verb'], row: RouteRow): unknown {
    if (verb === 'delete') return this.world.routes.delete(key(row))
    if (!this.world.links.has(row.link)) fail('ENODEV', `no such link ${row.link}`)
    this.world.routes.set(key(row), row)
  }

  #hanging(verb: Step['verb'], row: FdbRow | NeighbourRow): unknown {
    const table: Map<string, Row> = this.world[row.kind === 'fdb' ? 'fdb' : 'neighbours']
    if (verb === 'delete') return table.delete(key(row))
    if (!plain(row.kind === 'fdb' ? row.to : row.address) || !isMac(row.mac))
      fail('EINVAL', 'no valid address')
    if (!this.world.links.has(row.link)) fail('ENODEV', `no such link ${row.link}`)
    table.set(key(row), row)
  }

  #sysctl(verb: Step['verb'], { key: at, value }: SysctlRow): void {
    if (verb === 'delete') return void this.world.sysctls.delete(linkOf(at) === undefined ? '' : at)
    if (this.#sysctlValue(at) === undefined) fail('ENOENT', 'no such sysctl')
    if (!/^-?\d/.test(value)) fail('EINVAL', 'no valid value')
    this.world.sysctls.set(at, value)
  }

  #sysctlValue(at: string): string | undefined {
    const link = linkOf(at)
    const there = this.world.sysctls.get(at)
    return there ?? (link !== undefined && this.world.links.has(link) ? '0' : undefined)
  }

  #port(verb: Step['verb'], row: PortRow): unknown {
    const { ports } = this.world
    if (verb === 'delete') return ports.delete(key(row)) && this.#held.delete(key(row))
    if ([...ports.values()].some(other => clash(other, row))) fail('EADDRINUSE', 'address already in use')
    ports.set(key(row), row)
    this.#held.add(key(row))
  }

  /** Fails in silence, as Linux does. */
  #shortcut(verb: Step['verb'], row: ShortcutRow): void {
    const { bpf, links, shortcuts } = this.world
    if (verb === 'delete') shortcuts.delete(row.link)
    else if (bpf && links.has(row.link) && links.has(row.bridge)) shortcuts.set(row.link, row)
  }

  #rate(verb: Step['verb'], row: RateRow): unknown {
    const { links, rates } = this.world
    if (verb === 'delete') return rates.delete(row.link)
    if (!links.has(row.link)) fail('ENODEV', `no such link ${row.link}`)
    rates.set(row.link, row)
  }

  #find(row: Row): Row | undefined {
    const { addresses, fdb, neighbours, routes, sets, chains, elements, ports, accepts, shortcuts, rates } =
      this.world
    switch (row.kind) {
      case 'link':
        return linkRow(this.world, row.name, row.type === 'vlan')
      case 'address':
        return addresses.has(key(row)) ? { kind: 'address', link: row.link, address: row.address } : undefined
      case 'fdb':
        return fdb.get(key(row))
      case 'neighbour':
        return neighbours.get(key(row))
      case 'route':
        return routes.get(key(row))
      case 'sysctl': {
        const value = this.#sysctlValue(row.key)
        return value === undefined ? undefined : { kind: 'sysctl', key: row.key, value }
      }
      case 'chain':
        return chains.get(row.name)
      case 'set':
        return sets.get(row.name)
      case 'element':
        return elements.get(key(row))
      case 'port':
        return this.#held.has(key(row)) ? ports.get(key(row)) : undefined
      case 'accept':
        return accepts.get(key(row))
      case 'shortcut':
        return shortcuts.get(row.link)
      case 'rate':
        return rates.get(row.link)
    }
  }

  #owned(): Row[] {
    const { links, addresses, fdb, neighbours, ports } = this.world
    const ours = [...links.keys()].flatMap(name =>
      name.startsWith('tsc-') ? [] : (linkRow(this.world, name) ?? []),
    )
    const own = new Map(ours.map(link => [link.name, link]))
    const hanging = [...addresses.values()].filter(
      ({ link, ours }) => own.has(link) && (ours || !own.get(link)?.adopted),
    )
    return [
      ...ours,
      ...hanging.map(({ link, address }) => ({ kind: 'address' as const, link, address })),
      ...[...fdb.values(), ...neighbours.values()].filter(row => own.has(row.link)),
      ...[...this.#held].flatMap(at => ports.get(at) ?? []),
      ...this.world.plain(),
    ]
  }
}

/** Two sockets can't share a port where one of them listens at every address of the family. */
function clash(one: PortRow, other: PortRow): boolean {
  const every = (row: PortRow) => row.address === '0.0.0.0' || row.address === '::'
  const family = (row: PortRow) => row.address.includes(':')
  if (one.proto !== other.proto || one.port !== other.port || family(one) !== family(other)) return false
  return one.address === other.address || every(one) || every(other)
}
