import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Cluster } from '../../bin/cluster/index.ts'
import { telling } from '../../bin/cluster/own.ts'
import type { Divided } from '../../bin/cluster/prefixes.ts'
import { ringOf, writeRing } from '../../bin/cluster/ring.ts'
import type { Store } from '../../core/faces.ts'
import { PeerTable } from '../../core/peers.ts'
import type { Endpoint } from '../../gossip/index.ts'
import { Ipam } from '../../ipam/ipam.ts'
import { memoryStore } from '../../store/memory.ts'
import { kinds, orderOf } from '../../vxlan-fdb/index.ts'
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

async function host(
  bind: Endpoint,
  seeds: Endpoint[],
  run: string,
  vtep = bind.address,
  disk = memoryStore(),
): Promise<Host> {
  let cluster: Cluster | undefined
  const store = telling(disk, changes => cluster?.tell(changes))
  const settings = { bind, seeds, keys: [Buffer.alloc(32, 7)], vteps: [vtep], vxlanPort: 4789 }
  const given: Divided[] = []
  const spans = (mode: string) => mode === 'overlay'
  const rest = { spans, divided: () => given, run, moved() {}, heard() {}, log: quiet }
  const peers = new PeerTable({ ipv4: vtep, mtu: 1500, port: 4789, links: [] })
  cluster = await Cluster.open({ settings, store, peers, ...rest })
  const portion = (pool: string) => cluster.portion(pool)
  const ipam = new Ipam({ store, clock: Date.now, routes: async () => [], seed: '', portion })
  const again = () => host(bind, seeds, run, vtep, disk)
  return { cluster, store, ipam, peers, given, again }
}

type Host = {
  cluster: Cluster
  store: Store
  ipam: Ipam
  peers: PeerTable
  /** What somebody else divides among hosts, and this one's part. */
  given: Divided[]
  again: () => Promise<Host>
}

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
  const hosts = await Promise.all(binds.map((bind, at) => host(bind, binds, run, `127.0.0.${at + 1}`)))
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

  it('take one that is brought to one host after the other when the last one has it', () =>
    together(3, async hosts => {
      const clusters = hosts.map(({ cluster }) => cluster)
      const brought = Buffer.alloc(32, 8)
      const bring = (to: Cluster) => to.reconfigure({ vteps: to.status().tunnel.ends, keys: [brought] })
      const used = async () => counts(await (clusters[0] as Cluster).keys.order('list', undefined, false))
      const [last, ...first] = clusters as [Cluster, ...Cluster[]]
      for (const each of first) bring(each)
      await until('two hosts to have it', async () => (await used())[1]?.[0] === 2)
      assert.deepEqual(await used(), [
        [3, 3],
        [2, 0],
      ])
      bring(last)
      const key = brought.toString('base64')
      await until('all to use it', async () => {
        const { keys } = await last.keys.order('list', undefined, true)
        return keys.some(each => each.key === key && each.primary === 3)
      })
    })).timeout(40_000)

  it('go on with them after a restart, unless TSNET_KEY says something new', () => {
    const [old, next, other] = [1, 2, 3].map(fill => Buffer.alloc(32, fill)) as [Buffer, Buffer, Buffer]
    const kept = writeRing({ configured: [old], keys: [next] })
    assert.deepEqual(ringOf([old], undefined).keys, [old])
    assert.deepEqual(ringOf([old], kept).keys, [next])
    assert.deepEqual(ringOf([other], kept).keys, [other, next])
    assert.deepEqual(ringOf([], kept), { configured: [old], keys: [next] })
  })
})

describe('a host that is forgotten', () => {
  it('leaves its addresses to the one who was told, once it is gone', () =>
    together(3, async ([a, b, c]) => {
      if (!a || !b || !c) return
      const small = '10.90.0.0/28'
      const firsts = await Promise.all([a, b, c].map(each => start(each, small)))
      const lost = c.cluster.status().host
      assert.throws(() => a.cluster.forget(lost), /answers/)
      assert.throws(() => a.cluster.forget(a.cluster.status().host), /is this host/)
      assert.throws(() => a.cluster.forget('nobody'), /no host is called nobody; there are /)
      await c.cluster.close()
      const stateAt = ({ cluster }: typeof a) => cluster.hosts.list().find(({ host }) => host === lost)?.state
      await until('it to be missed', () => stateAt(a) === 'dead', { deadline: 60_000 })
      a.cluster.forget(lost)
      await until('all to know', () => stateAt(a) === undefined && stateAt(b) === undefined)
      const given: string[] = []
      while (!given.includes(firsts[2] ?? '')) given.push(await next(a, small))
      assert.ok(!given.includes(firsts[1] ?? ''), 'what is of a host that lives stays there')
    })).timeout(120_000)
})

describe('hosts whose daemons start one soon after the other', () => {
  it('leave what they know of a third one alone until it is heard of', () =>
    together(3, async hosts => {
      const [, b] = hosts as [Host, Host, Host]
      await Promise.all(hosts.map(({ cluster }) => cluster.close()))
      const [a, c] = await Promise.all([hosts[0], hosts[2]].map(each => (each as Host).again()))
      hosts.splice(0, 3, a as Host, c as Host)
      const agree = () =>
        hosts.every(({ cluster }) => cluster.hosts.list().some(({ agreed }) => agreed !== undefined))
      await until('two of them to agree', agree)
      assert.deepEqual(
        hosts.map(({ peers }) => peers.heard()),
        [false, false],
      )
      hosts.push(await b.again())
      await until('all to have heard all', () => hosts.every(({ peers }) => peers.heard()))
    })).timeout(60_000)
})

describe('a host that has the gossip key and lies', () => {
  const endpoint = (id: string, ipv4: string, mac: string) =>
    ({ id, network: 'net', ipv4, mac, published: [], created: 0 }) as never
  const macOfIp = (ip: string) =>
    `02:42:${(ip.split('/')[0] ?? '')
      .split('.')
      .map(each => Number(each).toString(16).padStart(2, '0'))
      .join(':')}`
  const runs = ({ store }: Host, id: string, ipv4: string) =>
    store.write([{ table: 'endpoint', id, value: endpoint(id, ipv4, macOfIp(ipv4)) }])
  const endOf = ({ peers }: Host, ipv4: string) => {
    const [address = ''] = ipv4.split('/')
    return [peers.byAddress('shop', address)?.vtep, peers.byMac('shop', macOfIp(ipv4))?.vtep]
  }

  it('gets no address that lies in the block of another, nor its MAC, whoever was first', () =>
    together(3, async ([a, b, rogue]) => {
      if (!a || !b || !rogue) return
      const subnet = '10.90.0.0/24'
      await start(a, subnet)
      const taken = await start(b, subnet)
      await runs(b, 'taken', taken)
      await until('it to be known', () => endOf(a, taken)[0] === '127.0.0.2')
      const later = taken.replace(/\d+\//, last => `${Number.parseInt(last, 10) + 1}/`)
      const word = { life: 9, generation: 0, level: 2, kept: [[0, 16]], free: [], fences: {}, gifts: [] }
      const fences = Object.fromEntries(
        [a, b].map(({ cluster }) => [cluster.status().host, { generation: 1, life: 9 }]),
      )
      const said = { vote: rogue.cluster.status().host, founded: true, word: { ...word, fences } }
      rogue.cluster.write([
        { network: 'shop', kind: kinds.block, key: subnet, value: Buffer.from(JSON.stringify(said)) },
        orderOf(b.cluster.status().host, 1),
      ])
      const network = a.store.records.networks.get('net')
      await rogue.store.write([{ table: 'network', id: 'net', ...(network && { value: network }) }])
      for (const [at, address] of [taken, later].entries()) await runs(rogue, `stolen${at}`, address)
      await until('the claims to be known', () => a.cluster.elsewhere().length === 3)
      assert.deepEqual(endOf(a, taken), ['127.0.0.2', '127.0.0.2'])
      assert.equal(await next(b, subnet), later, 'its block is still its own')
      await runs(b, 'later', later)
      await until('the right one to be believed', () => endOf(a, later).every(end => end === '127.0.0.2'))
      const told = a.cluster.contests().map(({ address, ids }) => `${address} not ${ids}`)
      const [takenIp, laterIp] = [taken, later].map(each => each.split('/')[0])
      assert.deepEqual(told.sort(), [`${takenIp} not stolen0`, `${laterIp} not stolen1`].sort())
      assert.equal((await next(a, subnet)) !== taken, true)
    })).timeout(60_000)

  it('gets none that somebody else has said before, where nobody has blocks', () =>
    together(3, async ([a, b, rogue]) => {
      if (!a || !b || !rogue) return
      const subnet = '10.91.0.0/24'
      const value = {
        id: 'net',
        mode: 'overlay',
        options: { addresses: 'manual' },
        internal: false,
        ipv4: [{ pool: subnet, aux: {} }],
        ipv6: [],
        shared: 'shop',
        created: 0,
      }
      for (const { store } of [a, b, rogue]) await store.write([{ table: 'network', id: 'net', value }])
      await runs(b, 'taken', '10.91.0.7/24')
      await until('it to be known', () => endOf(a, '10.91.0.7/24')[0] === '127.0.0.2')
      await runs(rogue, 'stolen', '10.91.0.7/24')
      await until('the claim to be known', () => a.cluster.contests().length === 1)
      assert.deepEqual(endOf(a, '10.91.0.7/24'), ['127.0.0.2', '127.0.0.2'])
      await b.store.write([{ table: 'endpoint', id: 'taken' }])
      await until('it to be free', () => endOf(a, '10.91.0.7/24').every(end => end === '127.0.0.3'))
    })).timeout(60_000)
})

describe('hosts whose addresses somebody else divides', () => {
  const POOL = '10.92.0.0/16'
  const give = ({ given, cluster }: Host, prefix: string) => {
    given.splice(0, 1, { network: 'shop', pool: POOL, prefix })
    cluster.divide()
  }
  const ways = ({ peers }: Host) => Object.fromEntries(peers.blocks('shop', [POOL]))
  const runs = ({ store }: Host, id: string, ipv4: string, mac: string) =>
    store.write([
      {
        table: 'endpoint',
        id,
        value: { id, network: 'net', ipv4, mac, published: [], created: 0 } as never,
      },
    ])

  it('know each other’s, believe nobody of another’s, and forget those of whom is forgotten', () =>
    together(3, async ([a, b, rogue]) => {
      if (!a || !b || !rogue) return
      const options = { addresses: 'manual' }
      const rest = { id: 'net', mode: 'overlay', internal: false, ipv6: [], shared: 'shop', created: 0 }
      const value = { ...rest, options, ipv4: [{ pool: POOL, aux: {} }] }
      for (const { store } of [a, b, rogue]) await store.write([{ table: 'network', id: 'net', value }])
      give(a, '10.92.1.0/24')
      give(rogue, '10.92.3.0/24')
      await runs(rogue, 'early', '10.92.2.7/16', '02:00:00:00:00:01')
      const endOf = (address: string) => a.peers.byAddress('shop', address)?.vtep
      await until('it to be first', () => endOf('10.92.2.7') === '127.0.0.3')
      give(b, '10.92.2.0/24')
      await runs(b, 'late', '10.92.2.7/16', '02:00:00:00:00:02')
      await until('whose the prefix is to be believed', () => endOf('10.92.2.7') === '127.0.0.2')
      assert.deepEqual(ways(a), { '10.92.2.0/24': '127.0.0.2', '10.92.3.0/24': '127.0.0.3' })
      give(rogue, '10.92.0.0/16')
      await until('the lie to be heard', () => !('10.92.3.0/24' in ways(a)))
      assert.deepEqual(ways(a), { '10.92.2.0/24': '127.0.0.2' })
      give(rogue, '10.92.3.0/24')
      await until('the truth to be heard', () => '10.92.3.0/24' in ways(a))
      const lost = rogue.cluster.status().host
      await rogue.cluster.close()
      const state = () => a.cluster.hosts.list().find(({ host }) => host === lost)?.state
      await until('it to be missed', () => state() === 'dead', { deadline: 60_000 })
      assert.equal(ways(a)['10.92.3.0/24'], '127.0.0.3', 'its containers may well live')
      a.cluster.forget(lost)
      await until('no way to be left', () => !('10.92.3.0/24' in ways(a)))
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
