import { Refused } from '../core/errors.ts'
import type { OnParent, Parent } from '../core/faces.ts'
import type { Network } from '../core/records.ts'
import { vlanOf } from './lan.ts'
import type { LanOptions } from './lan-options.ts'

const optionsOf = (network: Network) => network.options as LanOptions

/** Throws Refused, one sentence, for what the kernel would turn down at the first container or, worse, would take and not do. */
export const admit: OnParent['admit'] = (network, others, parents) => {
  const { parent } = optionsOf(network)
  hostIsReachable(network)
  if (parent === undefined) return
  const facts = parents.get(parent) ?? below(parent, parents)
  carries(parent, facts)
  fits(network, parent, facts)
  const sharing = others.filter(other => optionsOf(other).parent === parent)
  for (const other of sharing) agrees(network, other, parent)
  if (sharing.length === 0) unused(network, parent, parents.get(parent)?.children ?? [])
}

/** A VLAN that isn't there has the MTU of the link that it will hang on, where nothing else may have its number. */
function below(parent: string, parents: ReadonlyMap<string, Parent>): Parent {
  const vlan = vlanOf(parent)
  const facts = vlan && parents.get(vlan.parent)
  if (facts && vlan) {
    if (facts.loopback)
      throw new Refused(`parent ${parent}: ${vlan.parent} is the loopback link, which has no VLANs`)
    const there = facts.vlans.find(each => each.tag === vlan.tag)
    if (there)
      throw new Refused(
        `parent ${parent}: VLAN ${vlan.tag} of ${vlan.parent} is there as ${there.name}: name that as the parent`,
      )
    return { loopback: false, mtu: facts.mtu, children: [], vlans: [] }
  }
  throw new Refused(
    vlan
      ? `parent ${parent} is no link of this host, and neither is ${vlan.parent}, whose VLAN ${vlan.tag} it would be`
      : `parent ${parent} is no link of this host, and it doesn't have the form of a VLAN, eth0.10`,
  )
}

function carries(parent: string, { loopback, master }: Parent): void {
  if (loopback)
    throw new Refused(
      `parent ${parent} is the loopback link, which carries no other: name one that leads to a LAN`,
    )
  if (master !== undefined)
    throw new Refused(
      `parent ${parent} is a port of ${master}, so the kernel lets no link hang on it: name ${master} as the parent`,
    )
}

function fits(network: Network, parent: string, facts: Parent): void {
  const { mtu } = optionsOf(network)
  if (mtu !== undefined && mtu > facts.mtu)
    throw new Refused(
      `option "mtu" can't be ${mtu}: parent ${parent} has ${facts.mtu}, and what hangs on it has no more`,
    )
}

const kind = ({ mode, options }: Network) => `${mode} ${(options as LanOptions).link}`

/** Modes of ipvlan are the parent's, so the second network would change them for the first. */
function agrees(network: Network, other: Network, parent: string): void {
  const [mine, theirs] = [optionsOf(network), optionsOf(other)]
  if (network.mode !== other.mode)
    throw new Refused(
      `parent ${parent} carries ${other.mode} network ${other.id}: a parent carries macvlan or ipvlan, not both`,
    )
  if (mine.link === 'passthru' || theirs.link === 'passthru')
    throw new Refused(
      `parent ${parent} carries network ${other.id}: in macvlan_mode passthru a parent carries one network alone`,
    )
  if (network.mode === 'ipvlan' && (mine.link !== theirs.link || mine.flag !== theirs.flag))
    throw new Refused(
      `parent ${parent} carries network ${other.id} in ${kind(other)} ${theirs.flag}: all ipvlan networks of a parent have the same ipvlan_mode and ipvlan_flag`,
    )
}

/** What others made there, as far as it is to be seen: Docker's own links are out of sight inside its containers. */
function unused({ mode, options }: Network, parent: string, children: Parent['children']): void {
  const { link } = options as LanOptions
  const foreign = children.find(each => each.type !== mode)
  if (foreign)
    throw new Refused(
      `parent ${parent} carries ${foreign.type} links of somebody else: a parent carries macvlan or ipvlan, not both`,
    )
  if (children.length > 0 && (link === 'passthru' || children.some(each => each.mode === 'passthru')))
    throw new Refused(
      `parent ${parent} carries links of somebody else: in macvlan_mode passthru a parent carries one alone`,
    )
}

/**
 * An ipvlan link is given only packets for its own addresses, and on a parent of ours the host has none: in both cases the host's link
 * needs one.
 */
function hostIsReachable(network: Network): void {
  const { hostAccess, parent } = optionsOf(network)
  if (!hostAccess || (network.mode === 'macvlan' && parent !== undefined)) return
  const lacking = [...network.ipv4, ...network.ipv6].find(({ aux }) => aux.host === undefined)
  if (lacking)
    throw new Refused(
      `option "host_access" needs an address of ${lacking.pool} for the host ${network.mode === 'ipvlan' ? 'in mode ipvlan' : 'without a parent'}: set one aside with --aux-address host=…`,
    )
}
