// Messages a second from Node against a C loop that sends the same ones, in one run: medians and their ratio.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as netlink from '@tsnet/netlink'

const ENTRIES = 2048
const ROUNDS = 15
const LINK = 'bench0'
const kinds = ['fdb', 'route', 'neighbour'] as const
type Kind = (typeof kinds)[number]
/** Share of the C loop's rate that the project promises (issue 1, "What it must reach"). */
const targets = new Map([
  [1, 0.6],
  [128, 0.8],
])

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] as number

/** Entry number `i`: the messages that make and delete it. */
function entry(kind: Kind, index: number, i: number): netlink.Request<undefined>[] {
  const hex = (byte: number) => (byte & 255).toString(16).padStart(2, '0')
  const lladdr = `02:00:00:${hex(i >> 16)}:${hex(i >> 8)}:${hex(i)}`
  const address = `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`
  if (kind === 'fdb') {
    const spec = { index, lladdr, dst: '192.168.0.1' }
    return [netlink.newFdb(spec), netlink.delFdb(spec)]
  }
  if (kind === 'route') {
    const spec = { to: address, oif: index }
    return [netlink.newRoute(spec), netlink.delRoute(spec)]
  }
  return [
    netlink.newNeighbour({ index, dst: address, lladdr }),
    netlink.delNeighbour({ index, dst: address }),
  ]
}

/** Nanoseconds a message, making each message's value included. */
function ours(socket: netlink.Socket, kind: Kind, index: number, batch: number): number {
  const start = process.hrtime.bigint()
  for (const which of [0, 1]) {
    for (let at = 0; at < ENTRIES; at += batch) {
      const part = Array.from(
        { length: batch },
        (_, i) => entry(kind, index, at + i)[which] as netlink.Request<undefined>,
      )
      if (batch === 1) socket.request(part[0] as netlink.Request<undefined>)
      else for (const outcome of socket.batch(part)) if (outcome !== undefined) throw outcome
    }
  }
  return Number(process.hrtime.bigint() - start) / (2 * ENTRIES)
}

function compare(socket: netlink.Socket, floor: string, kind: Kind, index: number, batch: number): string {
  const theirs = () =>
    Number(execFileSync(floor, [LINK, kind, String(ENTRIES), String(batch)], { encoding: 'utf8' }))
  ours(socket, kind, index, batch)
  const rounds = Array.from({ length: ROUNDS }, () => [theirs(), ours(socket, kind, index, batch)] as const)
  const c = median(rounds.map(round => round[0]))
  const node = median(rounds.map(round => round[1]))
  const ratio = c / node
  const verdict = ratio >= (targets.get(batch) as number) ? 'reached' : 'MISSED'
  const columns = [
    kind.padEnd(10),
    `${batch} a send`.padEnd(11),
    `C ${(c / 1000).toFixed(2)} µs`,
    `Node ${(node / 1000).toFixed(2)} µs`,
  ]
  return [...columns, `rate ${ratio.toFixed(2)} of C`, `target ${targets.get(batch)} ${verdict}`].join('  ')
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
