import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Cluster } from '../../bin/cluster/index.ts'
import { ringOf, writeRing } from '../../bin/cluster/keys.ts'
import { telling } from '../../bin/cluster/own.ts'
import { PeerTable } from '../../core/peers.ts'
import type { Endpoint } from '../../gossip/index.ts'
import { Ipam } from '../../ipam/ipam.ts'
import { memoryStore } from '../../store/memory.ts'
import { until } from '../bed/until.ts'

const quiet = { debug() {}, info() {}, warn() {}, error() {} } as never

/** A port of loopback that nobody has. */
async function freePort(): Promise<Endpoint> {
  const socket = createSocket('udp4')
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const { port } = socket.address()
  socket.close()
  await once(socket, 'close')
  return { address: '127.0.0.1', port }
}

async function host(bind: Endpoint, seeds: Endpoint[], run: string) {
  let cluster: Cluster | undefined
  const store = telling(memoryStore(), changes => cluster?.tell(changes))
  const settings = { bind, seeds, keys: [Buffer.alloc(32, 7)], vteps: [bind.address], vxlanPort: 4789 }
  const rest = { spans: (mode: string) => mode === 'overlay', run, moved() {}, heard() {}, log: quiet }
  cluster = await Cluster.open({ settings, store, peers: new PeerTable(), ...rest })
  const portion = (pool: string) => cluster.portion(pool)
  const ipam = new Ipam({ store, clock: Date.now, routes: async () => [], seed: '', portion })
  return { cluster, store, ipam }
}

type Host = Awaited<ReturnType<typeof host>>

async function start({ store, ipam }: Host, subnet = '10.90.0.0/16'): Promise<string> {
  const { id } = await ipam.requestPool({ space: 'local', pool: subnet, range: '', v6: false })
  const gateway = await ipam.requestAddress({ pool: id, address: '', gateway: true })
  const network = {
    id: 'net',
    mode: 'overlay',
    options: {},
    internal: false,
    ipv6: [],
    shared: 'shop',
    created: 0,
  }
  const ipv4 = [{ pool: subnet, gateway, aux: {} }]
  await store.write([{ table: 'network', id: 'net', value: { ...network, ipv4 } }])
  return ipam.requestAddress({ pool: id, address: '', gateway: false })
}

const next = ({ ipam }: Host, subnet: string) =>
  ipam.requestAddress({ pool: `local/ipv4/${subnet}`, address: '', gateway: false })

/** Hosts that have found each other, for as long as `work` takes. */
async function together(count: number, work: (hosts: Host[]) => Promise<void>) {
  const binds = await Promise.all(Array.from({ length: count }, freePort))
  const run = mkdtempSync(join(tmpdir(), 'ts-test-'))
  const hosts = await Promise.all(binds.map(bind => host(bind, binds, run)))
  try {
    for (const { cluster } of hosts)
      await until('hosts to know each other', () => {
        const { complete, members } = cluster.status()
        return complete && members.alive === count
      })
    await work(hosts)
  } finally {
    await Promise.all(hosts.map(({ cluster }) => cluster.close()))
    rmSync(run, { recursive: true })
  }
}

type Told = { keys: { key: string; hosts: number; primary: number }[] }
const counts = ({ keys }: Told) => keys.map(({ hosts, primary }) => [hosts, primary])

describe('hosts whose gossip keys are rotated', () => {
  it('understand each other at every step, and a step that would leave one behind is refused', () =>
    together(3, async hosts => {
      const [a, b] = hosts.map(({ cluster }) => cluster) as [Cluster, Cluster]
      const old = Buffer.alloc(32, 7).toString('base64')
      const { keys } = await a.keys.order('install', undefined, false)
      const made = keys.find(({ key }) => key.length === 44)?.key ?? ''
      assert.deepEqual(counts(await b.keys.order('list', undefined, false)), [
        [3, 3],
        [3, 0],
      ])
      await assert.rejects(b.keys.order('remove', old, false), /in use on .*: use another one first/)
      await b.keys.order('use', made.slice(0, 8), false)
      assert.deepEqual(counts(await a.keys.order('remove', old, false)), [[3, 3]])
      const { keys: left, trouble } = await a.keys.order('list', undefined, true)
      assert.deepEqual([left.map(({ key }) => key), trouble], [[made], []])
      await assert.rejects(a.keys.order('use', old, false), /no installed key begins with/)
      await assert.rejects(a.keys.order('install', 'short', false), /base64 of 16, 24 or 32 bytes/)
    })).timeout(30_000)

  it('go on with them after a restart, unless TSNET_KEY says something new', () => {
    const [old, next, other] = [1, 2, 3].map(fill => Buffer.alloc(32, fill)) as [Buffer, Buffer, Buffer]
    const kept = writeRing([old], [next])
    assert.deepEqual(ringOf([old], undefined), [old])
    assert.deepEqual(ringOf([old], kept), [next])
    assert.deepEqual(ringOf([other], kept), [other, next])
  })
})

describe('a host that is forgotten', () => {
  it('leaves its addresses to the one who was told, once it is gone', () =>
    together(3, async ([a, b, c]) => {
      if (!a || !b || !c) return
      const small = '10.90.0.0/28'
      const firsts = await Promise.all([a, b, c].map(each => start(each, small)))
      const lost = c.cluster.status().host
      assert.throws(() => a.cluster.forget(lost, false), /answers/)
      assert.throws(() => a.cluster.forget(a.cluster.status().host, false), /is this host/)
      assert.throws(() => a.cluster.forget('nobody', false), /no host is called nobody; there are /)
      await c.cluster.close()
      const stateAt = ({ cluster }: typeof a) => cluster.members().find(({ host }) => host === lost)?.state
      await until('it to be missed', () => stateAt(a) === 'dead', { deadline: 60_000 })
      a.cluster.forget(lost, false)
      await until('all to know', () => stateAt(a) === undefined && stateAt(b) === undefined)
      const given: string[] = []
      while (!given.includes(firsts[2] ?? '')) given.push(await next(a, small))
      assert.ok(!given.includes(firsts[1] ?? ''), 'what is of a host that lives stays there')
    })).timeout(120_000)
})

describe('two hosts that gossip', () => {
  it('create one network at once and give addresses of blocks of their own', async function () {
    this.timeout(30_000)
    const binds = [await freePort(), await freePort()]
    const run = mkdtempSync(join(tmpdir(), 'ts-test-'))
    const hosts = await Promise.all(binds.map(bind => host(bind, binds, run)))
    try {
      const addresses = await Promise.all(hosts.map(each => start(each)))
      assert.deepEqual(addresses.sort(), ['10.90.0.2/16', '10.90.0.65/16'])
    } finally {
      await Promise.all(hosts.map(({ cluster }) => cluster.close()))
      rmSync(run, { recursive: true })
    }
  })
})
