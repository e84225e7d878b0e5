import assert from 'node:assert/strict'
import fc from 'fast-check'
import { BROADCAST, unwrap, wrap } from '../../dhcp/frame.ts'
import { decode, encode, type Message } from '../../dhcp/message.ts'

const ask: Message = {
  ...{ kind: 'REQUEST', xid: 0x12345678, secs: 3, broadcast: true, mac: '02:42:0a:00:00:07' },
  ...{ requested: '10.0.0.57', server: '10.0.0.1', hostname: 'web' },
}

/** An answer as a server writes it. */
function answer(options: number[], { sname = [] as number[] } = {}): Buffer {
  const bytes = Buffer.alloc(240)
  bytes.set([2, 1, 6, 0, 0x12, 0x34, 0x56, 0x78])
  bytes.set([10, 0, 0, 57], 16)
  bytes.set([2, 0x42, 10, 0, 0, 7], 28)
  bytes.set(sname, 44)
  bytes.writeUInt32BE(0x63825363, 236)
  return Buffer.concat([bytes, Buffer.from(options)])
}

describe('DHCP messages', () => {
  it('are written as RFC 2131 has them', () => {
    const bytes = encode(ask)
    assert.equal(bytes.length, 300)
    assert.equal(bytes.toString('hex', 0, 12), '010106001234567800038000')
    assert.equal(bytes.toString('hex', 28, 34), '02420a000007')
    assert.equal(
      bytes.toString('hex', 236).replace(/0*$/, ''),
      '63825363' +
        '350103' +
        '3d070102420a000007' +
        '32040a000039' +
        '36040a000001' +
        '0c03776562' +
        '3705010333' +
        '3a3bff',
    )
  })

  it('are read with the options that a client needs, in whatever field and parts', () => {
    const options = [0, 53, 1, 5, 51, 4, 0, 0, 14, 16, 54, 4, 10, 0, 0, 1, 52, 1, 2, 56, 2, 110, 111, 255]
    const sname = [1, 4, 255, 255, 255, 0, 3, 8, 10, 0, 0, 1, 10, 0, 0, 2, 56, 2, 112, 101, 255]
    assert.deepEqual(decode(answer(options, { sname })), {
      ...{ kind: 'ACK', xid: 0x12345678, secs: 0, broadcast: false, mac: '02:42:0a:00:00:07' },
      ...{ yiaddr: '10.0.0.57', server: '10.0.0.1', lease: 3600, mask: '255.255.255.0', router: '10.0.0.1' },
      words: 'nope',
    })
  })

  it('are nothing when they are cut, of another kind, or none', () => {
    assert.equal(decode(answer([53, 1, 5]).subarray(0, 239)), undefined)
    assert.equal(decode(encode(ask)), undefined, 'a question')
    assert.equal(decode(answer([53, 1, 99, 255])), undefined)
    assert.deepEqual(decode(answer([53, 1, 2, 51, 4, 0]))?.lease, undefined)
  })

  it('come through a frame, and nothing else does', () => {
    const payload = Buffer.from('hello')
    const frame = wrap({ mac: '02:42:0a:00:00:07', address: '0.0.0.0' }, BROADCAST, payload)
    assert.equal(unwrap(frame), undefined, 'what a client sends')
    frame.writeUInt16BE(68, 36)
    assert.deepEqual(unwrap(frame), { payload, via: '02:42:0a:00:00:07' })
    for (let end = 0; end < frame.length; end++) assert.equal(unwrap(frame.subarray(0, end)), undefined)
  })

  it('survive any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), bytes => {
        decode(Buffer.concat([answer([]), Buffer.from(bytes)]))
        unwrap(Buffer.from(bytes))
      }),
    )
  })
})
