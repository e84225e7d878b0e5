// What hosts of an overlay cost each other while nothing happens: real agents with real sockets, encrypted, with the replicated table on
// them, all in one process on the loopback link of a network namespace that goes with it.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Cluster } from '../bin/cluster/index.ts'
import { PeerTable } from '../core/peers.ts'
import { memoryStore } from '../store/memory.ts'
import { until } from '../test/bed/until.ts'
import { endpoint } from '../test/vxlan-fdb/entries.ts'
import { against, count, print, quick } from './table.ts'

const NODES = count('BENCH_NODES', 40, 20)
const ENDPOINTS = 10
const SECONDS = quick ? 5 : 30
const PORT = 7947
const PATIENT = { deadline: 60_000, every: 50 }
const KEY = Buffer.alloc(32, 7)

const addressOf = (node: number) => `127.1.${node >> 8}.${node & 255}`
const quiet = { debug() {}, info() {}, warn: console.error, error: console.error } as never

/** Who a host knows: as many as have told of endpoints of theirs. */
type Node = { cluster: Cluster; peers: PeerTable }

async function startNode(number: number, run: string): Promise<Node> {
  const address = addressOf(number)
  const peers = new PeerTable({ ipv4: address, mtu: 1500, port: 4789 })
  const cluster = await Cluster.open({
    settings: {
      bind: { address, port: PORT },
      vteps: [address],
      vxlanPort: 4789,
      seeds: [1, 2, 3].map(seed => ({ address: addressOf(seed), port: PORT })),
      keys: [KEY],
    },
    store: memoryStore(),
    peers,
    spans: () => false,
    run,
    moved: () => {},
    heard: () => {},
    log: quiet,
  })
  cluster.write(Array.from({ length: ENDPOINTS }, (_, at) => endpoint(number, at)))
  return { cluster, peers }
}

/** Bytes that the loopback link has carried, each of its packets with an Ethernet header. */
function carried(): number {
  const line =
    readFileSync('/proc/net/dev', 'utf8')
      .split('\n')
      .find(each => /^\s*lo:/.test(each)) ?? ''
  return Number(line.split(':')[1]?.trim().split(/\s+/)[0])
}

async function idle(): Promise<void> {
  const run = mkdtempSync(join(tmpdir(), 'ts-bench-'))
  execFileSync('ip', ['link', 'set', 'lo', 'up'])
  const nodes: Node[] = []
  try {
    const known = ({ peers }: Node) => [...peers.remotes('shop')].length === (nodes.length - 1) * ENDPOINTS
    // One after the other: all at once they would have more to tell each other than one processor can.
    for (let number = 1; number <= NODES; number++) {
      const node = await startNode(number, run)
      nodes.push(node)
      await until(`host ${number} to know all before it`, () => known(node), PATIENT)
    }
    await until('everybody to know everybody', () => nodes.every(known), PATIENT)
    await pause(5000)
    const [bytes, cpu, begun] = [carried(), process.cpuUsage(), performance.now()]
    await pause(SECONDS * 1000)
    const seconds = (performance.now() - begun) / 1000
    const { user, system } = process.cpuUsage(cpu)
    const share = ((user + system) / 1e6 / seconds / NODES) * 100
    const rate = (carried() - bytes) / seconds / NODES
    print(`Idle, ${NODES} hosts with ${ENDPOINTS} endpoints each, for each host`, [
      ['', 'seen', 'promise'],
      ['sent, B/s with all headers', rate, against(rate, 1000)],
      ['processor, % of a core', share, against(share, 0.5)],
    ])
  } finally {
    await Promise.all(nodes.map(({ cluster }) => cluster.close()))
    rmSync(run, { recursive: true })
  }
}

if (process.argv[2] === '--inside') await idle()
else
  execFileSync('unshare', ['-n', process.execPath, fileURLToPath(import.meta.url), '--inside'], {
    stdio: 'inherit',
  })
process.exit()
