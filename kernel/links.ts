import { createHash } from 'node:crypto'
import {
  delLink,
  dumpLinks,
  getLink,
  type Link,
  NetlinkError,
  newLink,
  type Request,
  type Socket,
  setLink,
} from '@tsnet/netlink'
import type { LinkRow, Row } from '../core/rows.ts'
import {
  containerEnd,
  ENGINE_BRIDGE,
  LINK_ALIAS,
  LINK_GROUP,
  type Marks,
  made,
  needsAlias,
  ownership,
  TRASH_GROUP,
  validLinkName,
} from './names.ts'
import { about, type Placed } from './order.ts'
import { type Failure, failure, type Report, type Room } from './room.ts'

/** enum in6_addr_gen_mode: no link-local address of the kernel's own. */
const ADDR_GEN_NONE = 1

/** What tells a link's owner. */
export const marks = (link: Link): Marks => {
  const { name = '', kind = '', group = 0, alias } = link
  return alias === undefined ? { name, type: kind, group } : { name, type: kind, group, alias }
}

/** Links, looked up by name or all at once; what is in the trash is in neither. */
export class Links implements Room {
  readonly #socket: Socket
  readonly #trashed: (count: number) => void

  /** `trashed` hears how many links wait to be deleted: newly put there, or found. */
  constructor(socket: Socket, trashed: (count: number) => void) {
    this.#socket = socket
    this.#trashed = trashed
  }

  read(rows: readonly Row[], owned: boolean): Row[] {
    return this.present(rows, owned).map(({ row }) => row)
  }

  /** Rows with the links they were read from. */
  present(rows: readonly Row[], owned: boolean): { row: LinkRow; link: Link }[] {
    const asked = new Set(rows.flatMap(row => (row.kind === 'link' ? row.name : [])))
    const links = owned ? this.#dump() : this.#look(asked)
    const shown = [...links.values()].filter(link => visible(link, asked))
    const masters = this.#names(shown, links)
    return shown.map(link => ({ link, row: toRow(link, masters) }))
  }

  /** Numbers of links by name, whoever made them. */
  indexes(names: Iterable<string>): Map<string, number> {
    return new Map([...this.#look(new Set(names))].map(([name, link]) => [name, link.index]))
  }

  /** Whether the link of this number is ours, and not on its way out. */
  isOurs(index: number): boolean {
    const [link] = this.#socket.batch([getLink({ index })])
    return link !== undefined && isLink(link) && link.up && ownership(marks(link)) !== 'foreign'
  }

  /** Names of the container engine's own bridges. */
  engineBridges(): string[] {
    return this.#socket
      .dump(dumpLinks({ kind: 'bridge' }))
      .flatMap(({ name = '' }) => (ENGINE_BRIDGE.test(name) ? name : []))
  }

  apply(steps: readonly Placed[], report: Report): void {
    const rest = about(steps, 'link')
    while (rest.length > 0) this.#together(rest.splice(0, independent(rest)), report)
  }

  /** Steps of which none needs a link that another one makes or deletes. */
  #together(steps: Placed<LinkRow>[], report: Report): void {
    const names = steps.flatMap(({ step: { row } }) =>
      [row.name, row.master ?? [], row.peer?.name ?? []].flat(),
    )
    const links = this.#look(new Set(names), true)
    const plans = steps.map(({ at, step }) => ({ at, plan: plan(step, links) }))
    const requests = plans.flatMap(({ plan }) => ('requests' in plan ? plan.requests : []))
    const outcomes = this.#socket.batch(requests)
    for (const { at, plan } of plans) report(at, 'requests' in plan ? outcome(plan, outcomes) : plan)
    const trashed = plans.filter(({ plan }) => 'trash' in plan).length
    if (trashed > 0) this.#trashed(trashed)
  }

  #look(names: ReadonlySet<string>, trash = false): Map<string, Link> {
    const valid = [...names].filter(validLinkName)
    const answers = this.#socket.batch(valid.map(name => getLink({ name })))
    // The kernel also finds links by alternative names, which are no names of ours.
    const links = answers.flatMap((link, i) => (isLink(link) && link.name === valid[i] ? link : []))
    return new Map(
      links.flatMap(link => (trash || link.group !== TRASH_GROUP ? [[link.name as string, link]] : [])),
    )
  }

  #dump(): Map<string, Link> {
    const links = this.#socket.dump(dumpLinks())
    const left = links.filter(link => link.group === TRASH_GROUP).length
    if (left > 0) this.#trashed(left)
    return new Map(links.flatMap(link => (link.group === TRASH_GROUP ? [] : [[link.name ?? '', link]])))
  }

  /** Names of the bridges that these links are ports of. */
  #names(links: readonly Link[], known: ReadonlyMap<string, Link>): Map<number, string> {
    const names = new Map([...known.values()].map(link => [link.index, link.name ?? '']))
    const unknown = [...new Set(links.flatMap(link => link.master ?? []))].filter(index => !names.has(index))
    for (const link of this.#socket.batch(unknown.map(index => getLink({ index })))) {
      if (isLink(link) && link.group !== TRASH_GROUP) names.set(link.index, link.name ?? '')
    }
    return names
  }
}

const isLink = (answer: Link | NetlinkError): answer is Link => !(answer instanceof NetlinkError)

/** How many steps from the first on don't touch a link that an earlier one of them touches. */
function independent(steps: readonly Placed<LinkRow>[]): number {
  const touched = new Set<string>()
  const count = steps.findIndex(({ step: { row } }) => {
    const clash = touched.has(row.name) || touched.has(row.master ?? '') || touched.has(row.peer?.name ?? '')
    for (const name of [row.name, row.peer?.name ?? row.name]) touched.add(name)
    return clash
  })
  return count < 0 ? steps.length : count
}

/** A container's end is shown only to those who ask for it by name. */
function visible(link: Link, asked: ReadonlySet<string>): boolean {
  const name = link.name ?? ''
  return ownership(marks(link)) !== 'foreign' && (asked.has(name) || !containerEnd(name))
}

function toRow(link: Link, masters: ReadonlyMap<number, string>): LinkRow {
  const { name = '', mtu = 0, address = '', up } = link
  const master = link.master === undefined ? undefined : masters.get(link.master)
  const port = { hairpin: link.port?.hairpin === 1, isolated: link.port?.isolated === 1 }
  return {
    kind: 'link',
    name,
    type: link.kind as LinkRow['type'],
    up,
    mtu,
    mac: address,
    ...(master === undefined ? {} : { master, ...port }),
    ...(ownership(marks(link)) === 'adopted' ? { adopted: true } : {}),
  }
}

/** `cleared` requests in front may find nothing to delete: the trash is emptied in the background. */
type Plan = Failure | { requests: Request<undefined>[]; trash?: true; cleared?: number }

const nothing: Plan = { requests: [] }

/** What a step comes to, given the links that its names stand for (those in the trash included). */
function plan({ verb, row }: Placed<LinkRow>['step'], links: ReadonlyMap<string, Link>): Plan {
  const there = links.get(row.name)
  const present = there?.group === TRASH_GROUP ? undefined : there
  if (verb === 'delete') return present ? remove(present) : nothing
  if (!validLinkName(row.name)) return { code: 'EINVAL', words: `'${row.name}' is no name for a link` }
  const master = row.master === undefined ? undefined : links.get(row.master)
  if (row.master !== undefined && (!master || master.group === TRASH_GROUP)) {
    return { code: 'ENODEV', words: `no such bridge: ${row.master}` }
  }
  if (verb === 'set') return present ? { requests: change(row, present, master?.index) } : absent(row)
  if (verb === 'add' && present) return adopt(row, present)
  if (present && !made(marks(present))) return { code: 'EPERM', words: 'the link is not ours' }
  const peer = links.get(row.peer?.name ?? '')
  const gone = [there, peer].filter(link => link && (link === there || link.group === TRASH_GROUP))
  const first = [
    ...new Set(gone.map(link => (link?.link === there?.index && there ? there : link))),
  ] as Link[]
  const clear = first.map(({ index }) => delLink({ index }))
  return { requests: [...clear, ...create(row, master?.index)], cleared: clear.length }
}

const absent = (row: LinkRow): Failure => ({ code: 'ENODEV', words: `no such link: ${row.name}` })

/**
 * Deleting a link takes the kernel 15 to 20 ms, a whole group of links hardly longer: for now it goes down and into the
 * trash group, where no rule and no reader sees it.
 */
function remove(link: Link): Plan {
  switch (ownership(marks(link))) {
    case 'own':
      return { requests: [setLink({ index: link.index, up: false, group: TRASH_GROUP })], trash: true }
    case 'adopted':
      return { requests: [setLink({ index: link.index, group: 0 })] }
    case 'foreign':
      return { code: 'EPERM', words: `${link.name} is not ours` }
  }
}

/** Adding a bridge that is there and not yet ours takes it into use; a link of ours is there already. */
function adopt(row: LinkRow, link: Link): Plan {
  if (row.type !== 'bridge' || link.kind !== 'bridge' || link.group === LINK_GROUP) {
    return { code: 'EEXIST', words: `a link named ${row.name} is there` }
  }
  const mtu = row.mtu === undefined ? {} : { mtu: row.mtu }
  return { requests: [setLink({ index: link.index, group: LINK_GROUP, up: row.up, ...mtu })] }
}

function create(row: LinkRow, master: number | undefined): Request<undefined>[] {
  return row.type === 'bridge' ? createBridge(row) : createVeth(row, master)
}

/**
 * A bridge as Docker makes it: no spanning tree, so no forward delay. Its MTU and MAC are set once it is there, which
 * keeps it from taking them from its ports (BROPT_MTU_SET_BY_USER and NET_ADDR_SET in net/bridge).
 */
function createBridge(row: LinkRow): Request<undefined>[] {
  const { name, mtu, up, mac = bridgeMac(name) } = row
  const data = { forwardDelay: 0, stpState: 0 }
  return [
    newLink({ name, group: LINK_GROUP, kind: 'bridge', data, address: mac }),
    setLink({
      name,
      address: mac,
      afSpec: { inet6: { addrGenMode: ADDR_GEN_NONE } },
      ...(mtu === undefined ? {} : { mtu }),
      ...(needsAlias(row) ? { alias: LINK_ALIAS } : {}),
    }),
    ...(up ? [setLink({ name, up })] : []),
  ]
}

/** Locally administered, and the same each time the bridge is made: neighbours that remember it stay right. */
function bridgeMac(name: string): string {
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 10)
  return ['02', ...(hash.match(/../g) as string[])].join(':')
}

/** IFLA_AF_SPEC and settings of a port can't be given at birth (rtnl_newlink_create), and must precede the way up. */
function createVeth(
  { name, mtu, mac, up, peer, ...row }: LinkRow,
  master: number | undefined,
): Request<undefined>[] {
  const both = { group: LINK_GROUP, ...(mtu === undefined ? {} : { mtu }) }
  const other = peer && {
    name: peer.name,
    ...both,
    ...(peer.mtu === undefined ? {} : { mtu: peer.mtu }),
    ...(peer.mac === undefined ? {} : { address: peer.mac }),
  }
  return [
    newLink({
      name,
      ...both,
      ...(mac === undefined ? {} : { address: mac }),
      ...(master === undefined ? {} : { master }),
      kind: 'veth',
      ...(other ? { data: { peer: other } } : {}),
    }),
    setLink({
      name,
      afSpec: { inet6: { addrGenMode: ADDR_GEN_NONE } },
      ...(master === undefined ? {} : portSettings(row)),
    }),
    ...(up ? [setLink({ name, up })] : []),
  ]
}

function portSettings({ hairpin, isolated }: Pick<LinkRow, 'hairpin' | 'isolated'>) {
  const port = {
    ...(hairpin === undefined ? {} : { hairpin: Number(hairpin) }),
    ...(isolated === undefined ? {} : { isolated: Number(isolated) }),
  }
  return Object.keys(port).length > 0 ? { port } : {}
}

/** A port's settings are looked at before its new master is, so they come in a message of their own. */
function change(row: LinkRow, { index }: Link, master: number | undefined): Request<undefined>[] {
  const settings = portSettings(row)
  return [
    setLink({
      index,
      group: LINK_GROUP,
      ...(row.mtu === undefined ? {} : { mtu: row.mtu }),
      ...(row.mac === undefined ? {} : { address: row.mac }),
      ...(master === undefined ? {} : { master }),
      up: row.up,
    }),
    ...('port' in settings ? [setLink({ index, ...settings })] : []),
  ]
}

/** Takes the plan's own outcomes off the front. */
function outcome(
  { requests, cleared = 0 }: Exclude<Plan, Failure>,
  outcomes: (undefined | NetlinkError)[],
): Failure | undefined {
  const error = outcomes
    .splice(0, requests.length)
    .find((outcome, i) => outcome instanceof NetlinkError && (i >= cleared || outcome.code !== 'ENODEV'))
  return error && failure(error)
}
