import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Refused } from '../../core/errors.ts'
import { line } from '../../core/lines.ts'
import type { Endpoint, Network } from '../../core/records.ts'
import { modes } from '../../modes/index.ts'
import { ipvlanWords, macvlanWords } from '../../modes/lan-options.ts'
import { golden } from '../support/golden.ts'

type Case = {
  mode?: 'macvlan' | 'ipvlan'
  words?: Record<string, string>
  network?: Partial<Network>
  endpoint?: Partial<Endpoint>
}

const ipv6 = [{ pool: 'fd01::/64', gateway: 'fd01::1/64', aux: {} }]
const host4 = [{ pool: '10.1.0.0/24', gateway: '10.1.0.1/24', aux: { host: '10.1.0.9/24' } }]
const both: Case = { network: { ipv6 }, endpoint: { ipv6: 'fd01::2/64' } }
const parent = 'eth0'

/** Each is a golden: what was asked, every row that follows, what the container gets, and its link where that has to be made again. */
const cases: Record<string, Case> = {
  'macvlan, plain': { words: { parent } },
  'macvlan, dual stack, private, MTU': { words: { parent, macvlan_mode: 'private', mtu: '1400' }, ...both },
  'macvlan, passthru': { words: { parent, macvlan_mode: 'passthru' } },
  'macvlan, VLAN': { words: { parent: 'eth0.10' } },
  'macvlan, no parent': { ...both },
  'macvlan, internal': { words: { parent }, network: { internal: true } },
  'macvlan, host access': { words: { parent, host_access: 'true' }, ...both },
  'macvlan, host access, own address': { words: { parent, host_access: '1' }, network: { ipv4: host4 } },
  'macvlan, joined': { words: { parent, host_access: 'true' }, endpoint: { sandbox: '/run/netns/1' } },
  'macvlan, several subnets': {
    words: { parent },
    network: {
      ipv4: [
        { pool: '10.1.0.0/24', gateway: '10.1.0.1/24', aux: {} },
        { pool: '10.2.0.0/24', gateway: '10.2.0.1/24', aux: { DefaultGatewayIPv4: '10.2.0.254/24' } },
      ],
    },
    endpoint: { ipv4: '10.2.0.9/24' },
  },
  'ipvlan, plain': { mode: 'ipvlan', words: { parent } },
  'ipvlan, layer 3': { mode: 'ipvlan', words: { parent, ipvlan_mode: 'l3', ipvlan_flag: 'vepa' }, ...both },
  'ipvlan, host access': {
    mode: 'ipvlan',
    words: { parent, host_access: 'true' },
    network: { ipv4: host4 },
  },
}

function records({ mode = 'macvlan', words = {}, network = {}, endpoint = {} }: Case) {
  const subnets = {
    ipv4: [{ pool: '10.1.0.0/24', gateway: '10.1.0.1/24', aux: {} }],
    ipv6: [],
    internal: false,
    ...network,
  }
  const families = { internal: subnets.internal, ipv4: true, ipv6: subnets.ipv6.length > 0 }
  const of = modes[mode]
  assert(of?.onParent)
  const made: Network = {
    id: 'a'.repeat(20),
    mode,
    options: of.options(words, families),
    created: 0,
    ...subnets,
  }
  const one: Endpoint = {
    ...{ id: 'b'.repeat(20), network: made.id, ipv4: '10.1.0.2/24', mac: '02:42:0a:01:00:02' },
    ...{ options: {}, ports: [], published: [], created: 0 },
    ...endpoint,
  }
  return { mode: of, onParent: of.onParent, network: made, endpoint: one }
}

describe('macvlan and ipvlan modes', () => {
  for (const [name, each] of Object.entries(cases))
    it(`rows: ${name}`, () => {
      const { mode, onParent, network, endpoint } = records(each)
      const wanted = [...mode.network(network), ...mode.endpoint(network, endpoint)]
      const again = onParent.again(network, { ...endpoint, sandbox: '/run/netns/1' })
      const text = [
        `# ${JSON.stringify(each)}`,
        ...wanted.map(({ row, presence }) => `${presence.padEnd(4)} ${line(row)}`),
        `sandbox ${JSON.stringify(mode.sandbox(network, endpoint))}`,
        `lan ${JSON.stringify(onParent.lan(network, endpoint))}`,
        `again ${line(again)} ${JSON.stringify(again.inside)}`,
        '',
      ]
      golden(join(import.meta.dirname, 'goldens-lan', `${name.replaceAll(/\W+/g, '-')}.txt`), text.join('\n'))
    })

  const refused: [mode: 'macvlan' | 'ipvlan', words: Record<string, string>, sentence: RegExp][] = [
    ['macvlan', { colour: 'red' }, /option "colour" is not known; known are mode, macvlan_mode, parent/],
    ['macvlan', { macvlan_mode: 'source' }, /has to be bridge, private, vepa, passthru/],
    ['macvlan', { parent: 'a/b' }, /interface name/],
    ['macvlan', { ipvlan_mode: 'l2' }, /option "ipvlan_mode" is not known/],
    [
      'macvlan',
      { host_access: '1', macvlan_mode: 'vepa' },
      /"host_access" needs macvlan_mode bridge: with vepa/,
    ],
    ['macvlan', { mtu: '1200' }, /IPv6 needs at least 1280/],
    ['ipvlan', { ipvlan_mode: 'l4' }, /has to be l2, l3, l3s/],
    ['ipvlan', { ipvlan_flag: 'public' }, /has to be bridge, private, vepa/],
    ['ipvlan', { host_access: '1', ipvlan_flag: 'private' }, /"host_access" needs ipvlan_flag bridge/],
  ]
  for (const [mode, words, sentence] of refused)
    it(`${mode} refuses ${JSON.stringify(words)}`, () => {
      const network = { internal: false, ipv4: true, ipv6: true }
      assert.throws(() => modes[mode]?.options(words, network), { name: Refused.name, message: sentence })
    })

  it("takes Docker's labels for its own words", () => {
    const families = { internal: false, ipv4: true, ipv6: false }
    const labels = {
      'com.docker.network.driver.mtu': '1400',
      'com.docker.network.container_iface_prefix': 'lan',
    }
    for (const mode of ['macvlan', 'ipvlan'])
      assert.deepEqual(
        modes[mode]?.options(labels, families),
        modes[mode]?.options({ mtu: '1400', interface_prefix: 'lan' }, families),
      )
  })

  for (const [page, words] of [
    ['macvlan', macvlanWords],
    ['ipvlan', ipvlanWords],
  ] as const)
    it(`${page} is told word by word in docs/${page}.md`, () => {
      const text = readFileSync(join(import.meta.dirname, `../../docs/${page}.md`), 'utf8')
      for (const word of Object.keys(words)) assert.ok(text.includes(`\`${word}\``), word)
    })
})
