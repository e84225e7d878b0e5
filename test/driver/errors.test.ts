import assert from 'node:assert/strict'
import { z } from 'zod'
import { Refused, StepError } from '../../core/errors.ts'
import { type MethodTable, method } from '../../core/methods.ts'
import { driverMethods } from '../../driver/methods.ts'
import { eventually } from '../bed/until.ts'
import { type Answer, type Bed, bed, bytes, raw, statuses } from './client.ts'
import { MemoryNetworks } from './networks.ts'

const asked = z.object({ Name: z.string() })

/** Methods that end in every way a method can. */
const table: MethodTable = {
  'T.Plain': { run: () => ({ Plain: true }) },
  'T.Nothing': { run: () => undefined },
  'T.Echo': method(asked, request => request),
  'T.Refused': method(asked, () => {
    throw new Refused('the name is taken')
  }),
  'T.Step': { run: () => Promise.reject(new StepError('add link veth0', 'EEXIST', 'File exists')) },
  'T.Bug': { run: () => Promise.reject(new TypeError('x is not a function')) },
  'T.Undefined': { run: () => Promise.reject() },
  'T.Unprintable': { run: () => ({ n: 1n }) },
}

function isError(answer: Answer, status: number, sentence: RegExp): void {
  assert.equal(answer.status, status, JSON.stringify(answer.body))
  assert.deepEqual(Object.keys(answer.body), ['Err', 'Error'])
  assert.equal(answer.body.Err, answer.body.Error)
  assert.match(String(answer.body.Err), sentence)
}

describe('answers', () => {
  let daemon: Bed
  before(async () => {
    daemon = await bed({ methods: table })
  })
  after(() => daemon.stop())

  it('a method without arguments takes any body', async () => {
    for (const body of [undefined, {}, 'no JSON'])
      assert.deepEqual(await daemon.call('T.Plain', body), { status: 200, body: { Plain: true } })
  })

  it('nothing to say is an empty object', async () => {
    assert.deepEqual(await daemon.call('T.Nothing'), { status: 200, body: {} })
  })

  it('takes JSON whatever its Content-Type, Host and framing', async () => {
    const variants: Record<string, string>[] = [
      {},
      { 'content-type': 'text/plain' },
      { 'content-type': 'application/x-www-form-urlencoded' },
      { 'content-type': 'not a type' },
      { host: 'plugin.moby.localhost' },
      { 'transfer-encoding': 'chunked' },
    ]
    for (const headers of variants)
      assert.deepEqual(await daemon.call('T.Echo', { Name: 'ä' }, headers), {
        status: 200,
        body: { Name: 'ä' },
      })
  })

  it('takes a request without any Host, and one whose path carries a query or a host', async () => {
    const requests = [
      'POST /T.Plain HTTP/1.1\r\nContent-Length: 0\r\n\r\n',
      'POST /T.Plain?x=1 HTTP/1.1\r\nContent-Length: 0\r\n\r\n',
      'POST http://plugin.moby.localhost/T.Plain HTTP/1.1\r\nContent-Length: 0\r\n\r\n',
    ]
    for (const request of requests)
      assert.deepEqual(
        statuses(await raw(daemon.path, [Buffer.from(request)], { end: true })),
        [200],
        request,
      )
  })

  it('Refused is the caller’s fault', async () => {
    isError(await daemon.call('T.Refused', { Name: 'a' }), 400, /^the name is taken$/)
  })

  it('an error of ours tells step and errno, and is logged', async () => {
    isError(await daemon.call('T.Step'), 500, /^add link veth0: File exists \(EEXIST\)$/)
    isError(await daemon.call('T.Bug'), 500, /^x is not a function$/)
    isError(await daemon.call('T.Undefined'), 500, /\w+/)
    isError(await daemon.call('T.Unprintable'), 500, /BigInt/)
    const logged = daemon.log.filter(line => line.level === 50).map(line => line.path)
    assert.deepEqual(logged, ['/T.Step', '/T.Bug', '/T.Undefined', '/T.Unprintable'])
  })

  it('an unknown method is 404, which Docker takes for "not implemented"', async () => {
    for (const name of ['NetworkDriver.New', '', 'constructor', '__proto__', 'T.Plain/', '%00'])
      isError(await daemon.call(name), 404, /is not a method of this daemon$/)
  })

  it('only POST is spoken', async () => {
    for (const verb of ['GET', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'])
      isError(await daemon.call('T.Plain', '', {}, verb), 405, /is not spoken here, only POST$/)
  })

  it('a body that was lost, that is no JSON, or of another shape', async () => {
    isError(await daemon.call('T.Echo'), 400, /^the request has no body, so it is a repetition/)
    isError(await daemon.call('T.Echo', '{"Name":'), 400, /^the request is not JSON: /)
    isError(await daemon.call('T.Echo', Buffer.from([0xff, 0xfe])), 400, /^the request is not JSON: /)
    isError(await daemon.call('T.Echo', 'null'), 400, /^the request: expected object, received null$/)
    isError(await daemon.call('T.Echo', {}), 400, /^Name: expected string, received undefined$/)
  })

  it('an encoding that is not spoken', async () => {
    isError(await daemon.call('T.Echo', { Name: 'a' }, { 'content-encoding': 'gzip' }), 415, /can't be read/)
  })

  it('a body of 8 MiB is read, a longer one is not, and the connection lives on', async () => {
    const limit = 8 * 2 ** 20
    const padded = (length: number) => '{"Name":"a"}'.padEnd(length)
    assert.equal((await daemon.call('T.Echo', padded(limit))).status, 200)
    isError(await daemon.call('T.Echo', padded(limit + 1)), 413, /larger than 8388608 bytes$/)
    const chunked = { 'transfer-encoding': 'chunked' }
    isError(await daemon.call('T.Echo', padded(2 * limit), chunked), 413, /larger than 8388608 bytes$/)
    assert.equal((await daemon.call('T.Echo', { Name: 'b' })).status, 200)
  })
})

describe('deadline', () => {
  it('answers for a method that does not end, once, and logs its late end', async () => {
    const stuck = Promise.withResolvers<object>()
    const daemon = await bed({ methods: { 'T.Stuck': { run: () => stuck.promise } }, deadline: 50 })
    try {
      isError(await daemon.call('T.Stuck'), 504, /^not done after 0.05 s/)
      stuck.resolve({})
      await eventually(() => assert.ok(daemon.log.some(line => line.msg.startsWith('done after'))))
    } finally {
      await daemon.stop()
    }
  })

  it('logs a late failure, too', async () => {
    const stuck = Promise.withResolvers<object>()
    const daemon = await bed({ methods: { 'T.Stuck': { run: () => stuck.promise } }, deadline: 50 })
    try {
      assert.equal((await daemon.call('T.Stuck')).status, 504)
      stuck.reject(new StepError('delete link veth0', 'EBUSY', 'Device or resource busy'))
      await eventually(() => assert.ok(daemon.log.some(line => line.msg.includes('EBUSY'))))
    } finally {
      await daemon.stop()
    }
  })

  it('answers for a body that does not arrive, does nothing and hangs up', async () => {
    const networks = new MemoryNetworks()
    const daemon = await bed({ methods: driverMethods(networks, { scope: 'local' }), deadline: 50 })
    try {
      const whole = bytes('NetworkDriver.DeleteNetwork', { NetworkID: 'a'.repeat(64) })
      const heard = await raw(daemon.path, [whole.subarray(0, -5)])
      assert.deepEqual(statuses(heard), [408])
      assert.match(heard, /"Err":"the request's body didn't arrive within 0.05 s; nothing was done"/)
      assert.deepEqual(networks.calls, [])
    } finally {
      await daemon.stop()
    }
  })
})
