import assert from 'node:assert/strict'
import { PodCidrs } from '../../bin/kubernetes/pod-cidrs.ts'
import { Refused } from '../../core/errors.ts'
import type { Network } from '../../core/records.ts'
import { Ipam } from '../../ipam/ipam.ts'
import { memoryStore } from '../../store/memory.ts'
import { until } from '../bed/until.ts'

const POOL = '10.93.0.0/16'
const silent = { debug() {}, info() {}, warn() {}, error() {} }

/** A node with a network that goes by podCIDRs, and an API server that the test speaks for. */
class Bed {
  readonly store = memoryStore()
  watches = 0
  told = 0
  #say: ((podCidrs: string[]) => void) | undefined
  #end = Promise.withResolvers<void>()
  podCidrs = this.#open()

  async network(options: object = { addresses: 'manual' }): Promise<string> {
    const subnet = { pool: POOL, gateway: '10.93.0.1/16', aux: {} }
    const value = { id: 'pods', mode: 'nodes', conflist: 'pods', options, ipv4: [subnet], ipv6: [] }
    await this.store.write([{ table: 'network', id: 'pods', value: value as unknown as Network }])
    return this.ipam().openPool({ space: 'cni', pool: POOL, range: '', v6: false })
  }

  ipam(): Ipam {
    return new Ipam({
      store: this.store,
      clock: Date.now,
      routes: async () => [],
      seed: 'seed',
      dhcp: undefined,
      portion: pool => this.podCidrs.portion(pool),
    })
  }

  ask = async (pool: string, address = ''): Promise<string> =>
    this.ipam().requestAddress({ pool, address, gateway: false })

  async say(...podCidrs: string[]): Promise<void> {
    await until('the Node to be watched', () => this.#say)
    this.#say?.(podCidrs)
  }

  /** The API server goes away. */
  fail(reason: string): void {
    this.#end.reject(new Error(reason))
  }

  restart(): void {
    this.podCidrs.close()
    this.podCidrs = this.#open()
  }

  #open(): PodCidrs {
    this.#say = undefined
    const watch = (heard: (podCidrs: string[]) => void) => {
      this.watches++
      this.#say = heard
      this.#end = Promise.withResolvers()
      return this.#end.promise
    }
    const told = () => {
      this.told++
    }
    return new PodCidrs({ node: 'b', store: this.store, watch, patience: 100, again: 1, told, log: silent })
  }
}

describe('podCIDRs of this node', () => {
  let bed: Bed
  beforeEach(() => {
    bed = new Bed()
  })
  afterEach(() => bed.podCidrs.close())

  it('are where addresses come from, each but once', async () => {
    const pool = await bed.network()
    const first = bed.ask(pool)
    await bed.say('10.93.7.0/30')
    const found = [await first, await bed.ask(pool), await bed.ask(pool), await bed.ask(pool)]
    assert.deepEqual(
      found.sort(),
      [0, 1, 2, 3].map(last => `10.93.7.${last}/16`),
    )
    await assert.rejects(bed.ask(pool), new Refused('no address of podCIDR 10.93.7.0/30 of node b is free'))
  })

  it("aren't asked for by networks that don't go by them", async () => {
    await bed.network({})
    assert.equal(bed.podCidrs.portion(POOL), undefined)
    assert.equal(bed.podCidrs.portion('10.94.0.0/16'), undefined)
    assert.equal(bed.watches, 0)
  })

  it('are told to others from the first network on, before any container', async () => {
    assert.deepEqual(bed.podCidrs.pools(), [])
    assert.equal(bed.watches, 0)
    await bed.network()
    assert.deepEqual(bed.podCidrs.pools(), [{ network: 'pods', pool: POOL }])
    await bed.say('10.93.7.0/24', 'fd00:93::/64')
    assert.deepEqual(bed.podCidrs.pools(), [{ network: 'pods', pool: POOL, prefix: '10.93.7.0/24' }])
    await bed.say('10.244.7.0/24')
    assert.deepEqual(bed.podCidrs.pools(), [{ network: 'pods', pool: POOL }])
    assert.equal(bed.told, 2)
  })

  it('are known after a restart without an API server', async () => {
    const pool = await bed.network()
    const first = bed.ask(pool)
    await bed.say('10.93.7.0/24')
    await first
    bed.restart()
    assert.match(await bed.ask(pool), /^10\.93\.7\./)
  })

  it('of which a node has lost its own give nothing more', async () => {
    const pool = await bed.network()
    const first = bed.ask(pool)
    await bed.say('10.93.7.0/24')
    await first
    await bed.say()
    await assert.rejects(bed.ask(pool), /node b has no podCIDR/)
    const later = bed.ask(pool)
    await bed.say('10.93.9.0/24')
    assert.match(await later, /^10\.93\.9\./)
  })

  it('that are missing, elsewhere or not to be had are told in a sentence', async () => {
    const pool = await bed.network()
    await assert.rejects(
      bed.ask(pool),
      new Refused(
        'node b has no podCIDR: give kube-controller-manager --allocate-node-cidrs=true and --cluster-cidr=10.93.0.0/16',
      ),
    )
    bed.fail('connect ECONNREFUSED 10.96.0.1:443')
    await assert.rejects(
      bed.ask(pool),
      new Refused('the podCIDR of node b is not known: connect ECONNREFUSED 10.96.0.1:443'),
    )
    await until('it to be tried again', () => bed.watches > 1)
    await bed.say('10.244.1.0/24')
    await assert.rejects(
      bed.ask(pool),
      new Refused(
        'podCIDR 10.244.1.0/24 of node b is not inside subnet 10.93.0.0/16, which has to be what kube-controller-manager has as --cluster-cidr',
      ),
    )
    await assert.rejects(bed.ask(pool, '10.93.1.5'), /10\.93\.1\.5 is not this host's to give/)
  })
})
