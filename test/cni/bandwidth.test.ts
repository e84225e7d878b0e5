import assert from 'node:assert/strict'
import { bandwidthOf } from '../../cni/bandwidth.ts'
import { readConfig } from '../../cni/config.ts'

const of = (bandwidth: object) =>
  bandwidthOf(readConfig(JSON.stringify({ name: 'pods', type: 'tsnet-cni', runtimeConfig: { bandwidth } })))

describe('cni: bandwidth', () => {
  it('is read in bits, as the specification and as Go spells it', () => {
    const both = { ingress: { rate: 6_250_000, burst: 50_000 }, egress: { rate: 125_000, burst: 16_384 } }
    assert.deepEqual(of({ ingressRate: 50_000_000, ingressBurst: 400_000, egressRate: 1_000_000 }), both)
    assert.deepEqual(
      of({ IngressRate: 50_000_000, IngressBurst: 400_000, EgressRate: 1_000_000, EgressBurst: 0 }),
      both,
    )
  })

  it('is no limit where nobody says one', () => {
    for (const said of [{}, { ingressRate: 0, egressRate: null }, { IngressRate: 0, IngressBurst: 0 }])
      assert.equal(of(said), undefined)
  })

  it('has a burst that fits the rate, where runtimes say one that is none', () => {
    for (const ingressBurst of [0, 2 ** 31 - 1, 2 ** 32 - 1, (2 ** 32 - 1) * 8])
      assert.deepEqual(of({ ingressRate: 50_000_000, ingressBurst }), {
        ingress: { rate: 6_250_000, burst: 125_000 },
      })
    assert.deepEqual(of({ egressRate: 1e15 }), { egress: { rate: 1.25e14, burst: 268_435_455 } })
  })

  for (const [said, sentence] of [
    [
      { ingressRate: -1 },
      /ingressRate can't be -1; it has to be a whole number of bits per second from 1000 to/,
    ],
    [{ EgressRate: 999 }, /egressRate can't be 999; it has to be/],
    [{ egressRate: 2e15 }, /egressRate can't be 2000000000000000/],
    [{ egressRate: 1e6 + 0.5 }, /egressRate can't be 1000000\.5/],
    [{ ingressRate: 1e6, ingressBurst: -8 }, /ingressBurst can't be -8; it has to be a whole number of bits/],
    [{ ingressRate: 1e6, egressBurst: 8000 }, /egressBurst can't be 8000 without egressRate; it has to be 0/],
    [{ ingressRate: '1M' }, /runtimeConfig\.bandwidth\.ingressrate/],
  ] as const)
    it(`refuses ${JSON.stringify(said)}`, () =>
      assert.throws(() => of(said), { name: 'CniError', message: sentence }))
})
