import assert from 'node:assert/strict'
import fc from 'fast-check'
import { diff } from '../../core/diff.ts'
import { stepLine } from '../../core/lines.ts'
import { key, type LinkRow, type Row, type Wanted } from '../../core/rows.ts'
import { may, must } from '../../modes/firewall.ts'

const bridge: LinkRow = { kind: 'link', name: 'tsb-1', type: 'bridge', up: true, mtu: 1500 }
const port: LinkRow = { kind: 'link', name: 'tsv-1', type: 'veth', up: true, master: 'tsb-1', hairpin: false }
const address: Row = { kind: 'address', link: 'tsb-1', address: '10.1.0.1/24' }
const forward: Row = { kind: 'sysctl', key: 'net/ipv4/ip_forward', value: '1' }
const local: Row = { kind: 'sysctl', key: 'net/ipv4/conf/tsb-1/route_localnet', value: '1' }
const shortcut: Row = { kind: 'shortcut', link: 'tsv-1', bridge: 'tsb-1', mac: '02:42:0a:01:00:02' }
const web: Row = { kind: 'element', set: 'any4', key: ['tcp', '80'], value: ['10.1.0.2', '80'] }

const lines = (wanted: Wanted[], present: Row[]) => diff(wanted, present).map(stepLine)

describe('diff', () => {
  it('adds roots before leaves', () => {
    const wanted = [web, port, local, address, bridge, forward].map(must)
    assert.deepEqual(lines(wanted, []), [
      'add sysctl net/ipv4/ip_forward = 1',
      'add link tsb-1 type bridge mtu 1500 up',
      'add sysctl net/ipv4/conf/tsb-1/route_localnet = 1',
      'add address 10.1.0.1/24 dev tsb-1',
      'add link tsv-1 type veth master tsb-1 up',
      'add element any4 tcp . 80 : 10.1.0.2 . 80',
    ])
  })

  it('deletes leaves before roots, and not what goes with its link', () => {
    assert.deepEqual(lines([], [bridge, address, port, web]), [
      'delete element any4 tcp . 80 : 10.1.0.2 . 80 (not wanted)',
      'delete link tsv-1 type veth master tsb-1 up (not wanted)',
      'delete link tsb-1 type bridge mtu 1500 up (not wanted)',
    ])
  })

  it('deletes a shortcut before its link, for the map outlives it', () => {
    assert.deepEqual(lines([], [bridge, port, shortcut]), [
      'delete shortcut 02:42:0a:01:00:02 dev tsv-1 master tsb-1 (not wanted)',
      'delete link tsv-1 type veth master tsb-1 up (not wanted)',
      'delete link tsb-1 type bridge mtu 1500 up (not wanted)',
    ])
  })

  it('wants nothing on a link that may be absent and is', () => {
    assert.deepEqual(lines([must(bridge), may(port), must(shortcut)], [bridge]), [])
    assert.deepEqual(lines([must(bridge), may(port), must(shortcut)], [bridge, port]), [
      'add shortcut 02:42:0a:01:00:02 dev tsv-1 master tsb-1',
    ])
  })

  it('takes its address off a bridge that somebody else keeps', () => {
    assert.deepEqual(lines([], [{ ...bridge, adopted: true }, address]), [
      'delete address 10.1.0.1/24 dev tsb-1 (not wanted)',
      'delete link tsb-1 type bridge mtu 1500 adopted up (not wanted)',
    ])
  })

  it('sets what can be set in place, naming what differs', () => {
    assert.deepEqual(lines([must(bridge)], [{ ...bridge, mtu: 1400, up: false }]), [
      'set link tsb-1 type bridge mtu 1500 up (up, mtu differs)',
    ])
  })

  it('leaves alone what the wanted row leaves open', () => {
    const { mtu: _, ...open } = bridge
    assert.deepEqual(lines([must(open)], [{ ...bridge, mtu: 9000 }]), [])
  })

  it('replaces what was given at birth, and puts back what hung on it', () => {
    const wrong: Row = { ...bridge, type: 'veth' }
    assert.deepEqual(lines([bridge, address, local].map(must), [wrong, address, local]), [
      'replace link tsb-1 type bridge mtu 1500 up (type differs)',
      'add address 10.1.0.1/24 dev tsb-1',
      'add sysctl net/ipv4/conf/tsb-1/route_localnet = 1',
    ])
  })

  it('leaves a may row absent and corrects it where it is present', () => {
    assert.deepEqual(lines([may(port)], []), [])
    assert.deepEqual(lines([may({ ...port, hairpin: true })], [port]), [
      'set link tsv-1 type veth master tsb-1 hairpin up (hairpin differs)',
    ])
  })

  it('never removes a sysctl', () => {
    assert.deepEqual(lines([], [forward]), [])
  })

  it('has nothing to do once its steps are done', () => {
    const rows = fc.uniqueArray(fc.constantFrom<Row>(bridge, port, address, forward, local, web), {
      selector: key,
    })
    fc.assert(
      fc.property(rows, rows, (some, present) => {
        const wanted = some.includes(bridge) ? some : some.filter(row => !hanging(bridge, some).includes(row))
        const after = apply(present, diff(wanted.map(must), present))
        const left = diff(wanted.map(must), after)
        assert.deepEqual(left.map(stepLine), [])
      }),
    )
  })
})

function apply(present: Row[], steps: ReturnType<typeof diff>): Row[] {
  const rows = new Map(present.map(row => [key(row), row]))
  for (const { verb, row } of steps) {
    if (verb !== 'delete') rows.set(key(row), row)
    else for (const gone of [row, ...hanging(row, rows.values())]) rows.delete(key(gone))
  }
  return [...rows.values()]
}

/** What a deleted link takes along. */
function hanging(link: Row, rows: Iterable<Row>): Row[] {
  if (link.kind !== 'link') return []
  return [...rows].filter(
    row =>
      (row.kind === 'address' && row.link === link.name) ||
      (row.kind === 'sysctl' && row.key.includes(`/${link.name}/`)),
  )
}
