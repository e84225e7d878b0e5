// Overlay networks: how fast the tables of 10 000 remote endpoints are programmed, against a C loop with the same messages, and what lies
// between what peers told and the kernel.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Engine } from '../core/engine.ts'
import { PeerTable } from '../core/peers.ts'
import type { LinkRow, Row, Step } from '../core/rows.ts'
import { Settler } from '../core/settle.ts'
import { openKernel } from '../kernel/index.ts'
import { Linux } from '../kernel/linux.ts'
import { ground } from '../modes/firewall.ts'
import { modes } from '../modes/index.ts'
import { memoryStore } from '../store/memory.ts'
import { addNamespace, deleteNamespace, netnsPath, ownName } from '../test/bed/namespace.ts'
import { against, count, median, print, quick } from './table.ts'

const ENTRIES = count('BENCH_ENTRIES', 10_000, 1000)
const ROUNDS = quick ? 5 : 40

const folder = mkdtempSync(join(tmpdir(), 'ts-bench-'))
const compiled = (source: string) => {
  const program = join(folder, source)
  execFileSync('cc', ['-O2', '-o', program, join(import.meta.dirname, `${source}.c`)])
  return program
}

const BRIDGE: LinkRow = { kind: 'link', name: 'tsb-bench', type: 'bridge', up: true }
const TUNNEL: LinkRow = {
  kind: 'link',
  name: 'tsx-bench',
  type: 'vxlan',
  up: true,
  vni: 4711,
  udpPort: 4789,
  local: '127.0.0.1',
  master: BRIDGE.name,
  learning: false,
}
const hex = (byte: number) => (byte & 255).toString(16).padStart(2, '0')
const macOf = (i: number) => `02:00:00:${hex(i >> 16)}:${hex(i >> 8)}:${hex(i)}`
const addressOf = (i: number) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`
const numbers = Array.from({ length: ENTRIES }, (_, i) => i)
const tables: Record<string, Row[]> = {
  tunnel: numbers.map(i => ({ kind: 'fdb', link: TUNNEL.name, mac: macOf(i), to: '192.168.0.1' })),
  neighbour: numbers.map(i => ({
    kind: 'neighbour',
    link: BRIDGE.name,
    address: addressOf(i),
    mac: macOf(i),
  })),
}
const steps = (verb: 'add' | 'delete', rows: readonly Row[]): Step[] =>
  rows.map(row => ({ verb, row, reason: 'bench' }))

/** Milliseconds of processor time, ours and the kernel's for us, of a blocking piece of work: the machine may have others to serve. */
function spent(work: () => unknown): number {
  const start = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(start)
  return (user + system) / 1000
}

/** In a network namespace of its own, which goes with the process. */
function rates(): void {
  const floor = compiled('netlink-floor')
  const linux = new Linux(console.error)
  linux.apply(steps('add', [BRIDGE, TUNNEL]))
  const lines: (string | number)[][] = [['processor µs an entry', 'tsnet', 'C', 'rate of C']]
  for (const [kind, rows] of Object.entries(tables)) {
    const ours: number[] = []
    const theirs: number[] = []
    const link = kind === 'tunnel' ? TUNNEL.name : BRIDGE.name
    for (let round = 0; round <= ROUNDS; round++) {
      const add = steps('add', rows)
      const time = spent(() => linux.apply(add))
      linux.apply(steps('delete', rows))
      const words = [link, kind, String(ENTRIES), '128', 'last', 'add']
      const c = Number(execFileSync(floor, words, { encoding: 'utf8' })) / 1000
      if (round === 0) continue
      ours.push((time * 1000) / ENTRIES)
      theirs.push(c)
    }
    // The best of all: the rest tells what else the machine had to do.
    const [mine, c] = [Math.min(...ours), Math.min(...theirs)]
    lines.push([kind === 'tunnel' ? 'FDB, link and bridge' : kind, mine, c, against(c / mine, 0.8, 'higher')])
  }
  print(`${ENTRIES} entries in one apply`, lines)
}

/** From what peers told to the kernel, with all that lies between. */
async function exchange(): Promise<void> {
  const name = ownName('bench-rate')
  await addNamespace(name)
  const kernel = await openKernel({ namespace: netnsPath(name), log: console.error })
  try {
    const store = memoryStore()
    const peers = new PeerTable({ ipv4: '127.0.0.1', mtu: 1500, port: 4789 })
    peers.setComplete('bench')
    peers.setMembers(['192.168.0.1'])
    const log = {
      debug() {},
      info() {},
      warn: console.error,
      error: console.error,
      isLevelEnabled: () => false,
    }
    let writes = 0
    const counting = new Proxy(kernel, {
      get: (target, field: keyof typeof kernel) =>
        field === 'apply'
          ? (all: Step[]) => {
              writes += all.length
              return target.apply(all)
            }
          : target[field].bind(target),
    })
    const settler = new Settler({ kernel: counting, store, modes, peers, ground: ground(), log })
    const isNamespace = async () => true
    const engine = new Engine({
      kernel: counting,
      settler,
      modes,
      peers,
      ephemeral: [1, 2],
      now: () => 0,
      log,
      isNamespace,
    })
    await settler.settle('everything')
    const ipv4 = [{ pool: '10.0.0.0/8', gateway: '10.255.255.254/8', aux: {} }]
    const enable = { ipv4: true, ipv6: false }
    const words = { mode: 'overlay', name: 'bench', addresses: 'manual' }
    await engine.createNetwork({ id: 'bench', words, internal: false, ipv4, ipv6: [], enable })
    await engine.createEndpoint({
      id: 'here',
      network: 'bench',
      ipv4: '10.200.0.1/8',
      options: {},
      ports: [],
    })
    const took = async (work: () => Promise<unknown>): Promise<[number, number]> => {
      const start = performance.now()
      writes = 0
      await work()
      return [performance.now() - start, writes]
    }
    const places = numbers.map(i =>
      peers.put('bench', { mac: macOf(i), addresses: [addressOf(i)], vtep: '192.168.0.1' }),
    )
    const all = await took(() => engine.moved(places))
    const again = await took(() => engine.moved(places))
    const full = await took(() => settler.settle('everything'))
    const ones: number[] = []
    for (let i = 0; i < 50; i++) {
      const place = peers.put('bench', {
        mac: macOf(70_000 + i),
        addresses: [addressOf(70_000 + i)],
        vtep: '192.168.0.1',
      })
      ones.push((await took(() => engine.moved([place])))[0])
    }
    print('From what peers told to the kernel', [
      ['', 'ms', 'writes'],
      [`${ENTRIES} endpoints at once`, ...all],
      ['the same again', ...again],
      ['everything compared', ...full],
      [`one more beside ${ENTRIES}, median`, median(ones), 2],
    ])
  } finally {
    await kernel.close()
    await deleteNamespace(name)
  }
}

try {
  if (process.argv[2] === '--inside') rates()
  else {
    const inside = ['-n', process.execPath, fileURLToPath(import.meta.url), '--inside']
    execFileSync('unshare', inside, { stdio: 'inherit' })
    await exchange()
  }
} finally {
  rmSync(folder, { recursive: true })
}
process.exit()
