import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { decode, encode, type Packet } from 'dns-packet'
import fc from 'fast-check'
import { answer, readQuestion } from '../../names/answer.ts'
import { Directory } from '../../names/directory.ts'
import { frame, framed, relay } from '../../names/relay.ts'
import { NameServer } from '../../names/server.ts'

const ask = (name: string, type: string, id = 7) =>
  encode({ type: 'query', id, flags: 0x100, questions: [{ name, type, class: 'IN' }] } as Packet)

const told = (bytes: Buffer | undefined) =>
  bytes && (decode(bytes).answers ?? []).map(each => ('data' in each ? String(each.data) : '')).sort()

function shop(): Directory {
  const directory = new Directory()
  directory.name('shop', 'a 1', ['web', 'front', 'web.shop'])
  directory.reach('shop', 'a 1', ['10.90.0.2', 'fd90::2'])
  directory.name('shop', 'b 2', ['web2', 'front'])
  directory.reach('shop', 'b 2', ['10.90.0.65'])
  directory.name('bank', 'c 3', ['vault'])
  directory.reach('bank', 'c 3', ['10.91.0.2'])
  return directory
}

const asked = (name: string, type: string, directory = shop(), network = 'shop') => {
  const question = readQuestion(ask(name, type))
  return question && answer(directory, network, question, () => 0.5)
}

describe('names of containers', () => {
  it('are answered by A, AAAA and PTR, whatever the case, within a network', () => {
    assert.deepEqual(told(asked('web', 'A')), ['10.90.0.2'])
    assert.deepEqual(told(asked('WEB.shop', 'AAAA')), ['fd90::2'])
    assert.deepEqual(told(asked('2.0.90.10.in-addr.arpa', 'PTR')), ['web'])
    const nibbles = `2.${'0.'.repeat(27)}0.9.d.f`
    assert.deepEqual(told(asked(`${nibbles}.ip6.arpa`, 'PTR')), ['web'])
    assert.equal(asked('vault', 'A'), undefined, 'of another network')
    assert.equal(asked('example.com', 'A'), undefined)
  })

  it('that several share are answered with all of them; a known name without an address of that family with none', () => {
    assert.deepEqual(told(asked('front', 'A')), ['10.90.0.2', '10.90.0.65'])
    assert.deepEqual(told(asked('web2', 'AAAA')), [])
    assert.deepEqual(told(asked('web', 'MX')), [])
  })

  it('come in another order each time', () => {
    const question = readQuestion(ask('front', 'A'))
    const first = new Set(
      Array.from({ length: 50 }, () => {
        const said = question && answer(shop(), 'shop', question, Math.random)
        return JSON.stringify(decode(said as Buffer).answers?.[0])
      }),
    )
    assert.equal(first.size, 2)
  })

  it('follow what is told and taken back, in any order', () => {
    const directory = new Directory()
    directory.name('n', 'a 1', ['web'])
    assert.equal(directory.addresses('n', 'web'), undefined, 'nobody knows where it is yet')
    directory.reach('n', 'a 1', ['10.0.0.2'])
    assert.deepEqual(directory.addresses('n', 'web'), ['10.0.0.2'])
    directory.name('n', 'a 1', ['shop'])
    assert.equal(directory.addresses('n', 'web'), undefined)
    assert.deepEqual(directory.addresses('n', 'shop'), ['10.0.0.2'])
    directory.reach('n', 'a 1', [])
    assert.equal(directory.addresses('n', 'shop'), undefined)
  })

  it('that DNS can not carry are left out', () => {
    const directory = new Directory()
    directory.name('n', 'a 1', ['ok_1', 'a b', '-x', 'x'.repeat(64), ''])
    directory.reach('n', 'a 1', ['10.0.0.2'])
    assert.deepEqual(
      ['ok_1', 'a b', '-x', 'x'.repeat(64), ''].map(name => directory.addresses('n', name)),
      [['10.0.0.2'], undefined, undefined, undefined, undefined],
    )
  })

  it('that are too many for a datagram are asked for again by TCP', () => {
    const directory = new Directory()
    for (let at = 0; at < 100; at++) {
      directory.name('shop', `a ${at}`, ['many'])
      directory.reach('shop', `a ${at}`, [`10.90.1.${at}`])
    }
    const question = readQuestion(ask('many', 'A'))
    const short = question && answer(directory, 'shop', question, Math.random)
    assert.ok(short && short.length <= 512 && (decode(short).flags ?? 0) & 0x200)
    const long = question && answer(directory, 'shop', question, Math.random, 65_535)
    assert.equal(told(long)?.length, 100)
  })

  it('any bytes cost at most that packet', () =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
        const question = readQuestion(Buffer.from(bytes))
        if (question) answer(shop(), 'shop', question, () => 0)
      }),
    ))
})

describe('the name server', () => {
  let upstream = ''
  let questions: string[] = []
  const resolver = createSocket('udp4')
  const stream = createServer(socket =>
    socket.once('data', (part: Buffer) => socket.write(frame(far(framed(part) as Buffer)))),
  )
  const far = (bytes: Buffer) => {
    const { id, questions: [question] = [] } = decode(bytes)
    questions.push(question?.name ?? '')
    const answers = [{ type: 'A', name: question?.name, ttl: 60, data: '192.0.2.9' }]
    return encode({ type: 'response', id, questions: [question], answers } as Packet)
  }
  let server: NameServer

  before(async () => {
    resolver.on('message', (bytes, { port, address }) => resolver.send(far(bytes), port, address))
    resolver.bind(0, '127.0.0.1')
    await once(resolver, 'listening')
    upstream = String(resolver.address().port)
    stream.listen(resolver.address().port, '127.0.0.1')
    await once(stream, 'listening')
    server = await NameServer.open({
      port: 0,
      directory: shop(),
      networkOf: address => (address === '127.0.0.1' ? 'shop' : undefined),
      resolvers: () => ['127.0.0.1'],
      relay: { port: Number(upstream) },
      random: Math.random,
    })
  })
  after(() => {
    server.close()
    resolver.close()
    stream.close()
  })
  beforeEach(() => {
    questions = []
  })

  const byDatagram = (name: string, type = 'A') => relay(ask(name, type), 'udp', ['127.0.0.1'], server.port)
  const byStream = (name: string) => relay(ask(name, 'A'), 'tcp', ['127.0.0.1'], server.port)

  it('answers what it knows, and passes the rest on', async () => {
    assert.deepEqual(told(await byDatagram('web')), ['10.90.0.2'])
    assert.deepEqual(questions, [])
    assert.deepEqual(told(await byDatagram('example.com')), ['192.0.2.9'])
    assert.deepEqual(questions, ['example.com'])
  })

  it('does so by TCP, too', async () => {
    assert.deepEqual(told(await byStream('front')), ['10.90.0.2', '10.90.0.65'])
    assert.deepEqual(told(await byStream('example.org')), ['192.0.2.9'])
  })

  it('outlives nonsense', async () => {
    const socket = createSocket('udp4')
    for (const size of [0, 1, 11, 12, 600]) socket.send(Buffer.alloc(size, 0xff), server.port, '127.0.0.1')
    const caller = connect(server.port, '127.0.0.1')
    caller.on('error', () => {})
    caller.write(Buffer.alloc(5_000, 0xff))
    await once(caller, 'close')
    socket.close()
    assert.deepEqual(told(await byDatagram('web')), ['10.90.0.2'])
  })
})
