import assert from 'node:assert/strict'
import { describe as describeNetwork, type Listed, request, storeOf } from '../../bin/mirror/docker.ts'
import { alike, readWord, writeWord } from '../../bin/mirror/network.ts'
import type { Network } from '../../core/records.ts'
import { net } from './world.ts'

/** As `GET /networks` of 28.5 shows it. */
const listed = {
  Name: 'shop',
  Id: 'e7'.repeat(32),
  Created: '2026-11-22T21:38:14.5Z',
  Scope: 'local',
  Driver: 'tsnet:latest',
  EnableIPv4: true,
  EnableIPv6: true,
  IPAM: {
    Driver: 'tsnet:latest',
    Options: null,
    Config: [
      { Subnet: '10.90.0.0/16', IPRange: '10.90.8.0/24', AuxiliaryAddresses: { printer: '10.90.0.7' } },
      { Subnet: 'fd90::/64' },
    ],
  },
  Internal: false,
  Attachable: true,
  Ingress: false,
  ConfigFrom: { Network: '' },
  ConfigOnly: false,
  Containers: {},
  Options: { mode: 'overlay' },
  Labels: { team: 'till' },
} as unknown as Listed

const record: Network = {
  id: listed.Id,
  mode: 'overlay',
  options: {},
  internal: false,
  ipv4: [{ pool: '10.90.0.0/16', gateway: '10.90.0.1/16', aux: { printer: '10.90.0.7/16' } }],
  ipv6: [{ pool: 'fd90::/64', gateway: 'fd90::1/64', aux: {} }],
  created: 1_700_000_000_000,
}

describe('mirror: what Docker lists and what it is asked', () => {
  const described = describeNetwork(listed, record, 0x800001)

  it('has the gateway that was chosen, the range and what is reserved', () => {
    assert.deepEqual(described.ipam.subnets, [
      {
        subnet: '10.90.0.0/16',
        range: '10.90.8.0/24',
        gateway: '10.90.0.1',
        aux: { printer: '10.90.0.7' },
      },
      { subnet: 'fd90::/64', gateway: 'fd90::1' },
    ])
  })

  it('asks for the same, by the name that the plugin has here', () => {
    assert.deepEqual(request(described, 'net/tsnet:1'), {
      Name: 'shop',
      CheckDuplicate: true,
      Driver: 'net/tsnet:1',
      Internal: false,
      Attachable: true,
      EnableIPv6: true,
      IPAM: {
        Driver: 'net/tsnet:1',
        Options: {},
        Config: [
          {
            Subnet: '10.90.0.0/16',
            IPRange: '10.90.8.0/24',
            Gateway: '10.90.0.1',
            AuxiliaryAddresses: { printer: '10.90.0.7' },
          },
          { Subnet: 'fd90::/64', Gateway: 'fd90::1' },
        ],
      },
      Options: { mode: 'overlay' },
      Labels: { team: 'till' },
    })
  })

  it('asks for no IPv4 where there is none, and leaves an IPAM driver of others what it is', () => {
    const only6 = describeNetwork({ ...listed, IPAM: { Driver: 'other' } }, { ...record, ipv4: [] }, 1)
    const asked = request(only6, 'tsnet')
    assert.equal(asked.EnableIPv4, false)
    assert.equal(asked.IPAM?.Driver, 'other')
  })

  it("knows Docker's store by its network none", () => {
    assert.equal(storeOf([listed, { ...listed, Name: 'none', Id: 'n', Driver: 'null' }]), 'n')
    assert.equal(storeOf([listed]), '')
  })

  it('is read as it was written, and what is not well-formed is nothing', () => {
    assert.deepEqual(readWord(writeWord({ net: described })), { net: described })
    assert.deepEqual(readWord(writeWord({})), {})
    const wrong = [
      '',
      '{',
      'null',
      '{"net":{}}',
      JSON.stringify({ net: { ...described, name: 'a\nb' } }),
      JSON.stringify({
        net: { ...described, ipam: { ...described.ipam, subnets: [{ subnet: '10.0.0.0' }] } },
      }),
    ]
    for (const each of wrong) assert.equal(readWord(each), undefined, each)
  })

  it('labels and what a plugin is called make no difference, subnets and options do', () => {
    const one = net('shop', 90)
    assert(alike(one, net('shop', 90, 7, { labels: { a: 'b' } })))
    assert(
      alike(one, net('shop', 90, 7, { driver: 'x', ipam: { ...one.ipam, driver: 'x' } })),
      "a plugin's name",
    )
    assert(!alike(one, net('shop', 91)))
    assert(!alike(one, net('shop', 90, 0, { options: { mode: 'overlay', multicast: 'true' } })))
    assert(!alike(one, net('shop', 90, 0, { internal: true })))
  })
})
