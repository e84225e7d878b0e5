import { closeSync, openSync } from 'node:fs'
import {
  delLink,
  dumpLinks,
  findLink,
  getLink,
  type Link,
  type LinkRef,
  NetlinkError,
  type Outline,
  type Request,
  type Socket,
} from '@tsnet/netlink'
import type { LinkRow, Row } from '../core/rows.ts'
import { furnish, settle } from './inside.ts'
import { explained, hangs, lanFields, mayWaitForTrash } from './lanplan.ts'
import { DF_INHERIT, marks, type Plan, plan } from './linkplan.ts'
import { containerEnd, ENGINE_BRIDGE, ownership, TRASH_GROUP, validLinkName } from './names.ts'
import { about, type Ordered, type Placed } from './order.ts'
import { type Failure, failure, type Report, type Room } from './room.ts'

/** Links, looked up by name or all at once; what is in the trash is in neither. */
export class Links implements Room {
  readonly #socket: Socket
  readonly #trashed: (count: number) => void
  /** Names of links that went into the trash and whose announcement is still to come. */
  readonly #departing = new Set<string>()

  /** Numbers of the links that others are to hang on, by name; 0 for one that isn't there. */
  readonly #parents = new Map<string, number>()

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
    const links = owned ? this.#dump() : this.#look(asked, getLink)
    if (owned) this.#parents.clear()
    for (const row of rows)
      if (row.kind === 'link' && row.parent !== undefined)
        this.#parents.set(row.parent, links.get(row.parent)?.index ?? this.#parents.get(row.parent) ?? 0)
    const vlans = new Set(rows.flatMap(row => (row.kind === 'link' && row.type === 'vlan' ? row.name : [])))
    const shown = [...links.values()].filter(link => visible(link, asked) || vlans.has(link.name ?? ''))
    const above = this.#names(shown, links)
    return shown.map(link => ({ link, row: toRow(link, above) }))
  }

  /** Numbers of links by name, whoever made them. */
  indexes(names: Iterable<string>): Map<string, number> {
    return new Map([...this.#look(new Set(names), findLink)].map(([name, link]) => [name, link.index]))
  }

  /** Whether we have just put a link of this name into the trash. */
  isDeparting(name: string): boolean {
    return this.#departing.has(name)
  }

  /** Its way into the trash was announced. */
  departed(name: string): void {
    this.#departing.delete(name)
  }

  /** Whether somebody made or took away a link that others are to hang on. */
  isParentAnew({ name = '', index }: Outline, there: boolean): boolean {
    if (!this.#parents.has(name) || this.#parents.get(name) === (there ? index : 0)) return false
    this.#parents.set(name, there ? index : 0)
    return true
  }

  /** Whether others are to hang on the link of this number. */
  isParent(index: number): boolean {
    return [...this.#parents.values()].includes(index)
  }

  /** Whether the link of this number is ours, and not on its way out. */
  isOurs(index: number): boolean {
    const [link] = this.#socket.batch([findLink({ index })])
    return link !== undefined && isFound(link) && link.up && ownership(marks(link)) !== 'foreign'
  }

  /** Names of the container engine's own bridges. */
  engineBridges(): string[] {
    return this.#socket
      .dump(dumpLinks({ kind: 'bridge' }))
      .flatMap(({ name = '' }) => (ENGINE_BRIDGE.test(name) ? name : []))
  }

  apply(steps: Ordered, report: Report): void {
    const rest = about(steps, 'link')
    while (rest.length > 0) this.#together(rest.splice(0, independent(rest)), report)
  }

  /** Steps of which none needs a link that another one makes or deletes. */
  #together(steps: Placed<LinkRow>[], report: Report): void {
    const names = steps.flatMap(({ step: { row } }) =>
      [row.name, row.master ?? [], row.parent ?? [], otherEnd(row) ?? []].flat(),
    )
    const links = this.#look(new Set(names), findLink, true)
    const plans: Planned[] = steps.map(({ step }) => planned(step, links))
    const requests = plans.flatMap(plan => ('requests' in plan ? plan.requests : []))
    const outcomes = this.#socket.batch(requests)
    this.#again(steps, plans, outcomes)
    for (const { namespace } of plans) if (namespace !== undefined) closeSync(namespace)
    for (const [i, plan] of plans.entries()) {
      const { at, step } = steps[i] as Placed<LinkRow>
      report(at, 'requests' in plan ? (refused(step, outcome(plan, outcomes)) ?? furnished(step)) : plan)
    }
    const trashed = steps.filter((_, i) => 'trash' in (plans[i] as Plan))
    for (const { step } of trashed) this.#departing.add(step.row.name)
    if (trashed.length > 0) this.#trashed(trashed.length)
  }

  /** What a link in the trash may have stood in the way of, once more without it. */
  #again(
    steps: readonly Placed<LinkRow>[],
    plans: readonly Planned[],
    outcomes: (undefined | NetlinkError)[],
  ): void {
    let at = 0
    let emptied = false
    for (const [i, plan] of plans.entries()) {
      if (!('requests' in plan)) continue
      const { requests } = plan
      const error = outcomes.slice(at, at + requests.length).find(each => each instanceof NetlinkError)
      const { row, verb } = (steps[i] as Placed<LinkRow>).step
      if (error && verb !== 'delete' && hangs(row) && mayWaitForTrash(error)) {
        if (!emptied) this.#socket.batch([delLink({ group: TRASH_GROUP })])
        emptied = true
        outcomes.splice(at, requests.length, ...this.#socket.batch(requests))
      }
      at += requests.length
    }
  }

  #look<L extends Outline>(
    names: ReadonlySet<string>,
    ask: (ref: LinkRef) => Request<L>,
    trash = false,
  ): Map<string, L> {
    const valid = [...names].filter(validLinkName)
    const answers = this.#socket.batch(valid.map(name => ask({ name })))
    // The kernel also finds links by alternative names, which are no names of ours.
    const links = answers.flatMap((link, i) => (isFound(link) && link.name === valid[i] ? link : []))
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

  /** Names of what these links are ports of or hang on. */
  #names(links: readonly Link[], known: ReadonlyMap<string, Link>): Map<number, string> {
    const names = new Map([...known.values()].map(link => [link.index, link.name ?? '']))
    const above = links.flatMap(({ master, link, kind }) => [
      master ?? [],
      kind && hangs({ type: kind as LinkRow['type'] }) ? (link ?? []) : [],
    ])
    const unknown = [...new Set(above.flat())].filter(index => !names.has(index))
    for (const link of this.#socket.batch(unknown.map(index => findLink({ index })))) {
      if (isFound(link) && link.group !== TRASH_GROUP) names.set(link.index, link.name ?? '')
    }
    return names
  }
}

type Planned = Plan & { namespace?: number }

/** A plan that needs a container's namespace has it open until it is carried out. */
function planned(step: Placed<LinkRow>['step'], links: ReadonlyMap<string, Outline>): Planned {
  const inside = isBirth(step) ? step.row.peer?.inside : undefined
  if (!inside) return plan(step, links)
  try {
    const namespace = openSync(inside.namespace, 'r')
    return { ...plan(step, links, namespace), namespace }
  } catch (error) {
    return failure(error)
  }
}

const isBirth = ({ verb }: Placed['step']) => verb === 'add' || verb === 'replace'

function refused({ row, verb }: Placed<LinkRow>['step'], failure: Failure | undefined): Failure | undefined {
  return failure && verb !== 'delete' && hangs(row) ? explained(row, failure) : failure
}

function furnished(step: Placed<LinkRow>['step']): Failure | undefined {
  const { peer, inside, name } = step.row
  if (isBirth(step) && inside) return settle(name, inside)
  return isBirth(step) && peer?.inside ? furnish(peer.name, peer.inside) : undefined
}

/** Name of a veth's other end if that is born beside it. */
const otherEnd = ({ peer }: LinkRow) => (peer?.inside ? undefined : peer?.name)

const isFound = <L>(answer: L | NetlinkError): answer is L => !(answer instanceof NetlinkError)

/** How many steps from the first on don't touch a link that an earlier one of them touches. */
function independent(steps: readonly Placed<LinkRow>[]): number {
  const touched = new Set<string>()
  const count = steps.findIndex(({ step: { row } }) => {
    const clash =
      touched.has(row.name) ||
      touched.has(row.master ?? '') ||
      touched.has(row.parent ?? '') ||
      touched.has(otherEnd(row) ?? '')
    for (const name of [row.name, otherEnd(row) ?? row.name]) touched.add(name)
    return clash
  })
  return count < 0 ? steps.length : count
}

/** A container's end is shown only to those who ask for it by name. */
function visible(link: Link, asked: ReadonlySet<string>): boolean {
  const name = link.name ?? ''
  return ownership(marks(link)) !== 'foreign' && (asked.has(name) || !containerEnd(name))
}

function toRow(link: Link, above: ReadonlyMap<number, string>): LinkRow {
  const { name = '', mtu = 0, address = '', up } = link
  const master = link.master === undefined ? undefined : above.get(link.master)
  const port = { hairpin: link.port?.hairpin === 1, isolated: link.port?.isolated === 1 }
  const tunnel = link.kind === 'vxlan' ? tunnelFields(link) : {}
  return {
    kind: 'link',
    name,
    type: link.kind as LinkRow['type'],
    up,
    mtu,
    mac: address,
    ...(master === undefined ? {} : { master, ...port }),
    ...tunnel,
    ...lanFields(link, above),
    ...(ownership(marks(link)) !== 'own' ? { adopted: true } : {}),
  }
}

function tunnelFields({ data, port }: Extract<Link, { kind: 'vxlan' }>): Partial<LinkRow> {
  const { id, port: udpPort, local, local6, df } = data ?? {}
  const source = local ?? local6
  return {
    ...(id !== undefined && { vni: id }),
    ...(udpPort !== undefined && { udpPort }),
    ...(source !== undefined && { local: source }),
    inheritDf: df === DF_INHERIT,
    ...(port && {
      suppress: port.neighSuppress === 1,
      learning: port.learning === 1,
      locked: port.locked === 1,
      flood: port.bcastFlood === 1 && port.mcastFlood === 1,
    }),
  }
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
