// How long a record takes to everybody, and a burst of them: machines in virtual time, each with one thread. What a message costs
// that thread is measured here first (FDB_SEND, FDB_RECEIVE and so on set it by hand, in microseconds).
import { hash } from 'node:crypto'
import { endpoint } from '../test/vxlan-fdb/entries.ts'
import { equal, type Node, type Weather, World } from '../test/vxlan-fdb/world.ts'
import { makeBatch, readBatch } from '../vxlan-fdb/batch.ts'
import { ed25519, makeKey } from '../vxlan-fdb/keys.ts'
import { Log } from '../vxlan-fdb/log.ts'
import { Malformed } from '../vxlan-fdb/message.ts'
import { report } from '../vxlan-fdb/report.ts'
import { count, print, quantile, quick } from './table.ts'

const signer = ed25519(makeKey())
const bytes = hash('sha512', 'batch', 'buffer')

/** Milliseconds of this thread, the median of many. */
function cost(work: () => void, times = 200): number {
  const took = Array.from({ length: times }, () => {
    const begun = process.hrtime.bigint()
    work()
    return Number(process.hrtime.bigint() - begun) / 1e6
  })
  return quantile(took, 0.5)
}

const of = (name: string, measured: number) => count(`FDB_${name}`, measured * 1000, measured * 1000) / 1000
const signature = signer.sign(bytes)
const entries = Array.from({ length: 22 }, (_, number) => endpoint(1, number))
const head = { origin: 'ab'.repeat(16), fence: 0, epoch: 1, first: 1, more: true, sum: [0, 0] as const }
const full = makeBatch({ ...head, entries }, () => signature)
const weather: Partial<Weather> = {
  sign: of(
    'SIGN',
    cost(() => signer.sign(bytes)),
  ),
  verify: of(
    'VERIFY',
    cost(() => signer.verify(signer.publicKey, bytes, signature)),
  ),
  // A datagram of 1.4 kB through AES-GCM and Node's dgram took about 20 µs out and 30 µs in; reading and merging comes on top.
  send: of('SEND', 0.02),
  receive: of('RECEIVE', 0.03 + cost(merge)),
  delay: 0.2,
  jitter: 0.3,
}

/** What a full batch costs its receiver but for the signature. */
function merge(): void {
  const batch = readBatch(full.bytes)
  if (!(batch instanceof Malformed)) new Log(batch.origin).merge(batch, 0)
}

/** A world of so many machines that know each other, each with an endpoint of one network. */
function settled(machines: number, seed: number, loss: number): World {
  const world = new World(machines, seed, { ...weather, loss: 0, receive: 0, verify: 0 })
  for (const [host, node] of world.nodes.entries()) {
    node.says.set(`${host}-0`, endpoint(host, 0))
    world.start(node)
  }
  world.run(10)
  introduce(world)
  Object.assign(world.weather, weather, { loss })
  if (world.until(() => equal(world), 30_000, 500) === undefined) throw new Error('the tables never agreed')
  return world
}

/** Everybody knows what everybody has said, at no cost: that they would find it out by themselves isn't measured here. */
function introduce({ nodes, now }: World): void {
  const said = nodes.map(({ id, signer, table }) => ({
    id,
    key: signer.publicKey,
    batches: [...table.log(id).batches.values()].map(({ batch }) => batch),
  }))
  for (const { id: self, table } of nodes)
    for (const { id, key, batches } of said) {
      if (id === self) continue
      const log = table.log(id)
      log.key = key
      for (const batch of batches) report(table, log.merge(batch, now))
    }
}

/** Milliseconds from a write until it is visible, of every machine and of the last one, over many writes. */
function visible(world: World, loss: number, samples: number) {
  Object.assign(world.weather, { loss })
  const machines = world.nodes.length
  const writers = Math.min(machines, 10)
  const each: number[] = []
  const last: number[] = []
  for (let sample = 1; sample <= samples; sample++) {
    const entry = endpoint(sample % writers, ++written)
    const begun = world.now
    const times: number[] = []
    world.onChange = (_, changes) => {
      if (changes.some(({ key, value }) => key === entry.key && value)) times.push(world.now - begun)
    }
    world.say(world.nodes[sample % writers] as Node, [entry])
    world.until(() => times.length === machines, 10_000, 20)
    each.push(...times)
    last.push(Math.max(...times))
    world.run(world.now + 137)
  }
  return { each, last }
}
let written = 0

function burst(machines: number, records: number, loss: number): { time: number; bytes: number } {
  const world = settled(machines, 5, loss)
  const before = world.sent.bytes
  const [writer] = world.nodes as [Node]
  world.say(
    writer,
    Array.from({ length: records }, (_, number) => endpoint(200, number)),
  )
  world.run(world.now + 20)
  const time = world.until(() => equal(world), 60_000, 20) ?? Number.NaN
  return { time: time + 20, bytes: (world.sent.bytes - before) / machines }
}

function idle(machines: number): number {
  const world = settled(machines, 3, 0)
  world.run(world.now + 10_000)
  const before = world.sent.bytes + 60 * (world.sent.direct + world.sent.stream)
  world.run(world.now + 10_000)
  return (world.sent.bytes + 60 * (world.sent.direct + world.sent.stream) - before) / machines / 10
}

const sizes = quick ? [10, 100] : [10, 100, 1000]
const rows = sizes.flatMap(machines => {
  const world = settled(machines, 11, 0)
  return [0, 0.1].map(loss => {
    const { each, last } = visible(world, loss, machines > 500 || quick ? 10 : 50)
    const figures = [quantile(each, 0.5), quantile(each, 0.99), quantile(last, 0.5), quantile(last, 0.99)]
    return [`${machines} nodes, ${loss * 100} % lost`, ...figures]
  })
})
const { sign, verify, send, receive } = weather
print('Costs, µs of one thread', [
  ['sign', 'verify', 'send', 'receive'],
  [sign, verify, send, receive].map(one => (one ?? 0) * 1000),
])
print('A record is visible, ms of virtual time', [['', 'p50', 'p99', 'at all p50', 'at all p99'], ...rows])

const bursts = (
  quick
    ? [[20, 1000]]
    : [
        [10, 5000],
        [100, 5000],
      ]
) as [number, number][]
print('A burst by one node until all tables are equal', [
  ['', 'ms', 'kB a node'],
  ...bursts.flatMap(([machines, records]) =>
    [0, 0.1].map(loss => {
      const { time, bytes } = burst(machines, records, loss)
      return [`${records} records, ${machines} nodes, ${loss * 100} % lost`, time, bytes / 1000]
    }),
  ),
])
print('Idle', [
  ['', 'B/s a node, 60 of overhead a message included'],
  ['100 nodes', idle(100)],
])
