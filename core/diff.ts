import type { LinkRow, Row, Step, Verb, Wanted } from './rows.ts'
import { key } from './rows.ts'

/**
 * What has to be done so that `present` becomes `wanted`, in an order that the kernel accepts: deletes from the leaves
 * inwards, then adds and sets from the roots outwards. Pure; it can't reach a kernel.
 */
export function diff(wanted: readonly Wanted[], present: readonly Row[]): Step[] {
  const there = new Map(present.map(row => [key(row), row]))
  const want = new Map(wanted.map(each => [key(each.row), each]))
  const lost = replacedLinks(want, there)
  const missing = missingLinks(want, there)
  const keep = [...want.values()].flatMap(each =>
    hangsOn(each.row, missing) ? [] : correct(each, there.get(key(each.row)), lost),
  )
  const unwanted = present.filter(row => !want.has(key(row)) && removable(row))
  const gone = new Set([
    ...lost,
    ...unwanted.flatMap(row => (row.kind === 'link' && !row.adopted ? [row.name] : [])),
  ])
  // The link's number stays in the map of shortcuts.
  const drop = unwanted.filter(row => row.kind === 'shortcut' || !hangsOn(row, gone))
  return [
    ...drop.sort((a, b) => rank(b) - rank(a)).map(remove),
    ...keep.sort((a, b) => rank(a.row) - rank(b.row)),
  ]
}

const remove = (row: Row): Step => ({ verb: 'delete', row, was: row, reason: 'not wanted' })

/** A sysctl of the whole host may be needed by others. One of a link that outlives us goes back to the default. */
const removable = (row: Row) => row.kind !== 'sysctl' || linkOf(row.key) !== undefined

function correct({ row, presence }: Wanted, was: Row | undefined, lost: ReadonlySet<string>): Step[] {
  if (!was || hangsOn(row, lost)) return presence === 'must' ? [{ verb: 'add', row, reason: '' }] : []
  // A port whose bridge is replaced is nobody's port meanwhile.
  if (row.kind === 'link' && row.master !== undefined && lost.has(row.master) && !lost.has(row.name))
    return [{ verb: 'set', row, was, reason: 'master was replaced' }]
  // Whatever carries the name of a VLAN is somebody else's, and used as it is.
  if (row.kind === 'link' && row.type === 'vlan' && (was as LinkRow).adopted) return []
  const change = compare(row, was)
  return change ? [{ verb: change.verb, row, was, reason: `${change.fields.join(', ')} differs` }] : []
}

/** Replacing a link drops what hangs on it, so all of that is absent again. */
function replacedLinks(want: ReadonlyMap<string, Wanted>, there: ReadonlyMap<string, Row>): Set<string> {
  const names = [...want.values()].flatMap(({ row }) => {
    const was = there.get(key(row))
    return row.kind === 'link' && was && compare(row, was)?.verb === 'replace' ? [row.name] : []
  })
  return new Set(names)
}

/** Links that may be absent and are. What would hang on them isn't wanted either. */
function missingLinks(want: ReadonlyMap<string, Wanted>, there: ReadonlyMap<string, Row>): Set<string> {
  const missing = [...want].filter(([key, { presence }]) => presence === 'may' && !there.has(key))
  return new Set(missing.flatMap(([, { row }]) => (row.kind === 'link' ? row.name : [])))
}

function hangsOn(row: Row, links: ReadonlySet<string>): boolean {
  if (
    row.kind === 'address' ||
    row.kind === 'fdb' ||
    row.kind === 'neighbour' ||
    row.kind === 'route' ||
    row.kind === 'shortcut' ||
    row.kind === 'rate'
  )
    return links.has(row.link)
  return row.kind === 'sysctl' && links.has(linkOf(row.key) ?? '')
}

/** The link that a sysctl belongs to: `net/ipv4/conf/LINK/…`. */
export function linkOf(sysctl: string): string | undefined {
  const link = /^net\/ipv[46]\/(?:conf|neigh)\/([^/]+)\//.exec(sysctl)?.[1]
  return link === 'all' || link === 'default' ? undefined : link
}

/** Fields that can be changed in place; everything else that differs was given at birth. */
const settable: { [kind in Row['kind']]: readonly string[] } = {
  link: [
    'up',
    'mtu',
    'mac',
    'master',
    'hairpin',
    'isolated',
    'local',
    'inheritDf',
    'suppress',
    'learning',
    'locked',
    'flood',
  ],
  address: [],
  fdb: ['to'],
  neighbour: ['mac'],
  route: ['link', 'via', 'src', 'srcOf'],
  sysctl: ['value'],
  chain: ['hook', 'rules'],
  set: [],
  element: ['value'],
  port: [],
  accept: [],
  shortcut: ['bridge', 'mac'],
  rate: ['rate', 'burst'],
}
const birth: { [kind in Row['kind']]: readonly string[] } = {
  link: ['type', 'vni', 'udpPort', 'parent', 'mode', 'flag', 'tag'],
  address: [],
  fdb: [],
  neighbour: [],
  route: [],
  sysctl: [],
  chain: [],
  set: ['type', 'value', 'interval'],
  element: [],
  port: [],
  accept: [],
  shortcut: [],
  rate: [],
}

function compare(row: Row, was: Row): { verb: Verb; fields: string[] } | undefined {
  const born = differing(birth[row.kind], row, was)
  if (born.length > 0) return { verb: 'replace', fields: born }
  const fields = differing(settable[row.kind], row, was)
  return fields.length > 0 ? { verb: 'set', fields } : undefined
}

/** A field that the wanted row leaves open is the kernel's to choose. */
function differing(names: readonly string[], row: Row, was: Row): string[] {
  const value = (of: Row, name: string) => (of as unknown as Record<string, unknown>)[name]
  return names.filter(name => {
    const [wanted, there] = [value(row, name), value(was, name)]
    return wanted !== undefined && wanted !== there && JSON.stringify(wanted) !== JSON.stringify(there)
  })
}

/** Roots before leaves. */
function rank(row: Row): number {
  switch (row.kind) {
    case 'set':
      return 0
    case 'chain':
      return 1
    case 'accept':
      return 2
    case 'link':
      return isPort(row) ? 6 : 4
    case 'sysctl':
      return linkOf(row.key) ? 5 : 3
    case 'address':
      return 5
    case 'fdb':
    case 'neighbour':
    case 'route':
    case 'port':
    case 'shortcut':
    case 'rate':
      return 7
    case 'element':
      return 8
  }
}

const isPort = ({ master, type }: LinkRow) =>
  master !== undefined || type === 'veth' || type === 'macvlan' || type === 'ipvlan'
