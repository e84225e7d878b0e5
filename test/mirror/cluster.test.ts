import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { dirname } from 'node:path'
import { Cluster } from '../../bin/cluster/index.ts'
import { telling } from '../../bin/cluster/own.ts'
import { docker } from '../../bin/mirror/docker.ts'
import { Mirror } from '../../bin/mirror/index.ts'
import { PeerTable } from '../../core/peers.ts'
import { vniOf } from '../../modes/overlay.ts'
import { memoryStore } from '../../store/memory.ts'
import { until } from '../bed/until.ts'
import { FakeDocker } from './engine.ts'

const spans = (mode: string) => mode === 'overlay'
const log = { debug() {}, info() {}, warn() {}, error() {} }
const key = randomBytes(32)
const bind = (at: number) => ({ address: `127.0.90.${at}`, port: 7947 })

type Member = { engine: FakeDocker; close(): Promise<void> }

/** A host's mirror, cluster and records as the daemon joins them, on a loopback address. */
async function member(at: number): Promise<Member> {
  let [mirror, cluster]: [Mirror?, Cluster?] = []
  const store = telling(memoryStore(), changes => {
    cluster?.tell(changes)
    mirror?.tell(changes)
  })
  const engine = await FakeDocker.open(`host${at}`, store)
  mirror = new Mirror({
    docker: docker(engine.socket),
    store,
    spans,
    vniOf,
    say: entries => cluster?.write(entries),
    log: log as never,
    now: () => performance.now(),
  })
  engine.admit = network => mirror.admit(network)
  cluster = await Cluster.open({
    settings: { bind: bind(at), vteps: [bind(at).address], vxlanPort: 4789, seeds: [bind(1)], keys: [key] },
    store,
    peers: new PeerTable(),
    networks: mirror,
    spans,
    run: dirname(engine.socket),
    moved: () => {},
    heard: () => mirror.complete(),
    log: log as never,
  })
  mirror.start()
  const close = async () => {
    mirror.close()
    await cluster.close()
    await engine.close()
  }
  return { engine, close }
}

describe('mirror over gossip', () => {
  const members: Member[] = []
  afterEach(() => Promise.all(members.splice(0).map(each => each.close())))

  const everywhere = (...names: string[]) =>
    until(`${names.join() || 'nothing'} everywhere`, () => {
      for (const { engine } of members) assert.deepEqual(engine.names(), names)
      return true
    })

  it('makes a network on hosts that are there and that come, and removes it', async () => {
    for (const at of [1, 2]) members.push(await member(at))
    await members[0]?.engine.create({
      Name: 'shop',
      Driver: 'tsnet',
      IPAM: { Driver: 'tsnet', Config: [{ Subnet: '10.90.0.0/16' }] },
      Options: { mode: 'overlay' },
      Labels: {},
    })
    await everywhere('shop')
    members.push(await member(3))
    await everywhere('shop')
    await members[2]?.engine.remove('shop')
    await everywhere()
  })
})
