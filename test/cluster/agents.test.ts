import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Cluster } from '../../bin/cluster/index.ts'
import { telling } from '../../bin/cluster/own.ts'
import { PeerTable } from '../../core/peers.ts'
import type { Endpoint } from '../../gossip/index.ts'
import { Ipam } from '../../ipam/ipam.ts'
import { memoryStore } from '../../store/memory.ts'

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
  const settings = { bind, seeds, keys: [Buffer.alloc(32, 7)], vtep: bind.address, vxlanPort: 4789 }
  const rest = { spans: (mode: string) => mode === 'overlay', run, moved() {}, heard() {}, log: quiet }
  cluster = await Cluster.open({ settings, store, peers: new PeerTable(), ...rest })
  const portion = (pool: string) => cluster.portion(pool)
  const ipam = new Ipam({ store, clock: Date.now, routes: async () => [], seed: '', portion })
  return { cluster, store, ipam }
}

async function start({ store, ipam }: Awaited<ReturnType<typeof host>>): Promise<string> {
  const subnet = '10.90.0.0/16'
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

describe('two hosts that gossip', () => {
  it('create one network at once and give addresses of blocks of their own', async function () {
    this.timeout(30_000)
    const binds = [await freePort(), await freePort()]
    const run = mkdtempSync(join(tmpdir(), 'ts-test-'))
    const hosts = await Promise.all(binds.map(bind => host(bind, binds, run)))
    try {
      const addresses = await Promise.all(hosts.map(start))
      assert.deepEqual(addresses.sort(), ['10.90.0.2/16', '10.90.0.65/16'])
    } finally {
      await Promise.all(hosts.map(({ cluster }) => cluster.close()))
      rmSync(run, { recursive: true })
    }
  })
})
