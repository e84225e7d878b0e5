import assert from 'node:assert/strict'
import { connect } from 'node:net'
import fc from 'fast-check'
import { driverMethods } from '../../driver/methods.ts'
import { eventually } from '../bed/until.ts'
import { type Answer, type Bed, bed, bytes, raw, statuses } from './client.ts'
import { MemoryNetworks } from './networks.ts'

const NetworkID = 'a'.repeat(64)
const EndpointID = 'b'.repeat(64)
const portmap = [{ Proto: 6, IP: '', Port: 80, HostIP: '', HostPort: 8080, HostPortEnd: 8090 }]

/** One good request of every method that takes arguments. */
const good: Record<string, object> = {
  GwAllocCheck: { Options: { 'com.docker.network.generic': { k: 'v' } } },
  AllocateNetwork: { NetworkID, Options: { k: 'v' } },
  FreeNetwork: { NetworkID },
  CreateNetwork: {
    NetworkID,
    Options: { 'com.docker.network.enable_ipv6': false, 'com.docker.network.generic': { k: 'v' } },
    IPv4Data: [
      { AddressSpace: 'l', Pool: '10.1.0.0/24', Gateway: '10.1.0.1/24', AuxAddresses: { a: '10.1.0.9/24' } },
    ],
    IPv6Data: [],
  },
  DeleteNetwork: { NetworkID },
  CreateEndpoint: {
    NetworkID,
    EndpointID,
    Interface: { Address: '10.1.0.2/24', AddressIPv6: '', MacAddress: '' },
    Options: { k: 'v', 'com.docker.network.portmap': portmap },
  },
  DeleteEndpoint: { NetworkID, EndpointID },
  EndpointOperInfo: { NetworkID, EndpointID },
  Join: { NetworkID, EndpointID, SandboxKey: '/run/netns/1', Options: {} },
  Leave: { NetworkID, EndpointID },
  ProgramExternalConnectivity: { NetworkID, EndpointID, Options: { 'com.docker.network.portmap': portmap } },
  RevokeExternalConnectivity: { NetworkID, EndpointID },
  DiscoverNew: { DiscoveryType: 1, DiscoveryData: { Address: '192.0.2.7', BindAddress: '', Self: false } },
}
const names = fc.constantFrom(...Object.keys(good))
const leave = bytes('NetworkDriver.Leave', good.Leave)

describe('fuzz of the driver’s socket', function () {
  this.timeout(60_000)
  let networks: MemoryNetworks
  let daemon: Bed
  before(async () => {
    networks = new MemoryNetworks()
    daemon = await bed({ methods: driverMethods(networks, { scope: 'local' }), deadline: 20_000 })
    await daemon.call('NetworkDriver.CreateNetwork', good.CreateNetwork)
  })
  beforeEach(() => {
    networks.calls.length = 0
  })
  after(async () => {
    // It still serves, and nothing it was sent was a failure of its own.
    assert.equal((await daemon.call('Plugin.Activate')).status, 200)
    assert.deepEqual(
      daemon.log.filter(line => line.level >= 50),
      [],
    )
    await daemon.stop()
  })

  /** Nothing reached the engine. */
  const untouched = () => assert.deepEqual(networks.calls.splice(0), [])

  it('any JSON for any method', async () => {
    await fc.assert(
      fc.asyncProperty(names, fc.json({ maxDepth: 5 }), async (name, body) => {
        const answer = await daemon.call(`NetworkDriver.${name}`, body)
        if (name !== 'GwAllocCheck') refused(answer)
        untouched()
      }),
      { numRuns: 250 },
    )
  })

  it('any bytes as a body', async () => {
    await fc.assert(
      fc.asyncProperty(names, fc.uint8Array({ minLength: 1, maxLength: 200 }), async (name, body) => {
        refused(await daemon.call(`NetworkDriver.${name}`, Buffer.from(body)))
        untouched()
      }),
      { numRuns: 150 },
    )
  })

  it('a good request with one value exchanged reaches the engine whole or not at all', async () => {
    const odd = fc.oneof(
      fc.jsonValue({ maxDepth: 2 }),
      fc.constantFrom('__proto__', '10.1.0.0/33', -1, 65536, 1e300),
    )
    await fc.assert(
      fc.asyncProperty(names, fc.nat(), odd, async (name, place, value) => {
        const answer = await daemon.call(`NetworkDriver.${name}`, exchanged(good[name] ?? {}, place, value))
        if (answer.status === 200) assert.ok(networks.calls.splice(0).length <= 1)
        else refused(answer)
        // What a good shape may still be refused for is asked of the engine: an unknown network or endpoint.
        if (!/is unknown$/.test(String(answer.body.Err))) untouched()
        networks.calls.length = 0
      }),
      { numRuns: 400 },
    )
  })

  it('keys that mean something to JavaScript are only words', async () => {
    const body = (words: string) =>
      `{"NetworkID":"${NetworkID}","Options":{"com.docker.network.generic":${words}}}`
    for (const key of ['__proto__', 'constructor', 'toString', 'hasOwnProperty'])
      assert.equal(
        (await daemon.call('NetworkDriver.CreateNetwork', body(`{"${key}":"x"}`))).status,
        200,
        key,
      )
    assert.equal(({} as Record<string, unknown>).x, undefined)
  })

  it('nesting as deep as a body can be', async () => {
    const deep = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`
    const options = `{"NetworkID":"${NetworkID}","EndpointID":"${EndpointID}","Options":{"k":${deep(400_000)}}}`
    for (const body of [deep(500_000), options])
      refused(await daemon.call('NetworkDriver.CreateEndpoint', body))
    untouched()
  })

  it('bytes that are no HTTP: a status of 4xx or a closed connection', async () => {
    const garbage = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 300 }),
      fc.string({ unit: 'binary', minLength: 1 }).map(text => new TextEncoder().encode(`POST /${text}`)),
      fc
        .string({ minLength: 1 })
        .map(text => new TextEncoder().encode(`POST /x HTTP/1.1\r\n${text}\r\n\r\n`)),
    )
    await fc.assert(
      fc.asyncProperty(garbage, async sent => {
        const heard = await raw(daemon.path, [Buffer.from(sent)], { end: true })
        for (const status of statuses(heard)) assert.ok(status >= 400 && status < 500, heard)
        untouched()
      }),
      { numRuns: 150 },
    )
  })

  it('headers without end, contradicting lengths', async () => {
    const requests = [
      `POST /NetworkDriver.Leave HTTP/1.1\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`,
      'POST /NetworkDriver.Leave HTTP/1.1\r\nContent-Length: -1\r\n\r\n',
      'POST /NetworkDriver.Leave HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}',
      'POST /NetworkDriver.Leave HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}',
      'POST /NetworkDriver.Leave HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n',
    ]
    for (const request of requests) {
      const [status = 0] = statuses(await raw(daemon.path, [Buffer.from(request)]))
      assert.ok(status >= 400 && status < 500, `${status} to ${request.slice(0, 90)}`)
    }
    untouched()
  })

  it('a request cut off at any byte', async () => {
    for (let length = 0; length < leave.length; length++) {
      const heard = await raw(daemon.path, [leave.subarray(0, length)], { end: true })
      for (const status of statuses(heard)) assert.equal(status, 400)
      untouched()
    }
  })

  it('a request in pieces, as slowly as they come', async () => {
    const cuts = fc.uniqueArray(fc.nat(leave.length), { maxLength: 12 })
    await fc.assert(
      fc.asyncProperty(cuts, async cuts => {
        const edges = [0, ...cuts.toSorted((a, b) => a - b), leave.length]
        const pieces = edges.slice(1).map((edge, index) => leave.subarray(edges[index], edge))
        const heard = await raw(daemon.path, pieces, { enough: hasBodies(1) })
        assert.deepEqual(statuses(heard), [200])
        assert.deepEqual(networks.calls.splice(0), [`leave "${EndpointID}"`])
      }),
      { numRuns: 60 },
    )
  })

  it('a caller that ends its side after the request is answered', async () => {
    assert.deepEqual(statuses(await raw(daemon.path, [leave], { end: true })), [200])
  })

  it('a caller that hangs up has asked all the same', async () => {
    const socket = connect(daemon.path)
    socket.write(leave, () => socket.destroy())
    await eventually(() => assert.deepEqual(networks.calls, [`leave "${EndpointID}"`]))
  })

  it('requests in one write are answered in their order', async () => {
    const ids = Array.from({ length: 50 }, (_, index) => `${index}`.padStart(64, '0'))
    const create = (id: string) =>
      bytes('NetworkDriver.CreateEndpoint', { ...good.CreateEndpoint, EndpointID: id })
    const bad = bytes('NetworkDriver.Leave', { NetworkID })
    const heard = await raw(daemon.path, [Buffer.concat([...ids.map(create), bad])], {
      enough: hasBodies(51),
    })
    assert.deepEqual(statuses(heard), [...ids.map(() => 200), 400])
    assert.equal(networks.calls.length, 50)
  })

  it('two hundred callers at once get each its own answer', async () => {
    const one = async (index: number) => {
      const id = index.toString(16).padStart(6, '0').padEnd(64, 'f')
      const body = { ...good.CreateEndpoint, EndpointID: id }
      const heard = await raw(daemon.path, [bytes('NetworkDriver.CreateEndpoint', body)], {
        enough: hasBodies(1),
      })
      assert.ok(heard.includes(`02:00:00:${id.slice(0, 2)}:${id.slice(2, 4)}:${id.slice(4, 6)}`), heard)
    }
    await Promise.all(Array.from({ length: 200 }, (_, index) => one(index)))
    assert.equal(new Set(networks.calls).size, 200)
  })
})

function refused({ status, body }: Answer): void {
  assert.equal(status, 400, JSON.stringify(body))
  assert.deepEqual(Object.keys(body), ['Err', 'Error'])
  assert.ok(typeof body.Err === 'string' && body.Err.length > 10 && body.Err === body.Error, String(body.Err))
}

/** True once as many answers have come whole. */
const hasBodies = (count: number) => (heard: string) =>
  [...heard.matchAll(/\r\n\r\n\{[^\r]*\}/g)].length >= count

/** A copy in which the value at one place, counted in depth-first order, is another. */
function exchanged(body: object, place: number, value: unknown): unknown {
  const copy = structuredClone(body)
  const places: [Record<string, unknown>, string][] = []
  const walk = (node: Record<string, unknown>): void => {
    for (const [key, child] of Object.entries(node)) {
      places.push([node, key])
      if (typeof child === 'object' && child) walk(child as Record<string, unknown>)
    }
  }
  walk(copy as Record<string, unknown>)
  const [node, key] = places[place % places.length] ?? []
  if (node && key) node[key] = value
  return copy
}
