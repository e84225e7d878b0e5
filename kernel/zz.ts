import { execFileSync } from 'node:child_process'
import { open, enterNamespace } from '@tsnet/netlink'
import { Linux } from '/work/main/kernel/linux.ts'
import { ground } from '/work/main/modes/firewall.ts'
import type { Row } from '/work/main/core/rows.ts'
execFileSync('ip', ['netns', 'add', 'ts-test-kt'])
try {
enterNamespace('/run/netns/ts-test-kt')
const linux = new Linux(() => {})
const adds = (rows: Row[]) => rows.map(row => ({ verb: 'add' as const, row, reason: 'x' }))
const t = (name: string, f: () => any) => { const a = performance.now(); const r = f(); console.log(name, (performance.now() - a).toFixed(2)); return r }
const bad = (rs: any[]) => { const b = rs.filter(r => !r.ok); if (b.length) console.log(b.slice(0, 3)) }
bad(t('ground', () => linux.apply(adds(ground().map(w => w.row)))))
t('read ground', () => linux.read(ground().map(w => w.row), true)); t('read ground', () => linux.read(ground().map(w => w.row), true))
bad(t('bridge', () => linux.apply(adds([{ kind: 'link', name: 'tsb-1', type: 'bridge', up: true, mtu: 1500 }, { kind: 'address', link: 'tsb-1', address: '10.1.0.1/16' }]))))
const ep = (i: number): Row[] => [
  { kind: 'link', name: 'tsv-' + i, type: 'veth', up: true, mtu: 1500, master: 'tsb-1', hairpin: true, isolated: false, peer: { name: 'tsc-' + i, mac: '02:42:0a:01:00:02', mtu: 1500 } },
  { kind: 'element', set: 'any4', key: ['tcp', String(10000 + i)], value: ['10.1.0.2', '80'] },
  { kind: 'element', set: 'open4', key: ['10.1.' + (i >> 8) + '.' + (i & 255), 'tcp', '80'] },
]
const times: number[] = [], reads: number[] = [], dels: number[] = []
for (let i = 0; i < 300; i++) {
  const a = performance.now(); bad(linux.apply(adds(ep(i)))); const b = performance.now(); const r = linux.read(ep(i), false); const c = performance.now()
  times.push(b - a); reads.push(c - b); if (r.length !== 3) console.log('read', r)
}
const med = (x: number[]) => x.toSorted((a, b) => a - b)[x.length >> 1]!.toFixed(3) + ' p90 ' + x.toSorted((a, b) => a - b)[Math.floor(x.length * .9)]!.toFixed(3)
console.log('endpoint add', med(times), 'read', med(reads))
t('700 more', () => bad(linux.apply(adds(Array.from({ length: 700 }, (_, i) => ep(300 + i)).flat()))))
t('owned read', () => console.log(linux.read(ground().map(w => w.row), true).length)); t('owned read', () => linux.read(ground().map(w => w.row), true))
for (let i = 0; i < 100; i++) { const a = performance.now(); bad(linux.apply(ep(i).map(row => ({ verb: 'delete' as const, row, reason: '' })))); dels.push(performance.now() - a) }
console.log('endpoint delete', med(dels))
} finally { execFileSync('ip', ['netns', 'del', 'ts-test-kt']) }
