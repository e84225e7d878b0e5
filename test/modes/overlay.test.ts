import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { everything } from '../../core/desired.ts'
import { Refused } from '../../core/errors.ts'
import type { Underlay } from '../../core/faces.ts'
import { line } from '../../core/lines.ts'
import { PeerTable } from '../../core/peers.ts'
import type { Endpoint, Network } from '../../core/records.ts'
import { modes } from '../../modes/index.ts'
import { overlay } from '../../modes/overlay.ts'
import { overlayOptions, overlayWords } from '../../modes/overlay-options.ts'
import { golden } from '../support/golden.ts'

type Case = {
  words?: Record<string, string>
  network?: Partial<Network>
  endpoint?: Partial<Endpoint> | false
  self?: Partial<Underlay> | false
  peers?: boolean
}

const v6 = [{ pool: 'fd01::/64', gateway: 'fd01::1/64', aux: {} }]
const web = { proto: 'tcp', hostIp: '0.0.0.0', hostPort: 8080, address: '10.1.0.2', port: 80 } as const

/** Each is a golden: what was asked and told, and every row of this host that follows from it. */
const cases: Record<string, Case> = {
  'nobody here': { endpoint: false, peers: true },
  'nobody elsewhere': {},
  'no tunnel end point': { self: false, peers: true },
  peers: { peers: true, endpoint: { published: [web], sandbox: '/run/netns/1' } },
  multicast: { peers: true, words: { multicast: 'true' } },
  internal: { peers: true, network: { internal: true } },
  'dual stack': { peers: true, network: { ipv6: v6 }, endpoint: { ipv6: 'fd01::2/64' } },
  'IPv6 between hosts': { peers: true, self: { ipv4: undefined as never, ipv6: 'fd09::1' } },
  'both between hosts': { peers: true, self: { ipv6: 'fd09::1' }, words: { multicast: 'true' } },
  'a MTU and VNI of its own, kept apart': {
    words: { mtu: '1400', vni: '4711', isolation: 'true' },
    self: { mtu: 9000 },
  },
  'larger packets between hosts': { self: { mtu: 9000 } },
  'somebody elsewhere claims what is here': { peers: true, endpoint: { ipv4: '10.1.1.5/16' } },
  'several subnets': {
    peers: true,
    network: {
      ipv4: [
        { pool: '10.1.0.0/16', gateway: '10.1.0.1/16', aux: {} },
        { pool: '10.2.0.0/16', gateway: '10.2.0.1/16', aux: {} },
      ],
    },
  },
}

function rows({ words = {}, network = {}, endpoint = {}, self = {}, peers }: Case): string[] {
  const subnets = {
    ipv4: [{ pool: '10.1.0.0/16', gateway: '10.1.0.1/16', aux: {} }],
    ipv6: [],
    internal: false,
    ...network,
  }
  const families = { internal: subnets.internal, ipv4: true, ipv6: subnets.ipv6.length > 0 }
  const record: Network = {
    id: 'aaaaaaaaaaaaaaaaaaaa',
    mode: 'overlay',
    shared: 'shop',
    options: overlayOptions(words, families),
    created: 0,
    ...subnets,
  }
  const local: Endpoint = {
    id: 'bbbbbbbbbbbbbbbbbbbb',
    network: record.id,
    ipv4: '10.1.0.2/16',
    mac: '02:42:0a:01:00:02',
    options: {},
    ports: [],
    published: [],
    created: 0,
    ...endpoint,
  }
  const table = new PeerTable(
    self === false ? undefined : { ipv4: '10.9.0.1', mtu: 1500, port: 4789, ...self },
  )
  table.setMembers(peers ? ['10.9.0.7', 'fd09::8'] : [])
  if (peers) {
    table.put('shop', { mac: '02:42:0a:01:01:05', addresses: ['10.1.1.5', 'fd01::5'], vtep: '10.9.0.7' })
    table.put('shop', { mac: '02:42:0a:01:01:06', addresses: ['10.1.1.6'], vtep: 'fd09::8' })
  }
  const records = {
    networks: new Map([[record.id, record]]),
    endpoints: new Map(endpoint === false ? [] : [[local.id, local]]),
    pools: new Map(),
    leases: new Map(),
    identities: new Map(),
  }
  const facts = { accept: [], engineBridges: [], ephemeral: [1, 2] as [number, number], shortcut: true }
  const wanted = everything({ records, modes, peers: table }, [], facts)
  return [
    ...wanted.map(({ row, presence }) => `${presence.padEnd(4)} ${line(row)}`),
    `sandbox ${JSON.stringify(overlay.sandbox(record, local))}`,
  ]
}

describe('overlay mode', () => {
  for (const [name, each] of Object.entries(cases)) {
    it(`rows: ${name}`, () => {
      const file = join(import.meta.dirname, 'goldens-overlay', `${name.replaceAll(/\W+/g, '-')}.txt`)
      golden(file, [`# ${JSON.stringify(each)}`, ...rows(each), ''].join('\n'))
    })
  }

  const refused: [words: Record<string, string>, sentence: RegExp][] = [
    [{ encrypted: '' }, /does not encrypt VXLAN/],
    [{ bridge: 'br7' }, /option "bridge" is not known; known are mode/],
    [{ vni: '16777216' }, /has to be a whole number from 1 to 16777215/],
    [{ 'com.docker.network.driver.overlay.vxlanid_list': '4097,4098' }, /has to be a whole number/],
    [{ multicast: 'perhaps' }, /has to be true or false/],
    [{ name: 'a b' }, /option "name" can't be "a b"/],
    [{ gateway_mode_ipv4: 'isolated' }, /needs an internal network/],
  ]
  for (const [words, sentence] of refused) {
    it(`refuses ${JSON.stringify(words)}`, () => {
      const network = { internal: false, ipv4: true, ipv6: false }
      assert.throws(() => overlayOptions(words, network), { name: Refused.name, message: sentence })
    })
  }

  it("takes the MTU of Docker's overlay for that between the hosts", () => {
    const families = { internal: false, ipv4: true, ipv6: false }
    const labels = {
      'com.docker.network.driver.mtu': '9000',
      'com.docker.network.driver.overlay.vxlanid_list': '4097',
    }
    assert.deepEqual(
      overlayOptions(labels, families),
      overlayOptions({ underlay_mtu: '9000', vni: '4097' }, families),
    )
  })

  it('is told word by word in docs/overlay.md', () => {
    const page = readFileSync(join(import.meta.dirname, '../../docs/overlay.md'), 'utf8')
    for (const word of Object.keys(overlayWords)) assert.ok(page.includes(`\`${word}\``), word)
  })
})
