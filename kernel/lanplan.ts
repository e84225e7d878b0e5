import { type Link, type LinkSpec, newLink, type Request, setLink } from '@tsnet/netlink'
import type { IpvlanMode, LinkRow, MacvlanMode } from '../core/rows.ts'
import { LAN_GROUP } from './names.ts'
import type { Failure } from './room.ts'

/** enum in6_addr_gen_mode: no link-local address of the kernel's own. */
const ADDR_GEN_NONE = 1

/** enum macvlan_mode (linux/if_link.h). */
const MACVLAN: Record<MacvlanMode, number> = { private: 1, vepa: 2, bridge: 4, passthru: 8 }
/** enum ipvlan_mode, and the flags beside it. */
const IPVLAN: Record<IpvlanMode, number> = { l2: 0, l3: 1, l3s: 2 }
const FLAGS = { bridge: 0, private: 1, vepa: 2 } as const

/** Whether links of this type hang on a parent. */
export const hangs = ({ type }: Pick<LinkRow, 'type'>) =>
  type === 'macvlan' || type === 'ipvlan' || type === 'vlan'

/**
 * A link on its parent. The alias stays with it wherever libnetwork moves it and whatever it is called there, so it is known
 * again (`holds` in inside.ts).
 */
export function createOnParent(row: LinkRow, parent: number): Request<undefined>[] {
  const { name, mtu, mac, up } = row
  const spec = {
    name,
    group: LAN_GROUP,
    link: parent,
    ...(mtu === undefined ? {} : { mtu }),
    ...(mac === undefined ? {} : { address: mac }),
    ...kindOf(row),
  }
  return [
    newLink(spec as LinkSpec),
    setLink({
      name,
      alias: name,
      afSpec: { inet6: { addrGenMode: ADDR_GEN_NONE } },
      // At birth it takes its parent's, whatever was asked for (macvlan_common_newlink in drivers/net/macvlan.c).
      ...(mac !== undefined && row.mode === 'passthru' ? { address: mac } : {}),
    }),
    ...(up ? [setLink({ name, up })] : []),
  ]
}

function kindOf({ type, mode, flag = 'bridge', tag }: LinkRow): object {
  switch (type) {
    case 'macvlan':
      return { kind: type, data: { mode: MACVLAN[mode as MacvlanMode] } }
    case 'ipvlan':
      return { kind: type, data: { mode: IPVLAN[mode as IpvlanMode], flags: FLAGS[flag] } }
    default:
      return { kind: type, ...(tag !== undefined && { data: { id: tag } }) }
  }
}

const named = <T extends string>(numbers: Record<T, number>, number: number | undefined): T | undefined =>
  (Object.keys(numbers) as T[]).find(name => numbers[name] === number)

/** What a link on a parent shows of itself. */
export function lanFields(link: Link, parents: ReadonlyMap<number, string>): Partial<LinkRow> {
  const parent = link.link === undefined ? undefined : parents.get(link.link)
  const on = parent === undefined ? {} : { parent }
  if (link.kind === 'vlan') return { ...on, ...(link.data?.id !== undefined && { tag: link.data.id }) }
  if (link.kind === 'macvlan') return { ...on, ...defined('mode', named(MACVLAN, link.data?.mode)) }
  if (link.kind !== 'ipvlan') return {}
  const { mode, flags } = link.data ?? {}
  return { ...on, ...defined('mode', named(IPVLAN, mode)), ...defined('flag', named(FLAGS, flags)) }
}

const defined = (name: 'mode' | 'flag', value: string | undefined) =>
  value === undefined ? {} : { [name]: value }

/** Modules, where the kernel has no links of a type. */
const MODULES: Partial<Record<LinkRow['type'], string>> = {
  macvlan: 'macvlan',
  ipvlan: 'ipvlan',
  vlan: '8021q',
}

/** What the kernel's refusal to make a link means, where it says hardly anything. */
export function explained(row: LinkRow, failure: Failure): Failure {
  const { type, parent = '', tag } = row
  if (failure.code === 'EEXIST' && type === 'vlan')
    return { ...failure, words: `${parent} has VLAN ${tag} by another name (${failure.words})` }
  if (failure.code === 'EOPNOTSUPP')
    return { ...failure, words: `this kernel has no ${type} links: load module ${MODULES[type]}` }
  if (failure.code === 'EBUSY' || (failure.code === 'EINVAL' && type !== 'vlan'))
    return {
      ...failure,
      words: `${parent} can't carry it: ports of a bridge or bond carry none, a parent in passthru mode carries no other, and macvlan and ipvlan don't share a parent (${failure.words})`,
    }
  return failure
}

/** A parent whose last user waits for its deletion turns the next one down. */
export const mayWaitForTrash = ({ code }: { code: string }) => code === 'EBUSY' || code === 'EINVAL'
