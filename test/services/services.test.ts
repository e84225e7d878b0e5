import assert from 'node:assert/strict'
import { setImmediate } from 'node:timers/promises'
import { read, wanted } from '../../bin/services/docker.ts'
import { VirtualServices } from '../../bin/services/index.ts'
import type { VirtualService } from '../../core/faces.ts'
import type { Endpoint, Network } from '../../core/records.ts'
import { memoryStore } from '../../store/memory.ts'
import { eventually } from '../bed/until.ts'

const web = (...backends: string[]): VirtualService => ({ address: '10.91.0.2', backends })

describe('virtual addresses of services', () => {
  const store = memoryStore()
  const said: [string, readonly VirtualService[]][] = []
  let told: Record<string, VirtualService[] | Error>
  let asked: Record<string, readonly string[]>
  /** How often a namespace isn't there yet. */
  let missing: Record<string, number>
  let looks: number
  let broken: string | undefined
  let warned: string[]
  let services: VirtualServices

  const endpoint = async (id: string, network: string, sandbox?: string) => {
    const value = { id, network, mac: '', ports: [], published: [], options: {}, created: 0 } as Endpoint
    await store.write([
      { table: 'endpoint', id, value: { ...value, ...(sandbox !== undefined && { sandbox }) } },
    ])
    services.tell([{ table: 'endpoint', id }])
  }

  before(async () => {
    for (const [id, mode] of [
      ['shop', 'overlay'],
      ['barn', 'overlay'],
      ['local', 'bridge'],
    ] as const)
      await store.write([{ table: 'network', id, value: { id, mode } as Network }])
  })
  beforeEach(() => {
    said.length = 0
    asked = {}
    missing = {}
    looks = 0
    warned = []
    broken = undefined
    told = {}
    services = new VirtualServices({
      services: async (network, sandboxes) => {
        asked[network] = sandboxes
        looks++
        const found = told[network] ?? []
        if (found instanceof Error) throw found
        return found
      },
      store,
      spans: mode => mode === 'overlay',
      kernel: {
        balance: async (namespace, list) => {
          if (namespace === broken) throw new Error('no nft there')
          const times = missing[namespace] ?? 0
          if (times === 0) said.push([namespace, list])
          else missing[namespace] = times - 1
          return times === 0
        },
      },
      log: { debug() {}, info() {}, warn: (_, text) => void warned.push(text), error() {} },
    })
  })
  afterEach(async () => {
    services.close()
    for (const id of store.records.endpoints.keys()) await store.write([{ table: 'endpoint', id }])
  })

  it('are said once to each container that runs here, all that its networks have', async () => {
    told = {
      shop: [web('10.91.0.3')],
      barn: [{ address: '10.92.0.2', backends: ['10.92.0.9'] }],
      local: [web()],
    }
    await endpoint('a', 'shop', '/run/a')
    await endpoint('a2', 'barn', '/run/a')
    await endpoint('b', 'shop', '/run/b')
    await endpoint('c', 'local', '/run/c')
    await endpoint('d', 'shop')
    const both = [...(told.shop as VirtualService[]), ...(told.barn as VirtualService[])]
    const expected = [
      ['/run/a', both],
      ['/run/b', told.shop],
    ]
    await eventually(async () => assert.deepEqual(said, expected))
    services.soon()
    told = { ...told, shop: [web('10.91.0.3', '10.91.0.4')] }
    await eventually(async () => assert.equal(said.length, 4))
    assert.deepEqual(said[3], ['/run/b', told.shop])
  })

  it('of a container that ran before are looked at, even if there are none any more', async () => {
    await endpoint('a', 'shop', '/run/a')
    await eventually(async () => assert.deepEqual(said, [['/run/a', []]]))
    await endpoint('b', 'shop', '/run/b')
    told = { shop: [web('10.91.0.3')] }
    await eventually(async () => assert.equal(said.length, 3))
    assert.deepEqual(said.map(([namespace]) => namespace).sort(), ['/run/a', '/run/a', '/run/b'])
  })

  it('are asked for where containers of the network run', async () => {
    await endpoint('a', 'shop', '/run/a')
    await endpoint('b', 'shop', '/run/b')
    await endpoint('b2', 'barn', '/run/b')
    await eventually(async () => assert.deepEqual(asked.barn, ['/run/b']))
    assert.deepEqual(asked.shop, ['/run/a', '/run/b'])
  })

  it('reach a container whose namespace Docker makes later, sooner than Docker is asked otherwise', async () => {
    missing = { '/run/a': 20 }
    told = { shop: [web('10.91.0.3')] }
    await endpoint('a', 'shop', '/run/a')
    await endpoint('b', 'shop', '/run/b')
    // A look a second would take 20 s.
    await eventually(async () => assert.deepEqual(said[1], ['/run/a', told.shop]), 10_000)
    assert.deepEqual(said[0], ['/run/b', told.shop])
    assert.equal(said.length, 2)
    assert.deepEqual(warned, [])
  })

  it('are not asked for all the time when Docker fails while such a container waits', async () => {
    missing = { '/run/a': 90 }
    await endpoint('a', 'shop', '/run/a')
    await eventually(async () => assert.notEqual(missing['/run/a'], 90))
    told = { shop: new Error('docker is away') }
    await eventually(async () => assert.equal(warned.length, 1))
    const [since, before] = [performance.now(), looks]
    await eventually(async () => assert.ok(looks >= before + 2))
    assert.ok(performance.now() - since > 1_000)
  })

  it('go on when Docker or one container fails, which is told once', async () => {
    told = { shop: new Error('docker is away') }
    await endpoint('a', 'shop', '/run/a')
    await eventually(async () => assert.equal(warned.length, 1))
    broken = '/run/a'
    told = { shop: [web('10.91.0.3')] }
    await endpoint('b', 'shop', '/run/b')
    await eventually(async () => assert.deepEqual(said, [['/run/b', told.shop]]))
    await eventually(async () => assert.equal(warned.length, 2))
    broken = undefined
    services.soon()
    await eventually(async () => assert.deepEqual(said[1], ['/run/a', told.shop]))
    assert.match(warned.join(), /docker is away.*no nft there/)
  })

  it('of one network that Docker fails on leave those of others alone, and are warned of anew when it fails again', async () => {
    told = { shop: new Error('no shop'), barn: [{ address: '10.92.0.2', backends: ['10.92.0.9'] }] }
    await endpoint('a', 'shop', '/run/a')
    await endpoint('b', 'barn', '/run/b')
    await eventually(async () => assert.deepEqual(said, [['/run/b', told.barn]]))
    told = { ...told, shop: [web('10.91.0.3')] }
    await eventually(async () => assert.deepEqual(said[1], ['/run/a', told.shop]))
    told = { ...told, shop: new Error('no shop') }
    await eventually(async () => assert.equal(warned.length, 2))
    assert.equal(said.length, 2)
  })

  it('are read from what Docker tells of a network', () => {
    const task = (EndpointIP: string) => ({ EndpointIP })
    assert.deepEqual(
      read({
        '': { VIP: '<nil>', Tasks: [task('10.91.0.77')] },
        web: { VIP: '10.91.0.9', Tasks: [task('10.91.0.5'), task('10.91.0.3')] },
        api: { VIP: '10.91.0.2', Tasks: [] },
        rr: { VIP: '', Tasks: [task('10.91.0.4')] },
      }),
      [
        { name: 'api', address: '10.91.0.2', backends: [] },
        { name: 'web', address: '10.91.0.9', backends: ['10.91.0.3', '10.91.0.5'] },
      ],
    )
  })

  const all = ['10.91.0.3', '10.91.0.4']
  const service = (name: string) => ({ name, address: '10.91.0.2', backends: all })

  it('lead no new connection to a task that Docker no longer names, while another is left', async () => {
    const named = async (...addresses: string[]) => {
      const [web] = await wanted([service('web')], async name => (name === 'web' ? addresses : []))
      return web?.backends
    }
    assert.deepEqual(await named('10.91.0.4', '10.91.0.7'), ['10.91.0.4'])
    assert.deepEqual(await named(...all), all)
    assert.deepEqual(await named(), all)
    assert.deepEqual(await named('192.0.2.1'), all)
  })

  it('of hundreds of services are asked for a few at a time, for what overruns a name server’s socket is lost', async () => {
    let [open, most] = [0, 0]
    const found = await wanted(crowd, async () => {
      most = Math.max(most, ++open)
      await setImmediate()
      open--
      return ['10.91.0.4']
    })
    assert.ok(most <= 32, `${most} at a time`)
    assert.ok(found.every(({ backends }) => backends.join() === '10.91.0.4'))
  })

  it('are no longer asked for once nobody answers', async () => {
    let asked = 0
    const found = await wanted(crowd, async () => void asked++)
    assert.ok(asked <= 32, `${asked} in vain`)
    assert.ok(found.every(({ backends }) => backends === all))
  })

  const crowd = Array.from({ length: 500 }, (_, i) => service(`web-${i}`))
})
