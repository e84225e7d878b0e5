import assert from 'node:assert/strict'
import { refuseDuplicates } from '../../core/duplicates.ts'
import { Refused } from '../../core/errors.ts'
import type { Network } from '../../core/records.ts'

const network = (options: object = {}): Network => ({
  id: 'n1',
  mode: 'overlay',
  options: { ...options },
  internal: false,
  ipv4: [{ pool: '10.90.0.0/16', aux: {} }],
  ipv6: [],
  shared: 'shop',
  created: 0,
})
const pool = { id: 'local/ipv4/10.90.0.0/16', space: 'local', pool: '10.90.0.0/16' } as const

describe('a network of many hosts with addresses of one', () => {
  it('is refused with the command that works', () => {
    assert.throws(
      () => refuseDuplicates(network(), []),
      (error: Error) =>
        error instanceof Refused &&
        error.message.includes(
          '"docker network create -d tsnet --ipam-driver tsnet -o mode=overlay -o name=shop --subnet 10.90.0.0/16 shop"',
        ),
    )
  })

  it('is fine with addresses of tsnet, or kept apart by hand', () => {
    refuseDuplicates(network(), [pool])
    refuseDuplicates(network({ addresses: 'manual' }), [])
  })
})
