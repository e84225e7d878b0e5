import assert from 'node:assert/strict'
import { join } from 'node:path'
import { Refused } from '../../core/errors.ts'
import { line } from '../../core/lines.ts'
import type { Endpoint, Network, Publication } from '../../core/records.ts'
import { bridge } from '../../modes/bridge.ts'
import { bridgeOptions } from '../../modes/bridge-options.ts'
import { golden } from '../support/golden.ts'

type Case = {
  words?: Record<string, string>
  network?: Partial<Network>
  endpoint?: Partial<Endpoint>
}

const web: Publication = { proto: 'tcp', hostIp: '0.0.0.0', hostPort: 8080, address: '10.1.0.2', port: 80 }
const web6: Publication = { proto: 'tcp', hostIp: '::', hostPort: 8080, address: 'fd01::2', port: 80 }
const v6 = [{ pool: 'fd01::/64', gateway: 'fd01::1/64', aux: {} }]

/** Each is a golden: what was asked, and every row that follows from it. */
const cases: Record<string, Case> = {
  plain: {},
  'dual stack': { network: { ipv6: v6 }, endpoint: { ipv6: 'fd01::2/64' } },
  'IPv6 only': { network: { ipv4: [], ipv6: v6 }, endpoint: { ipv6: 'fd01::2/64', published: [web6] } },
  'published, joined': {
    endpoint: { sandbox: '/run/netns/1', published: [web, { ...web, proto: 'udp', hostIp: '10.9.0.1' }] },
  },
  internal: { network: { internal: true } },
  isolated: { network: { internal: true }, words: { gateway_mode_ipv4: 'isolated' } },
  routed: {
    words: { gateway_mode_ipv4: 'routed', gateway_mode_ipv6: 'routed' },
    network: { ipv6: v6 },
    endpoint: { ipv6: 'fd01::2/64', published: [web, web6] },
  },
  unprotected: { words: { gateway_mode_ipv4: 'nat-unprotected' } },
  'own source address': { words: { host_ipv4: '192.0.2.7' } },
  'no masquerade': { words: { masquerade: 'false' } },
  'named, small, kept apart': { words: { bridge: 'shop0', mtu: '1400', isolation: 'true' } },
  'every frame by way of the bridge': { words: { shortcut: 'false' } },
  'trusted interfaces': { words: { trusted_host_interfaces: 'eth1:eth2' }, endpoint: { published: [web] } },
  'several subnets': {
    network: {
      ipv4: [
        { pool: '10.1.0.0/24', gateway: '10.1.0.1/24', aux: {} },
        { pool: '10.2.0.0/24', gateway: '10.2.0.1/24', aux: { DefaultGatewayIPv4: '10.2.0.254/24' } },
      ],
    },
    endpoint: { ipv4: '10.2.0.9/24' },
  },
  'how fast a container receives and sends': {
    endpoint: {
      attachment: {
        ...{ conflist: 'pods', container: 'c1', ifname: 'eth0', namespace: '/run/netns/1', inode: 7 },
        routes: [],
        bandwidth: { ingress: { rate: 6_250_000, burst: 125_000 }, egress: { rate: 125, burst: 100 } },
      },
    },
  },
  "somebody else's gateway": { words: { inhibit_ipv4: 'true' } },
}

function records({ words = {}, network = {}, endpoint = {} }: Case): {
  network: Network
  endpoint: Endpoint
} {
  const subnets = {
    ipv4: [{ pool: '10.1.0.0/24', gateway: '10.1.0.1/24', aux: {} }],
    ipv6: [],
    internal: false,
    ...network,
  }
  const families = {
    internal: subnets.internal,
    ipv4: subnets.ipv4.length > 0,
    ipv6: subnets.ipv6.length > 0,
  }
  const options = bridgeOptions(words, families)
  return {
    network: { id: 'aaaaaaaaaaaaaaaaaaaa', mode: 'bridge', options, created: 0, ...subnets },
    endpoint: {
      id: 'bbbbbbbbbbbbbbbbbbbb',
      network: 'aaaaaaaaaaaaaaaaaaaa',
      ...(families.ipv4 && { ipv4: '10.1.0.2/24' }),
      mac: '02:42:0a:01:00:02',
      options: {},
      ports: [],
      published: [],
      created: 0,
      ...endpoint,
    },
  }
}

describe('bridge mode', () => {
  for (const [name, each] of Object.entries(cases)) {
    it(`rows: ${name}`, () => {
      const { network, endpoint } = records(each)
      const wanted = [...bridge.network(network), ...bridge.endpoint(network, endpoint)]
      const rows = wanted.map(({ row, presence }) => `${presence.padEnd(4)} ${line(row)}`)
      const sandbox = JSON.stringify(bridge.sandbox(network, endpoint))
      const file = join(import.meta.dirname, 'goldens', `${name.replaceAll(/\W+/g, '-')}.txt`)
      golden(file, [`# ${JSON.stringify(each)}`, ...rows, `sandbox ${sandbox}`, ''].join('\n'))
    })
  }

  const refused: [words: Record<string, string>, families: object, sentence: RegExp][] = [
    [{ colour: 'red' }, {}, /option "colour" is not known; known are mode, bridge, mtu/],
    [{ 'com.docker.network.bridge.nonsense': '1' }, {}, /nonsense" is not known/],
    [{ mtu: '9' }, {}, /option "mtu" can't be "9": it has to be a whole number from 68 to 65535/],
    [{ mtu: '1000' }, { ipv6: true }, /IPv6 needs at least 1280/],
    [{ masquerade: 'perhaps' }, {}, /has to be true or false/],
    [{ bridge: 'a name with spaces' }, {}, /interface name of 1 to 15 characters/],
    [{ mtu: '1400', 'com.docker.network.driver.mtu': '1400' }, {}, /given twice/],
    [{ gateway_mode_ipv4: 'isolated' }, {}, /needs an internal network/],
    [{ 'com.docker.network.bridge.enable_icc': 'maybe' }, {}, /enable_icc" can't be "maybe"/],
    [{ host_ipv4: '::1' }, {}, /has to be an IPv4 address/],
  ]
  for (const [words, families, sentence] of refused) {
    it(`refuses ${JSON.stringify(words)}`, () => {
      const network = { internal: false, ipv4: true, ipv6: false, ...families }
      assert.throws(() => bridgeOptions(words, network), { name: Refused.name, message: sentence })
    })
  }

  it("takes Docker's labels for its own words", () => {
    const families = { internal: false, ipv4: true, ipv6: false }
    const labels = {
      'com.docker.network.bridge.name': 'shop0',
      'com.docker.network.driver.mtu': '1400',
      'com.docker.network.bridge.enable_icc': 'false',
      'com.docker.network.bridge.enable_ip_masquerade': 'false',
      'com.docker.network.bridge.host_binding_ipv4': '127.0.0.1',
      'com.docker.network.advertise_addr_nmsgs': '1',
    }
    const words = {
      bridge: 'shop0',
      mtu: '1400',
      isolation: 'true',
      masquerade: 'false',
      publish_address: '127.0.0.1',
    }
    assert.deepEqual(bridgeOptions(labels, families), bridgeOptions(words, families))
  })
})
