import type { LinkRow } from '../core/rows.ts'

/** IFLA_GROUP of every link we make or use: what firewall rules match as `iifgroup 29811` ("ts" in ASCII). */
export const LINK_GROUP = 29811

/** IFLA_GROUP of links on their way out: down, cut off from the rules, absent to every reader. */
export const TRASH_GROUP = 29812

/** IFLA_GROUP of links that hang on a parent: frames of theirs never meet the rules for our bridges. */
export const LAN_GROUP = 29813

/** IFLA_IFALIAS of a bridge that we made under a name of the user's choice. */
export const LINK_ALIAS = 'tsnet'

/** IFA_PROTO of addresses we set: tells them from somebody else's on an adopted bridge (`ip address show proto 116`). */
export const ADDRESS_PROTO = 116

/** Our nft table, in the family `inet`. */
export const TABLE = 'tsnet'

/** Names that Docker gives to its own bridges. */
export const ENGINE_BRIDGE = /^(docker0|docker_gwbridge|br-[0-9a-f]{12})$/

const PREFIXES = ['tsb-', 'tsv-', 'tsc-', 'tsx-', 'tsy-', 'tsm-', 'tsh-', 'tsp-', 'tsq-']

/** What the kernel tells about a link's owner. */
export type Marks = { name: string; type: string; group: number; alias?: string }

/** Made by us: by its name, or where the user chose that by its alias, or by the group that a VLAN has from birth. */
export function made({ name, type, group, alias }: Marks): boolean {
  return (
    PREFIXES.some(prefix => name.startsWith(prefix)) ||
    alias === LINK_ALIAS ||
    (type === 'vlan' && group === LAN_GROUP)
  )
}

/** `own`: made by us. `adopted`: somebody else's bridge that we use. Anything else is none of our business. */
export function ownership(marks: Marks): 'own' | 'adopted' | 'foreign' {
  if (marks.group === TRASH_GROUP) return 'foreign'
  if (made(marks)) return 'own'
  return marks.group === LINK_GROUP && marks.type === 'bridge' ? 'adopted' : 'foreign'
}

/** The container's end of a veth: it comes and goes with its other end and is no row of its own. */
export function containerEnd(name: string): boolean {
  return name.startsWith('tsc-')
}

/** The host has it for a moment only, until libnetwork moves it into the container. */
export function passes(name: string): boolean {
  return containerEnd(name) || name.startsWith('tsm-')
}

/** Bridges under a name of the user's choice need the alias to be known again. */
export function needsAlias(row: LinkRow): boolean {
  return row.type === 'bridge' && !PREFIXES.some(prefix => row.name.startsWith(prefix))
}

/** Longest name of a link, in bytes (IFNAMSIZ less its NUL), and no `/`, `:` or space: dev_valid_name() in net/core/dev.c. */
export function validLinkName(name: string): boolean {
  return /^[^/:\s]{1,15}$/.test(name) && name !== '.' && name !== '..'
}
