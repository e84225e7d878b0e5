import { spawn } from 'node:child_process'
import type { Host } from '../bed/host.ts'
import { until } from '../bed/until.ts'
import type { Outside } from '../bed/wire.ts'
import { send } from './frames.ts'

/** What may go wrong between hosts: rules of a table of its own, before all others, on each host. */

const GOSSIP = 7947
const hooks = ['input', 'output'] as const

/** Rules for what comes in or goes out; `ip saddr` and `ip daddr` are written as `ip PEER`. */
async function rules(host: Host, rule: string): Promise<void> {
  const chains = hooks.map(hook => {
    const text = rule.replaceAll('PEER', hook === 'input' ? 'saddr' : 'daddr')
    return `chain ${hook} { type filter hook ${hook} priority -400; ${text}; };`
  })
  await heal(host)
  await host.exec('nft', `table inet chaos { ${chains.join(' ')} }`)
}

/** Nothing passes between a host and these addresses. */
export const part = (host: Host, others: readonly string[]) =>
  rules(host, `ip PEER { ${others.join()} } drop`)

/** A share of all packets is lost, by chance; half of it on the way out, half on the way in. */
export const lose = (host: Host, percent: number) =>
  rules(
    host,
    `oifname eth0 numgen random mod 1000 < ${percent * 5} drop; iifname eth0 numgen random mod 1000 < ${percent * 5} drop`,
  )

/** Hosts hear nothing of each other; their tunnels go on. */
export const hush = (host: Host) => rules(host, `meta l4proto { tcp, udp } th dport ${GOSSIP} drop`)

export async function heal(host: Host): Promise<void> {
  await host.exec('nft', 'add table inet chaos; delete table inet chaos')
}

/** Frames that a link of a host took or sent, IPv4 with UDP to a port alone, as many as are asked for. */
export async function captured(host: Host, port: number, count: number): Promise<Buffer[]> {
  const [command = '', ...args] = host.enter('socat', '-u', '-b65550', 'INTERFACE:eth0', '-')
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] })
  let bytes: Buffer = Buffer.alloc(0)
  const found: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk])
    for (let size = lengthOf(bytes); size > 0 && size <= bytes.length; size = lengthOf(bytes)) {
      const frame = bytes.subarray(0, size)
      if (isTo(frame, port)) found.push(frame)
      bytes = bytes.subarray(size)
    }
  })
  try {
    await until(`${count} packets to port ${port}`, () => found.length >= count, { deadline: 30_000 })
  } finally {
    // Its next frame meets a closed pipe.
    child.stdout.destroy()
  }
  return found
}

/** Bytes of the Ethernet frame that begins here, by what is in it; 0 while that isn't there. */
function lengthOf(bytes: Buffer): number {
  if (bytes.length < 20) return 0
  const type = bytes.readUInt16BE(12)
  if (type === 0x0800) return 14 + bytes.readUInt16BE(16)
  if (type === 0x86dd) return 54 + bytes.readUInt16BE(18)
  return 42
}

const isTo = (frame: Buffer, port: number) =>
  frame.readUInt16BE(12) === 0x0800 &&
  frame[23] === 17 &&
  frame.length > 42 &&
  frame.readUInt16BE(36) === port

/** The same packet, sent by another machine: source address and all, as nobody keeps it from saying. */
export async function replay(from: Outside, frame: Buffer, mac: string): Promise<void> {
  const copy = Buffer.from(frame)
  copy.set(Buffer.from(mac.replaceAll(':', ''), 'hex'), 6)
  await send(from, copy)
}
