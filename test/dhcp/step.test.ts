import assert from 'node:assert/strict'
import type { Lease } from '../../dhcp/state.ts'
import { release } from '../../dhcp/step.ts'
import { server, Virtual } from './lan.ts'

const hour = { lease: 3600, mask: '255.255.255.0', router: '10.0.0.1' }

function bound(): Virtual {
  const all = Virtual.begin()
  all.hear('OFFER', hour)
  all.hear('ACK', hour)
  all.said()
  return all
}

const known = (now: number): Lease => ({
  ...{ address: '10.0.0.57', length: 24, server: server.address, via: server.mac },
  ...{ renew: now + 1_800_000, rebind: now + 3_150_000, expires: now + 3_600_000 },
})

describe('DHCP client, on a virtual clock', () => {
  it('discovers, requests and is bound', () => {
    const all = Virtual.begin()
    assert.deepEqual(all.said(), ['DISCOVER to all, who answer all, 0 s'])
    all.pass(1)
    all.hear('OFFER', hour)
    assert.deepEqual(all.said(), ['REQUEST wants 10.0.0.57 of 10.0.0.1 to all, who answer all, 1 s'])
    all.hear('ACK', hour)
    assert.deepEqual(all.said(), ['bound 10.0.0.57'])
    const { length, router, renew, rebind, expires } = all.state.lease as Lease
    assert.deepEqual([length, router], [24, '10.0.0.1'])
    assert.deepEqual(
      [renew, rebind, expires].map(at => (at - all.now) / 1000),
      [1800, 3150, 3600],
    )
  })

  it('asks twice as late each time while nobody answers', () => {
    const all = Virtual.begin()
    all.pass(31)
    assert.deepEqual(
      all.said(),
      [0, 2, 6, 14, 30].map(at => `DISCOVER to all, who answer all, ${at} s`),
    )
  })

  it('looks anew when its request is ignored, and when it is refused', () => {
    const all = Virtual.begin()
    all.hear('OFFER', hour)
    all.said()
    all.pass(13.9)
    assert.equal(all.said().filter(each => each.startsWith('REQUEST')).length, 2)
    all.pass(0.2)
    assert.deepEqual(all.said(), ['DISCOVER to all, who answer all, 0 s'])
    all.hear('OFFER', hour)
    all.hear('NAK')
    all.said()
    all.pass(2)
    assert.deepEqual(all.said(), ['DISCOVER to all, who answer all, 2 s'])
  })

  it('renews with the server at T1, with any at T2, and tells when time is up', () => {
    const all = bound()
    all.pass(1799)
    assert.deepEqual(all.said(), [])
    all.pass(1)
    assert.deepEqual(all.said(), ['REQUEST has 10.0.0.57 to 02:00:00:00:00:01, 0 s'])
    all.pass(1349)
    assert.ok(all.said().every(each => each.includes('to 02:00:00:00:00:01')))
    all.pass(1)
    assert.match(all.said()[0] as string, /^REQUEST has 10.0.0.57 to all/)
    all.pass(449)
    all.said()
    all.pass(1)
    assert.deepEqual(all.said(), [
      'lost 10.0.0.57, expired',
      'DISCOVER wants 10.0.0.57 to all, who answer all, 0 s',
    ])
  })

  it('is bound for longer by an answer at T1', () => {
    const all = bound()
    all.pass(1800)
    all.pass(5)
    all.said()
    all.hear('ACK', { ...hour, renewal: 60, rebinding: 90 })
    assert.deepEqual(all.said(), ['bound 10.0.0.57'])
    const { renew, rebind } = all.state.lease as Lease
    assert.deepEqual([renew - all.now, rebind - all.now], [55_000, 85_000], 'from when it was asked')
  })

  it('tells of a refusal, and has the address back when a server grants it', () => {
    const all = bound()
    all.pass(1800)
    all.said()
    all.hear('NAK', { words: 'wrong network' })
    assert.deepEqual(all.said(), [
      'lost 10.0.0.57, refused wrong network',
      'DISCOVER wants 10.0.0.57 to all, who answer all, 0 s',
    ])
    assert.deepEqual(release(all.state, all.random), [], 'what is lost is not ours to give back')
    all.hear('OFFER', { ...hour, yiaddr: '10.0.0.58' })
    all.pass(100)
    assert.ok(all.said().every(each => !each.startsWith('REQUEST')))
    all.hear('OFFER', hour)
    all.hear('ACK', hour)
    assert.deepEqual(all.said().slice(-1), ['bound 10.0.0.57 again'])
  })

  it('takes a lease over from an earlier life, and keeps it while nobody answers', () => {
    const all = Virtual.resume(known(1_000_000))
    assert.deepEqual(all.said(), ['REQUEST wants 10.0.0.57 to all, who answer all, 0 s'])
    all.hear('ACK', hour)
    assert.deepEqual(all.said(), ['bound 10.0.0.57'])
    const alone = Virtual.resume(known(1_000_000))
    alone.pass(1799)
    assert.equal(alone.said().length, 3)
    alone.pass(1)
    assert.deepEqual(alone.said(), ['REQUEST has 10.0.0.57 to 02:00:00:00:00:01, 0 s'])
  })

  it('hears of a refusal after a restart, and of an end that came meanwhile', () => {
    const refused = Virtual.resume(known(1_000_000))
    refused.said()
    refused.hear('NAK')
    assert.equal(refused.said()[0], 'lost 10.0.0.57, refused')
    const old = Virtual.resume(known(1_000_000 - 3_600_000))
    old.said()
    old.pass(3)
    assert.equal(old.said()[0], 'lost 10.0.0.57, expired')
  })

  it('takes no other address than the one it wants', () => {
    const all = Virtual.begin({ wanted: '10.0.0.9' })
    assert.deepEqual(all.said(), ['DISCOVER wants 10.0.0.9 to all, who answer all, 0 s'])
    all.hear('OFFER', hour)
    assert.deepEqual(all.said(), ['elsewhere 10.0.0.57'])
  })

  it('inquires without taking', () => {
    const all = Virtual.begin({ inquires: true })
    all.said()
    all.hear('OFFER', hour)
    assert.deepEqual(all.said(), ['offered 10.0.0.57 by 10.0.0.1'])
  })

  it('hears only what is for it and makes sense', () => {
    const all = Virtual.begin()
    all.said()
    all.hear('OFFER', { ...hour, xid: 1 })
    all.hear('OFFER', { ...hour, mac: '02:00:00:00:00:99' })
    all.hear('OFFER', { lease: 3600, yiaddr: '0.0.0.0' })
    all.hear('OFFER', { mask: '255.255.255.0' })
    all.hear('ACK', hour)
    all.hear('NAK')
    assert.deepEqual(all.said(), [])
  })

  it('gives back what it has, to the server alone', () => {
    const all = bound()
    all.outputs.push(...release(all.state, all.random))
    assert.deepEqual(all.said(), ['RELEASE of 10.0.0.1 has 10.0.0.57 to 02:00:00:00:00:01, 0 s'])
  })
})
