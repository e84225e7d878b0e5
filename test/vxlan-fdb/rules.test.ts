import assert from 'node:assert/strict'
import { readBatch } from '../../vxlan-fdb/batch.ts'
import { type Entry, forwarding, kinds, type Outputs, writeHost } from '../../vxlan-fdb/index.ts'
import { encode, Malformed } from '../../vxlan-fdb/message.ts'
import { endpoint, withdrawn } from './entries.ts'
import { Peer, pass, talk } from './pair.ts'
import { picture } from './world.ts'

const only = <T extends Outputs[number]['type']>(outputs: Outputs, type: T) =>
  outputs.filter((output): output is Extract<Outputs[number], { type: T }> => output.type === type)

/** Peers that know each other; each has begun its first life. */
function peers(count: number, settings = {}): Peer[] {
  const all = Array.from({ length: count }, () => new Peer(settings))
  for (const peer of all) peer.meets(...all.filter(other => other !== peer))
  talk(
    all,
    all.map(peer => [peer, peer.do({ type: 'start', epoch: 5, fence: 0, entries: [] })]),
  )
  pass(all, 300)
  pass(all, 300)
  return all
}

const say = (peer: Peer, ...entries: Entry[]): Outputs => {
  peer.now += 10
  return peer.do({ type: 'write', entries })
}
const batchOf = (outputs: Outputs): Buffer =>
  only(outputs, 'direct')[0]?.bytes ?? only(outputs, 'broadcast')[0]?.bytes ?? Buffer.alloc(0)

describe('a replicated table', () => {
  it('tells what was new, and only that', () => {
    const [a, b] = peers(2) as [Peer, Peer]
    const bytes = batchOf(say(a, endpoint(1, 1)))
    assert.deepEqual(
      only(b.hear(a, bytes), 'changed')[0]?.changes.map(({ key }) => key),
      ['1-1'],
    )
    assert.deepEqual(b.hear(a, bytes), [], 'the same again')
    assert.deepEqual(say(a, endpoint(1, 1)), [], 'what is said already')
  })

  it('carries what one learns to a third one who never meets its origin, verifiably', () => {
    const [a, b] = peers(2) as [Peer, Peer]
    talk([a, b], [[a, say(a, endpoint(1, 1))]])
    const c = new Peer()
    c.meets(b)
    b.meets(c)
    pass([b, c], 1500)
    pass([b, c], 1500)
    assert.equal(picture(c.table), picture(a.table))
  })

  it('asks for what is missing as soon as a gap shows, of the origin', () => {
    const [a, b] = peers(2) as [Peer, Peer]
    say(a, endpoint(1, 1))
    const second = batchOf(say(a, endpoint(1, 2)))
    b.hear(a, second)
    assert.deepEqual(
      [...b.table.rows()].map(({ key }) => key),
      ['1-2'],
      'what came is there at once',
    )
    b.now += 20
    talk([a, b], [[b, b.do({ type: 'tick' })]])
    assert.equal(picture(b.table), picture(a.table))
  })

  it('keeps an older word from coming back after it was taken back', () => {
    const [a, b] = peers(2, { tombstoneAge: 100 }) as [Peer, Peer]
    const first = batchOf(say(a, endpoint(1, 1)))
    talk([a, b], [[a, say(a, withdrawn(endpoint(1, 1)))]])
    b.now += 20
    talk([a, b], [[b, b.do({ type: 'tick' })]])
    pass([a, b], 5000)
    pass([a, b], 5000)
    assert.deepEqual(b.hear(a, first), [])
    assert.equal(picture(b.table), '')
  })

  it('shows what an origin said before its restart until it has said everything again', () => {
    const [a, b] = peers(2) as [Peer, Peer]
    talk([a, b], [[a, say(a, endpoint(1, 1), endpoint(1, 2))]])
    const many = Array.from({ length: 60 }, (_, number) => endpoint(1, 2 + number))
    a.now += 10
    const batches = only(a.do({ type: 'start', epoch: 6, fence: 0, entries: many }), 'direct').map(
      ({ bytes }) => bytes,
    )
    assert.ok(batches.length > 1)
    for (const bytes of batches.slice(0, -1)) b.hear(a, bytes)
    assert.ok(
      [...b.table.rows()].some(({ key }) => key === '1-1'),
      'still there',
    )
    const changes = only(b.hear(a, batches.at(-1) ?? Buffer.alloc(0)), 'changed').flatMap(
      ({ changes }) => changes,
    )
    assert.deepEqual(
      changes.filter(({ value }) => !value).map(({ key }) => key),
      ['1-1'],
    )
    assert.equal(picture(b.table), picture(a.table))
  })

  it('lets an origin with an old disk find out, and waits until its new epoch is durable', () => {
    const [a, b] = peers(2) as [Peer, Peer]
    talk([a, b], [[a, say(a, endpoint(1, 1))]])
    const old = new Peer({ origin: a.origin, signer: a.signer })
    old.meets(b)
    const all = [old, b]
    talk(all, [[old, old.do({ type: 'start', epoch: 2, fence: 0, entries: [endpoint(1, 9)] })]])
    const told = [...pass(all, 1500), ...pass(all, 1500)]
    const [epoch] = only(told, 'epoch')
    assert.equal(epoch?.epoch, 6)
    assert.deepEqual(only(say(old, endpoint(1, 8)), 'direct'), [], 'nothing is sent')
    talk(all, [[old, old.do({ type: 'epoch', epoch: 6 })]])
    pass(all, 1500)
    assert.deepEqual([...b.table.rows()].map(({ key }) => key).sort(), ['1-8', '1-9'])
  })

  it('drops what an origin said when it leaves, and keeps it when it fails', () => {
    const [a, b] = peers(2) as [Peer, Peer]
    talk([a, b], [[a, say(a, endpoint(1, 1))]])
    b.do({ type: 'member', id: a.origin, alive: false })
    assert.notEqual(picture(b.table), '')
    a.now += 10
    talk([a, b], [[a, a.do({ type: 'start', epoch: 6, fence: 0, entries: [] })]])
    assert.equal(picture(b.table), '')
  })

  it('forgets an origin for everybody, until it comes back under the new fence', () => {
    const [a, b, c] = peers(3) as [Peer, Peer, Peer]
    talk([a, b, c], [[a, say(a, endpoint(1, 1))]])
    b.now += 10
    talk([b, c], [[b, b.do({ type: 'forget', origin: a.origin })]])
    for (const peer of [b, c]) peer.do({ type: 'member', id: a.origin, alive: false })
    const told = [...pass([b, c], 3000), ...pass([b, c], 3000)]
    assert.deepEqual(
      only(told, 'fence').map(({ fence, by }) => [fence, by]),
      [
        [1, b.origin],
        [1, b.origin],
      ],
    )
    const shows = (peer: Peer) => [...peer.table.rows()].filter(({ origin }) => origin === a.origin).length
    assert.equal(shows(b) + shows(c), 0)
    c.hear(a, batchOf(say(a, endpoint(1, 2))))
    assert.equal(shows(c), 0, 'under the old fence')
    for (const alive of [false, true])
      for (const other of [b, c]) a.do({ type: 'member', id: other.origin, alive })
    const fenced = [...pass([a, b, c], 1500), ...pass([a, b, c], 1500)]
    assert.deepEqual(
      only(fenced, 'fenced').map(({ fence }) => fence),
      [1],
    )
    talk([a, b, c], [[a, a.do({ type: 'start', epoch: 9, fence: 1, entries: [endpoint(1, 3)] })]])
    pass([a, b, c], 1500)
    assert.equal(shows(c), 1)
  })

  it('reports two origins with one address, and believes the higher rank, then who was first', () => {
    const [a, b, c] = peers(3) as [Peer, Peer, Peer]
    const claim = (peer: Peer, blockEpoch: number) => ({
      ...endpoint(1, 1, 'shop', blockEpoch),
      key: peer.origin,
    })
    talk([a, b, c], [[a, say(a, claim(a, 1))]])
    const told = talk([a, b, c], [[b, say(b, claim(b, 2))]])
    const conflicts = only(told, 'conflict').filter(({ conflict }) => conflict)
    assert.deepEqual(new Set(conflicts.map(({ conflict }) => conflict?.winner.origin)), new Set([b.origin]))
    assert.deepEqual(
      forwarding(c.table, 'shop').map(({ origin }) => origin),
      [b.origin],
    )
    talk([a, b, c], [[b, say(b, claim(b, 1))]])
    assert.deepEqual(
      forwarding(c.table, 'shop').map(({ origin }) => origin),
      [b.origin],
    )
    const over = talk([a, b, c], [[b, say(b, withdrawn(claim(b, 1)))]])
    assert.ok(only(over, 'conflict').every(({ conflict }) => conflict === undefined))
    assert.deepEqual(
      forwarding(c.table, 'shop').map(({ origin }) => origin),
      [a.origin],
    )
  })

  it('says where a MAC lives: at its origin’s tunnel end point', () => {
    const [a, b] = peers(2) as [Peer, Peer]
    const vtep4 = Buffer.from([10, 0, 0, 7])
    const host = { network: '', kind: kinds.host, key: '', value: writeHost({ vtep4, vtep6: undefined }) }
    talk([a, b], [[a, say(a, endpoint(1, 1), host)]])
    assert.deepEqual(
      forwarding(b.table, 'shop').map(({ vtep4, ips }) => [vtep4, ips]),
      [[vtep4, [Buffer.from([10, 1, 0, 1])]]],
    )
  })

  it('sends what many write at once together, in datagrams that fit', () => {
    const [a] = peers(2) as [Peer, Peer]
    say(a, endpoint(1, 0))
    for (let number = 1; number < 200; number++)
      assert.deepEqual(a.do({ type: 'write', entries: [endpoint(1, number)] }), [])
    a.now += 5
    const sent = only(a.do({ type: 'tick' }), 'direct').map(({ bytes }) => bytes.length)
    assert.ok(sent.length < 10 && Math.max(...sent) <= 1344, `${sent}`)
  })

  it('entrusts slices of a big cluster to some of it', () => {
    const a = new Peer({ direct: 16 })
    for (let number = 0; number < 100; number++)
      a.do({ type: 'member', id: number.toString(16).padStart(32, '0'), alive: true })
    a.do({ type: 'start', epoch: 1, fence: 0, entries: [] })
    a.now += 1
    const sent = only(say(a, { network: '', kind: kinds.host, key: '', value: Buffer.alloc(1) }), 'direct')
    assert.equal(new Set(sent.map(({ to }) => to)).size, 20)
  })
})

describe('a rogue member', () => {
  const forged = (victim: Peer, rogue: Peer) => {
    const twin = new Peer({ origin: victim.origin, signer: rogue.signer })
    twin.meets(victim)
    return batchOf(twin.do({ type: 'start', epoch: 99, fence: 0, entries: [endpoint(6, 6)] }))
  }

  it('with another key can’t write under somebody’s id', () => {
    const [a, b] = peers(2) as [Peer, Peer]
    const before = picture(b.table)
    const [refused] = only(b.hear(a, forged(a, new Peer())), 'refused')
    assert.match(refused?.reason ?? '', /not signed by its origin/)
    assert.equal(picture(b.table), before)
  })

  it('can’t say whose key a stranger’s is', () => {
    const [victim, rogue, c] = [new Peer(), new Peer(), new Peer()]
    const batch = forged(victim, rogue)
    const bytes = encode('delta', {
      origin: victim.origin,
      key: rogue.signer.publicKey,
      epoch: 99,
      more: 0,
      ranges: [[1, 1]],
      batches: [batch],
    })
    c.hear(rogue, bytes, 'stream')
    c.do({ type: 'member', id: victim.origin, alive: true, key: rogue.signer.publicKey })
    assert.equal(picture(c.table), '')
  })

  it('changes nothing by changing any byte of what somebody signed', () => {
    const [a, b] = peers(2) as [Peer, Peer]
    const bytes = batchOf(say(a, endpoint(1, 1)))
    const before = picture(b.table)
    for (let at = 0; at < bytes.length; at++) {
      const damaged = Buffer.from(bytes)
      damaged[at] = (damaged[at] ?? 0) ^ 1
      b.hear(a, damaged)
      assert.equal(picture(b.table), before, `byte ${at}`)
    }
  }).timeout(20_000)

  it('that hides a record is found out by the sum, and the record is fetched elsewhere', () => {
    const [a, b] = peers(2) as [Peer, Peer]
    talk([a, b], [[a, say(a, endpoint(1, 1))]])
    talk([a, b], [[a, say(a, endpoint(1, 2))]])
    const c = new Peer()
    const kept = [...a.table.log(a.origin).batches.values()].map(({ batch }) => batch)
    const [newest] = kept.sort((x, y) => y.first - x.first)
    const lie = {
      origin: a.origin,
      key: a.signer.publicKey,
      epoch: 5,
      more: 0,
      ranges: [[1, newest?.last ?? 0]] as [number, number][],
    }
    c.hear(b, encode('delta', { ...lie, batches: [newest?.bytes ?? Buffer.alloc(0)] }), 'stream')
    assert.equal(c.table.log(a.origin).upto, 0, 'not believed')
    c.meets(b)
    b.meets(c)
    pass([b, c], 1500)
    pass([b, c], 1500)
    assert.equal(picture(c.table), picture(a.table))
  })

  it('sends rubbish in vain', () => {
    const [a, b] = peers(2) as [Peer, Peer]
    const bytes = Buffer.from(forged(a, new Peer()))
    assert.ok(!(readBatch(bytes) instanceof Malformed))
    for (const rubbish of [Buffer.alloc(0), Buffer.from([9]), bytes.subarray(0, 80)])
      assert.equal(only(b.hear(a, rubbish), 'refused').length, 1)
  })
})
