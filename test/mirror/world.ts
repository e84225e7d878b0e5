import { type Birth, type Decision, decide, inTheWay, type Ledger } from '../../bin/mirror/decide.ts'
import { clash, type Net, type Word } from '../../bin/mirror/network.ts'

/** A network of 10.N.0.0/16. */
export function net(name: string, subnet: number, made = 0, more: Partial<Net> = {}): Net {
  return {
    made,
    vni: 0x800000 + made,
    name,
    driver: 'tsnet',
    ipam: {
      driver: 'tsnet',
      options: {},
      subnets: [{ subnet: `10.${subnet}.0.0/16`, gateway: `10.${subnet}.0.1` }],
    },
    options: { mode: 'overlay' },
    labels: {},
    internal: false,
    attachable: false,
    ipv4: true,
    ipv6: false,
    ...more,
  }
}

type Kept = { birth: Birth; net: Net; used: boolean }
type Said = { version: number; words: ReadonlyMap<Birth, Word> }

/** A Docker host on plain data: what its engine has, what its mirror remembers, what it has heard. */
export class Host {
  readonly name: string
  readonly engine = new Map<string, Kept>()
  ledger: Ledger = { docker: '', bound: new Map(), removed: new Set() }
  reports = new Map<string, string>()
  readonly #world: World
  #store = 1
  #heard = false
  #version = 0
  #said: ReadonlyMap<Birth, Word> = new Map()
  #others = new Map<string, Said>()
  /** Removed here, and not yet looked at. */
  readonly #pending = new Set<Birth>()

  constructor(name: string, world: World) {
    this.name = name
    this.#world = world
  }

  /** False when it was refused. */
  create(name: string, subnet: number): boolean {
    const id = `${this.name}-${this.#world.count++}`
    const wanted = net(name, subnet, this.#world.count)
    const missing = [...this.ledger.bound].filter(([, bound]) => !this.engine.has(bound.id))
    const removed = new Set([...this.ledger.removed, ...missing.map(([birth]) => birth)])
    if (
      this.#taken(wanted) ||
      inTheWay(wanted, { others: this.#words(), ledger: { ...this.ledger, removed } })
    )
      return false
    this.engine.set(id, { birth: id, net: wanted, used: false })
    this.#world.born.set(id, wanted)
    return true
  }

  remove(name: string): void {
    const [id, kept] = this.#named(name)
    if (!id || !kept || kept.used) return
    this.engine.delete(id)
    this.#pending.add(kept.birth)
  }

  use(name: string, used: boolean): void {
    const [, kept] = this.#named(name)
    if (kept) kept.used = used
  }

  /** The daemon begins anew with what was on disk. */
  restart(): void {
    const { bound, removed } = this.ledger
    this.#said = new Map([...bound].map(([birth, { net }]) => [birth, removed.has(birth) ? {} : { net }]))
    this.#version++
    this.#others.clear()
    this.#heard = false
  }

  /** Docker lost its folder. */
  reset(): void {
    this.engine.clear()
    this.#pending.clear()
    this.#store++
  }

  /** Whether anything came of it. */
  look(): boolean {
    const decision = decide({
      ledger: this.ledger,
      docker: String(this.#store),
      listed: new Set(this.engine.keys()),
      here: [...this.engine].map(([id, kept]) => ({ id, ...kept })),
      others: this.#words(),
      heard: this.#heard,
      said: this.#said,
    })
    for (const birth of this.#pending) this.#world.removed.add(birth)
    this.#pending.clear()
    const moved =
      JSON.stringify(plain(decision)) !== JSON.stringify(plain({ ledger: this.ledger, words: this.#said }))
    if (moved) this.#version++
    this.ledger = decision.ledger
    this.#said = decision.words
    this.reports = decision.reports
    for (const deed of decision.deeds) this.#carryOut(deed)
    return moved || decision.deeds.length > 0
  }

  /** Both know afterwards what either of them knew. */
  meet(other: Host): void {
    const all = [this.#all(), other.#all()].flatMap(each => [...each])
    for (const [origin, said] of all)
      for (const host of [this, other])
        if (origin !== host.name && (host.#others.get(origin)?.version ?? -1) < said.version)
          host.#others.set(origin, said)
    this.#heard = true
    other.#heard = true
  }

  births(): Birth[] {
    return [...this.engine.values()].map(({ birth }) => birth).sort()
  }

  #all(): Map<string, Said> {
    return new Map([...this.#others, [this.name, { version: this.#version, words: this.#said }]])
  }

  #words() {
    return new Map([...this.#others].map(([origin, { words }]) => [origin, words]))
  }

  #named(name: string) {
    return [...this.engine].find(([, kept]) => kept.net.name === name) ?? []
  }

  #taken(wanted: Net): boolean {
    return [...this.engine.values()].some(each => each.net.name === wanted.name || clash(each.net, wanted))
  }

  #carryOut(deed: Decision['deeds'][number]): void {
    if (deed.do === 'create') {
      if (this.#taken(deed.net)) return
      const id = `${this.name}-${this.#world.count++}`
      this.engine.set(id, { ...deed, used: false })
      this.ledger = {
        ...this.ledger,
        bound: new Map([...this.ledger.bound, [deed.birth, { id, net: deed.net }]]),
      }
    } else if (!this.engine.get(deed.id)?.used) this.engine.delete(deed.id)
  }
}

const plain = ({ ledger, words }: { ledger: Ledger; words: ReadonlyMap<Birth, Word> }) => [
  ledger.docker,
  [...ledger.bound],
  [...ledger.removed],
  [...words].sort(([a], [b]) => (a < b ? -1 : 1)),
]

export class World {
  count = 1
  readonly born = new Map<Birth, Net>()
  /** By a user, at the last look. */
  readonly removed = new Set<Birth>()
  readonly hosts: Host[]

  constructor(hosts: number) {
    this.hosts = Array.from({ length: hosts }, (_, at) => new Host(`host${at}`, this))
  }

  host(at: number): Host {
    return this.hosts[at % this.hosts.length] as Host
  }

  /** Everybody meets everybody and looks until nothing moves. */
  settle(): void {
    for (let round = 0; round < 20; round++) {
      for (const a of this.hosts) for (const b of this.hosts) if (a !== b) a.meet(b)
      const moved = this.hosts.map(host => host.look())
      if (!moved.includes(true)) return
    }
    throw new Error('the hosts never come to rest')
  }
}
