// Messages a second from Node against a C loop that sends the same ones, in one run: medians and their ratio.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as netlink from '@tsnet/netlink'

/** Few, so that a round is over before another process wants the CPU. */
const ENTRIES = 256
const ROUNDS = 41
const LINK = 'bench0'
const kinds = ['fdb', 'route', 'neighbour'] as const
type Kind = (typeof kinds)[number]
/** Share of the C loop's rate that the project promises. */
const targets = new Map([
  [1, 0.6],
  [128, 0.8],
])

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] as number

type Entry = { index: number; lladdr: string; address: string }
type Message = netlink.Request<undefined>

/** How to make and how to delete an entry of each kind. */
const commands: Record<Kind, [(entry: Entry) => Message, (entry: Entry) => Message]> = {
  fdb: [
    ({ index, lladdr }) => netlink.newFdb({ index, lladdr, dst: '192.168.0.1' }),
    ({ index, lladdr }) => netlink.delFdb({ index, lladdr, dst: '192.168.0.1' }),
  ],
  route: [
    ({ index, address }) => netlink.newRoute({ to: address, oif: index }),
    ({ index, address }) => netlink.delRoute({ to: address, oif: index }),
  ],
  neighbour: [
    ({ index, address, lladdr }) => netlink.newNeighbour({ index, dst: address, lladdr }),
    ({ index, address }) => netlink.delNeighbour({ index, dst: address }),
  ],
}

function entries(index: number): Entry[] {
  const hex = (byte: number) => (byte & 255).toString(16).padStart(2, '0')
  return Array.from({ length: ENTRIES }, (_, i) => ({
    index,
    lladdr: `02:00:00:00:${hex(i >> 8)}:${hex(i)}`,
    address: `10.0.${i >> 8}.${i & 255}`,
  }))
}

/** Nanoseconds a message; making it from the entry is included. */
function ours(socket: netlink.Socket, kind: Kind, all: Entry[], batch: number): number {
  const start = process.hrtime.bigint()
  for (const command of commands[kind]) {
    if (batch === 1) for (const entry of all) socket.request(command(entry))
    else for (const outcome of socket.batch(all.map(command))) if (outcome !== undefined) throw outcome
  }
  return Number(process.hrtime.bigint() - start) / (2 * ENTRIES)
}

function compare(socket: netlink.Socket, floor: string, kind: Kind, index: number, batch: number): string {
  const all = entries(index)
  const theirs = (acks: string) =>
    Number(execFileSync(floor, [LINK, kind, String(ENTRIES), String(batch), acks], { encoding: 'utf8' }))
  for (let warm = 0; warm < 40; warm++) ours(socket, kind, all, batch)
  const rounds = Array.from({ length: ROUNDS }, () => [
    theirs('each'),
    theirs('last'),
    ours(socket, kind, all, batch),
  ])
  const [each, last, node] = [0, 1, 2].map(which => median(rounds.map(round => round[which] as number))) as [
    number,
    number,
    number,
  ]
  const us = (ns: number) => (ns / 1000).toFixed(2)
  const target = targets.get(batch) as number
  return [
    kind.padEnd(10),
    (batch === 1 ? 'one by one' : `${batch} a send`).padEnd(11),
    `µs a message: C ${us(each)}, C with one ack a send ${us(last)}, Node ${us(node)}`,
    `rate of C ${(each / node).toFixed(2)} (target ${target}: ${each / node >= target ? 'reached' : 'MISSED'})`,
    `of C with one ack ${(last / node).toFixed(2)}`,
  ].join('  ')
}

function bench(): void {
  const directory = mkdtempSync(join(tmpdir(), 'netlink-bench-'))
  using socket = netlink.open({ protocol: 'route' })
  try {
    const floor = join(directory, 'floor')
    execFileSync('cc', ['-O2', '-o', floor, fileURLToPath(new URL('netlink-floor.c', import.meta.url))])
    socket.request(
      netlink.newLink({ name: LINK, kind: 'vxlan', data: { id: 42, port: 4789, learning: 0 }, up: true }),
    )
    const { index } = socket.request(netlink.getLink({ name: LINK }))
    for (const batch of targets.keys())
      for (const kind of kinds) console.log(compare(socket, floor, kind, index, batch))
  } finally {
    rmSync(directory, { recursive: true })
  }
}

/** In a network namespace of its own, which goes with the process. */
if (process.argv[2] === '--inside') bench()
else
  execFileSync('unshare', ['-n', process.execPath, fileURLToPath(import.meta.url), '--inside'], {
    stdio: 'inherit',
  })
