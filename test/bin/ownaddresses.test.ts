import assert from 'node:assert/strict'
import { OwnAddresses } from '../../bin/ownaddresses.ts'
import type { Network } from '../../core/records.ts'
import { Ipam } from '../../ipam/ipam.ts'
import type { Portion } from '../../ipam/portion.ts'
import { parsePrefix } from '../../ipam/prefix.ts'
import { memoryStore } from '../../store/memory.ts'
import { until } from '../bed/until.ts'

const POOL = '10.93.0.0/16'

/** A host with a network, and blocks of it that the test deals. */
class Bed {
  readonly store = memoryStore()
  readonly warnings: string[] = []
  blocks: string[] | undefined = ['10.93.1.0/26']
  refuses = false
  readonly #portion = (): Portion | undefined =>
    this.blocks && {
      blocks: () => (this.blocks ?? []).map(each => parsePrefix(each, 'block')),
      left: () => undefined,
      more: async () => {
        throw new Error('no block came')
      },
    }
  readonly ipam = new Ipam({
    ...{ store: this.store, clock: Date.now, routes: async () => [], seed: 'seed', dhcp: undefined },
    portion: this.#portion,
  })
  readonly own = new OwnAddresses({
    engine: {
      network: id => this.store.records.networks.get(id),
      networks: () => this.store.records.networks.values(),
      setOwn: async (id, own) => {
        if (this.refuses) throw new Error('the disk is full')
        const network = this.store.records.networks.get(id)
        if (network) await this.put({ ...network, own: { ...network.own, ...own } })
        return network !== undefined
      },
    },
    ipam: this.ipam,
    portion: this.#portion,
    isWay: mode => mode === 'nodes',
    log: { debug() {}, info() {}, warn: (_, words) => this.warnings.push(String(words)), error() {} },
  })

  async network(more: Partial<Network> = {}): Promise<void> {
    await this.ipam.openPool({ space: 'cni', pool: POOL, range: '', v6: false })
    const subnet = { pool: POOL, gateway: '10.93.0.1/16', aux: {} }
    const plain = { id: 'pods', mode: 'nodes', conflist: 'pods', options: {}, internal: false, created: 0 }
    await this.put({ ...plain, ipv4: [subnet], ipv6: [], ...more })
  }

  put = (value: Network) => this.store.write([{ table: 'network', id: value.id, value }])
  called = () => this.store.records.networks.get('pods')?.own?.ipv4
  leases = () => [...this.store.records.leases.values()].map(({ address }) => address)
}

describe('what this host is called in its networks', () => {
  let bed: Bed
  beforeEach(() => {
    bed = new Bed()
  })
  afterEach(() => bed.own.close())

  it('is an address of its blocks, held in the book', async () => {
    await bed.network()
    bed.own.start()
    assert.match(await until('an address', bed.called), /^10\.93\.1\./)
    assert.deepEqual(bed.leases(), [bed.called()])
  })

  it('is found for a network that comes later', async () => {
    bed.own.start()
    await bed.network()
    bed.own.tell([{ table: 'network', id: 'pods', value: bed.store.records.networks.get('pods') as Network }])
    await until('an address', bed.called)
  })

  it('is nothing where addresses are shared with nobody, nor where hosts are not the way', async () => {
    await bed.network({ mode: 'overlay' })
    bed.own.start()
    await new Promise(setImmediate)
    assert.deepEqual(bed.leases(), [])
    bed.blocks = undefined
    await bed.network()
    bed.own.ring()
    await new Promise(setImmediate)
    assert.deepEqual(bed.leases(), [])
  })

  it('stays while it is not known which blocks are this host’s', async () => {
    await bed.network()
    bed.own.start()
    const before = await until('an address', bed.called)
    bed.blocks = []
    bed.own.ring()
    await new Promise(setImmediate)
    assert.deepEqual([bed.called(), bed.warnings], [before, []])
  })

  it('is another one once the blocks are others, and the first is free again', async () => {
    await bed.network()
    bed.own.start()
    await until('an address', bed.called)
    bed.blocks = ['10.93.7.0/26']
    bed.own.ring()
    await until('another', () => bed.called()?.startsWith('10.93.7.'))
    await until('the first to be free', () => bed.leases().join() === bed.called())
  })

  it('is told of once while it can’t be had, and costs nothing', async () => {
    await bed.network()
    bed.blocks = []
    bed.own.start()
    await until('a word', () => bed.warnings.length > 0)
    bed.own.ring()
    bed.blocks = ['10.93.1.0/26']
    bed.refuses = true
    bed.own.ring()
    await until('another word', () => bed.warnings.length > 1)
    assert.deepEqual(bed.warnings, [
      'this host has no address of its own in a network: no block came',
      'this host has no address of its own in a network: the disk is full',
    ])
    assert.deepEqual(bed.leases(), [])
    bed.refuses = false
    bed.own.ring()
    await until('an address', bed.called)
  })

  it('is not taken back from a network that has it', async () => {
    await bed.network()
    bed.own.start()
    await until('an address', bed.called)
    await bed.ipam.reclaim(new Map(), 0, Date.now() + 1, 'cni')
    assert.deepEqual(bed.leases(), [bed.called()])
  })
})
