import { join } from 'node:path'
import { everything } from '../../core/desired.ts'
import type { Underlay } from '../../core/faces.ts'
import { line } from '../../core/lines.ts'
import { PeerTable } from '../../core/peers.ts'
import type { Endpoint, Network } from '../../core/records.ts'
import { modes } from '../../modes/index.ts'
import { golden } from '../support/golden.ts'

type Case = {
  endpoint?: Partial<Endpoint> | false
  self?: Partial<Underlay>
  six?: boolean
  /** Prefixes and tunnel end points; of another pool, too. */
  blocks?: Record<string, string>
  foreign?: Record<string, string>
  /** Addresses and tunnel end points. */
  remotes?: Record<string, string>
  /** What this host is called in the network. */
  own?: Network['own']
  words?: Record<string, string>
}

const links = [{ name: 'eth0', prefix: '10.9.0.1/24' }]
const blocks = { '10.1.1.0/25': '10.9.0.7', '10.1.2.0/26': '10.99.0.8' }

/** Each is a golden: what was asked and told, and every row of this host's own routes and tables that follows from it. */
const cases: Record<string, Case> = {
  'nobody elsewhere': {},
  'blocks, on a link and behind a router': {
    blocks,
    remotes: { '10.1.1.5': '10.9.0.7', '10.1.2.6': '10.99.0.8' },
  },
  'blocks, nobody here': { blocks, endpoint: false },
  'an address of nobody’s block, and one of another’s': {
    blocks,
    remotes: { '10.1.7.7': '10.9.0.7', '10.1.1.9': '10.99.0.8' },
  },
  'a container here in a block of another': { blocks, endpoint: { ipv4: '10.1.1.77/16' } },
  'what isn’t the network’s': {
    blocks: {},
    foreign: { '8.8.8.0/26': '10.9.0.7', '10.1.3.0/26': '10.9.0.7' },
    remotes: { '8.8.8.8': '10.9.0.7', '10.1.3.3': '10.9.0.7' },
  },
  'both families': {
    six: true,
    endpoint: { ipv6: 'fd01::2/64' },
    blocks: { ...blocks, 'fd01::10:0:0:0/76': '10.9.0.7' },
    remotes: { 'fd01::10:0:0:5': '10.9.0.7', 'fd01::7': '10.99.0.8' },
  },
  'hosts that meet by IPv6': {
    six: true,
    self: { ipv4: undefined as never, ipv6: 'fd09::1', links: [{ name: 'eth0', prefix: 'fd09::1/64' }] },
    endpoint: { ipv6: 'fd01::2/64' },
    blocks: { '10.1.1.0/25': 'fd09::7', 'fd01::10:0:0:0/76': 'fd09::7' },
  },
  'addresses of this host’s own': {
    six: true,
    own: { ipv4: '10.1.9.1', ipv6: 'fd01::9' },
    endpoint: { ipv6: 'fd01::2/64' },
    blocks: { ...blocks, 'fd01::10:0:0:0/76': '10.9.0.7' },
  },
  'no direct routing': { blocks, words: { direct: 'false' }, own: { ipv4: '10.1.9.1' } },
}

function rows({
  endpoint = {},
  self = {},
  six = false,
  foreign,
  remotes = {},
  own,
  words = {},
  ...told
}: Case): string[] {
  const ipv6 = six ? [{ pool: 'fd01::/64', gateway: 'fd01::1/64', aux: {} }] : []
  const network: Network = {
    id: 'aaaaaaaaaaaaaaaaaaaa',
    mode: 'nodes',
    shared: 'pods',
    options: modes.nodes?.options(words, { internal: false, ipv4: true, ipv6: six }) ?? {},
    internal: false,
    ipv4: [{ pool: '10.1.0.0/16', gateway: '10.1.0.1/16', aux: {} }],
    ipv6,
    ...(own && { own }),
    created: 0,
  }
  const local: Endpoint = {
    ...{ id: 'bbbbbbbbbbbbbbbbbbbb', network: network.id, ipv4: '10.1.0.2/16', mac: '02:42:0a:01:00:02' },
    ...{ options: {}, ports: [], published: [], created: 0 },
    ...endpoint,
  }
  const peers = new PeerTable({ ipv4: '10.9.0.1', mtu: 1500, port: 4789, links, ...self })
  const all = Object.entries(told.blocks ?? {})
  const of = (v6: boolean) => new Map(all.filter(([prefix]) => prefix.includes(':') === v6))
  peers.setBlocks('pods', '10.1.0.0/16', of(false))
  peers.setBlocks('pods', 'fd01::/64', of(true))
  peers.setBlocks('pods', 'another', new Map(Object.entries(foreign ?? {})))
  for (const [at, [address, vtep]] of Object.entries(remotes).entries())
    peers.put('pods', { mac: `02:42:00:00:00:0${at}`, addresses: [address], vtep })
  const records = {
    networks: new Map([[network.id, network]]),
    endpoints: new Map(endpoint === false ? [] : [[local.id, local]]),
    pools: new Map(),
    leases: new Map(),
    identities: new Map(),
  }
  const facts = { accept: [], engineBridges: [], ephemeral: [1, 2] as [number, number], shortcut: true }
  return everything({ records, modes, peers }, [], facts)
    .filter(({ row: { kind } }) => ['link', 'address', 'route', 'fdb', 'neighbour'].includes(kind))
    .map(({ row, presence }) => `${presence.padEnd(4)} ${line(row)}`)
}

describe('nodes mode', () => {
  for (const [name, each] of Object.entries(cases))
    it(`rows: ${name}`, () => {
      const file = join(import.meta.dirname, 'goldens-nodes', `${name.replaceAll(/\W+/g, '-')}.txt`)
      golden(file, [`# ${JSON.stringify(each)}`, ...rows(each), ''].join('\n'))
    })
})
