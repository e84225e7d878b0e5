import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { extendedAck } from '../../netlink/acknowledgement.ts'
import type { AttributeSet, Table } from '../../netlink/attributes.ts'
import { batchSet } from '../../netlink/netfilter/batch.ts'
import * as conntrack from '../../netlink/netfilter/conntrack.ts'
import * as events from '../../netlink/netfilter/events.ts'
import * as expressions from '../../netlink/netfilter/expressions.ts'
import * as nftables from '../../netlink/netfilter/tables.ts'
import * as address from '../../netlink/route/address.ts'
import * as bridge from '../../netlink/route/bridge.ts'
import * as kinds from '../../netlink/route/kinds.ts'
import * as link from '../../netlink/route/link.ts'
import * as linkinfo from '../../netlink/route/linkinfo.ts'
import * as neighbour from '../../netlink/route/neighbour.ts'
import * as plainlink from '../../netlink/route/plainlink.ts'
import * as policy from '../../netlink/route/policy.ts'
import * as route from '../../netlink/route/route.ts'
import * as traffic from '../../netlink/route/traffic.ts'

/** Headers of linux-libc-dev that declare what the tables repeat. */
const headers = [
  'netlink.h',
  'if_link.h',
  'if_addr.h',
  'if_bridge.h',
  'neighbour.h',
  'rtnetlink.h',
  'pkt_cls.h',
  'fib_rules.h',
  'veth.h',
  'netfilter/nf_tables.h',
  'netfilter/nfnetlink.h',
  'netfilter/nfnetlink_conntrack.h',
]

/** AF_INET6 is declared by the C library. */
const numbers = new Map<string, number>([['AF_INET6', 10]])

/** Enums as C counts them: one more than the one before unless a number or an earlier name is given. */
function readEnums(source: string): void {
  const text = source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*#.*$/gm, '')
  for (const [, members = ''] of text.matchAll(/enum\s*\w*\s*\{([^}]*)\}/g)) {
    let next = 0
    for (const member of members.split(',')) {
      const [name = '', value] = member.split('=').map(part => part.trim())
      if (!name) continue
      const given = value === undefined ? next : (numbers.get(value) ?? Number(value))
      if (!Number.isNaN(given)) numbers.set(name, given)
      next = given + 1
    }
  }
}
for (const header of headers) readEnums(readFileSync(`/usr/include/linux/${header}`, 'utf8'))

const modules = {
  address,
  bridge,
  conntrack,
  events,
  expressions,
  kinds,
  link,
  linkinfo,
  neighbour,
  nftables,
  plainlink,
  policy,
  route,
  traffic,
}
const sets: [string, AttributeSet<Table>][] = [
  ['extendedAck', extendedAck as unknown as AttributeSet<Table>],
  ['batchSet', batchSet as unknown as AttributeSet<Table>],
  ...Object.entries(modules).flatMap(([file, module]) =>
    Object.entries(module)
      .filter(([name]) => name.endsWith('Set') && name !== 'flushSet')
      .map(([name, set]): [string, AttributeSet<Table>] => [`${file}.${name}`, set as AttributeSet<Table>]),
  ),
]

describe('tables have the kernel’s numbers', () => {
  it('reads the headers', () => {
    assert.equal(numbers.get('IFLA_VXLAN_ID'), 1)
    assert.equal(numbers.get('NFTA_SET_ELEM_KEY_END'), 10)
    assert.ok(sets.length > 30)
  })

  for (const [name, set] of sets) {
    it(name, () => {
      for (const { id, name } of Object.values(set.table)) assert.equal(id, numbers.get(name), name)
      const ids = Object.values(set.table).map(({ id }) => id)
      assert.equal(new Set(ids).size, ids.length, 'a number is used twice')
    })
  }

  it('bridges, bridge ports, VXLAN, macvlan, ipvlan and VLANs lack no attribute that these headers know', () => {
    const prefixes: [string, AttributeSet<Table>][] = [
      ['IFLA_BR_', bridge.bridgeSet as unknown as AttributeSet<Table>],
      ['IFLA_BRPORT_', bridge.bridgePortSet as unknown as AttributeSet<Table>],
      ['IFLA_VXLAN_', kinds.vxlanSet as unknown as AttributeSet<Table>],
      ['IFLA_MACVLAN_', kinds.macvlanSet as unknown as AttributeSet<Table>],
      ['IFLA_IPVLAN_', kinds.ipvlanSet as unknown as AttributeSet<Table>],
      ['IFLA_VLAN_', kinds.vlanSet as unknown as AttributeSet<Table>],
      ['NDA_', neighbour.neighbourSet as unknown as AttributeSet<Table>],
      ['IFA_', address.addressSet as unknown as AttributeSet<Table>],
    ]
    const notAttributes = /_(UNSPEC|PAD|MAX)$|^NDA_(FDB_EXT_ATTRS|NDM_)|^IFLA_VLAN_QOS_MAPPING$/
    for (const [prefix, { table }] of prefixes) {
      const known = new Set(Object.values(table).map(({ name }) => name))
      const missing = [...numbers.keys()].filter(name => name.startsWith(prefix) && !known.has(name))
      assert.deepEqual(
        missing.filter(name => !notAttributes.test(name)),
        [],
      )
    }
  })
})
