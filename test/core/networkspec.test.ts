import assert from 'node:assert/strict'
import { complaint } from '../../core/networkspec.ts'
import { modes } from '../../modes/index.ts'

describe('a network that is only planned', () => {
  const about = (words: Record<string, string>) =>
    complaint({ id: 'n', words, enable: { ipv4: true, ipv6: false }, ipv4: [], ipv6: [] }, modes)

  it('is complained about in the sentence that it will be refused with', () => {
    assert.match(about({ mode: 'overlay', vin: '7' }) ?? '', /option "vin" is not known; known are .*vni/)
    assert.match(
      about({ mode: 'overly' }) ?? '',
      /option "mode" can't be "overly": it has to be bridge, overlay/,
    )
    assert.equal(about({ mode: 'overlay', vni: '7' }), undefined)
  })

  it('is not for what depends on whether it is internal', () => {
    assert.equal(about({ mode: 'bridge', gateway_mode_ipv4: 'isolated' }), undefined)
  })
})
