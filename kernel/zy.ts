import { execFileSync } from 'node:child_process'
import { openKernel } from './index.ts'
execFileSync('ip', ['netns', 'add', 'ts-test-ky'])
try {
  const rss = () => (process.memoryUsage.rss() / 1e6).toFixed(1)
  const a = performance.now(), m = rss()
  const k = await openKernel({ namespace: '/run/netns/ts-test-ky', log: console.error })
  console.log('open', (performance.now() - a).toFixed(1), 'rss', m, rss())
  const bridge = { kind: 'link', name: 'tsb-1', type: 'bridge', up: true } as const
  const add = (rows: any[]) => k.apply(rows.map(row => ({ verb: 'add' as const, row, reason: '' })))
  const del = (rows: any[]) => k.apply(rows.map(row => ({ verb: 'delete' as const, row, reason: '' })))
  const v = (i: number) => ({ kind: 'link', name: 'tsv-' + i, type: 'veth', up: true, master: 'tsb-1', peer: { name: 'tsc-' + i } })
  const vs = Array.from({ length: 100 }, (_, i) => v(i))
  await add([bridge, ...vs])
  let b = performance.now(); await del(vs); console.log('delete 100 answered', (performance.now() - b).toFixed(1))
  let worst = 0, n = 0
  const end = performance.now() + 600
  while (performance.now() < end) { const c = performance.now(); await k.read({ owned: false, rows: [bridge] }); worst = Math.max(worst, performance.now() - c); n++ }
  console.log('reads meanwhile', n, 'worst', worst.toFixed(1), execFileSync('ip', ['netns', 'exec', 'ts-test-ky', 'ip', '-o', 'link', 'show', 'group', '29812']).length)
  worst = 0; await add(vs); await del(vs); n = 0
  const end2 = performance.now() + 600
  while (performance.now() < end2) { const c = performance.now(); await add([v(1000 + n)]); worst = Math.max(worst, performance.now() - c); n++ }
  console.log('adds meanwhile', n, 'worst', worst.toFixed(1))
  b = performance.now(); await k.close(); console.log('close', (performance.now() - b).toFixed(1))
} finally { execFileSync('ip', ['netns', 'del', 'ts-test-ky']) }
