import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import * as nl from '@tsnet/netlink'
import { HEADER, writeMessage } from '../../netlink/message.ts'
import { Writer } from '../../netlink/writer.ts'

/** Bytes that `ip`, `bridge`, `tc`, `nft` and `conntrack` sent, each below its command; captured by strace -e write=all. */
const goldens = new Map<string, Buffer[]>()
for (const line of readFileSync(new URL('goldens.txt', import.meta.url), 'utf8').split('\n')) {
  if (line.startsWith('# ')) goldens.set(line.slice(2), [])
  else if (line) [...goldens.values()].at(-1)?.push(Buffer.from(line, 'hex'))
}

const t = { family: nl.NFPROTO.INET, table: 't' }
const bytes = (...values: number[]) => ({ value: Buffer.from(values) })
const port = (number: number) => bytes(number >> 8, number & 255)
const name = (text: string) => ({ value: Buffer.concat([Buffer.from(text), Buffer.alloc(16 - text.length)]) })
const userdata = (hex: string) => Buffer.from(hex, 'hex')

/** The same as each command, in our words. In that namespace br0 was link 2, vb 3, va 4 and vx0 5. */
const cases: Record<string, nl.Request<unknown>> = {
  'ip link add name br0 type bridge ageing_time 30000 stp_state 0 mcast_snooping 0 nf_call_iptables 1':
    nl.newLink({
      name: 'br0',
      kind: 'bridge',
      data: { ageingTime: 30000, stpState: 0, mcastSnooping: 0, nfCallIptables: 1 },
    }),
  'ip link add name va mtu 1400 type veth peer name vb address 02:00:00:00:00:02': nl.newLink({
    mtu: 1400,
    name: 'va',
    kind: 'veth',
    data: { peer: { address: '02:00:00:00:00:02', name: 'vb' } },
  }),
  'ip link set dev va master br0': nl.setLink({ index: 4, master: 2 }),
  'ip link set dev va up': nl.setLink({ index: 4, up: true }),
  'ip link set dev va alias hello': nl.setLink({ index: 4, alias: 'hello' }),
  'ip link set dev va group 77': nl.setLink({ index: 4, group: 77 }),
  'ip link set dev va addrgenmode none': nl.setLink({ index: 4, afSpec: { inet6: { addrGenMode: 1 } } }),
  'bridge link set dev va isolated off': nl.setBridgePort(4, { isolated: 0 }),
  'ip link add name vx0 type vxlan id 42 local 10.0.0.1 remote 10.0.0.2 dstport 4789 nolearning ttl 5 srcport 1000 2000':
    nl.newLink({
      name: 'vx0',
      kind: 'vxlan',
      data: {
        ttl: 5,
        portRange: [1000, 2000],
        id: 42,
        local: '10.0.0.1',
        group: '10.0.0.2',
        learning: 0,
        port: 4789,
      },
    }),
  'ip link add name vx6 type vxlan id 43 local fd00::1 group ff05::1 dev br0 dstport 4790 udp6zerocsumtx':
    nl.newLink({
      name: 'vx6',
      kind: 'vxlan',
      data: {
        link: 2,
        udpZeroCsum6Tx: 1,
        id: 43,
        local6: 'fd00::1',
        group6: 'ff05::1',
        learning: 1,
        port: 4790,
      },
    }),
  'ip link add name mv0 link vb type macvlan mode bridge': nl.newLink({
    link: 3,
    name: 'mv0',
    kind: 'macvlan',
    data: { mode: 4 },
  }),
  'ip link add name mv1 link vb type macvlan mode passthru': nl.newLink({
    link: 3,
    name: 'mv1',
    kind: 'macvlan',
    data: { mode: 8 },
  }),
  'ip link add name iv0 link vb type ipvlan mode l3s vepa': nl.newLink({
    link: 3,
    name: 'iv0',
    kind: 'ipvlan',
    data: { mode: 2, flags: 2 },
  }),
  'ip link add name vl0 link vb type vlan id 10': nl.newLink({
    link: 3,
    name: 'vl0',
    kind: 'vlan',
    data: { id: 10 },
  }),
  'ip link del group 77': nl.delLink({ group: 77 }),
  'ip address add 10.9.0.1/24 broadcast 10.9.0.255 dev br0': nl.newAddress({
    index: 2,
    cidr: '10.9.0.1/24',
    broadcast: '10.9.0.255',
  }),
  'ip address add fd00:9::1/64 dev br0 nodad noprefixroute': nl.newAddress({
    index: 2,
    cidr: 'fd00:9::1/64',
    flags: nl.IFA_F.NODAD | nl.IFA_F.NOPREFIXROUTE,
  }),
  'ip address add fd00:9::2/64 dev br0 preferred_lft 0': nl.newAddress({
    index: 2,
    cidr: 'fd00:9::2/64',
    preferred: 0,
  }),
  'ip address add 10.9.0.1/24 dev br0': nl.newAddress({ index: 2, cidr: '10.9.0.1/24' }),
  'ip address del 10.9.0.1/24 dev br0': nl.delAddress({ index: 2, cidr: '10.9.0.1/24' }),
  'ip route add 10.10.0.0/16 via 10.9.0.2 dev br0 metric 50': nl.newRoute({
    to: '10.10.0.0/16',
    gateway: '10.9.0.2',
    priority: 50,
    oif: 2,
  }),
  'ip route add 10.13.0.0/16 via inet6 fd00:9::2 dev br0 metric 50': nl.newRoute({
    to: '10.13.0.0/16',
    gateway: 'fd00:9::2',
    priority: 50,
    oif: 2,
  }),
  'ip route add blackhole 10.12.0.0/24': nl.newRoute({ to: '10.12.0.0/24', type: nl.RTN.BLACKHOLE }),
  'ip route del 10.10.0.0/16': nl.delRoute({ to: '10.10.0.0/16' }),
  'ip route get 10.9.0.7': nl.getRoute('10.9.0.7'),
  'ip rule add from 10.9.0.0/24 fwmark 0x1/0xff table 1000 priority 100': nl.newPolicy({
    family: 2,
    from: '10.9.0.0/24',
    fwmark: 1,
    fwmask: 0xff,
    table: 1000,
    priority: 100,
  }),
  'ip neighbour add 10.9.0.5 lladdr 02:00:00:00:00:05 dev br0': nl.newNeighbour({
    index: 2,
    dst: '10.9.0.5',
    lladdr: '02:00:00:00:00:05',
  }),
  'ip neighbour replace fd00:9::5 lladdr 02:00:00:00:00:05 dev br0 nud reachable': nl.replaceNeighbour({
    index: 2,
    dst: 'fd00:9::5',
    lladdr: '02:00:00:00:00:05',
    state: nl.NUD.REACHABLE,
  }),
  'ip neighbour del 10.9.0.5 dev br0': nl.delNeighbour({ index: 2, dst: '10.9.0.5' }),
  'bridge fdb add 02:00:00:00:00:07 dev vx0 dst 10.0.0.7': nl.newFdb({
    index: 5,
    lladdr: '02:00:00:00:00:07',
    dst: '10.0.0.7',
  }),
  'bridge fdb append 00:00:00:00:00:00 dev vx0 dst 10.0.0.8 port 4000 vni 7': nl.appendFdb({
    index: 5,
    lladdr: '00:00:00:00:00:00',
    dst: '10.0.0.8',
    port: 4000,
    vni: 7,
  }),
  'bridge fdb add 02:00:00:00:00:08 dev va master static': nl.newFdb({
    index: 4,
    lladdr: '02:00:00:00:00:08',
    flags: nl.NTF.MASTER,
    state: nl.NUD.NOARP | nl.NUD.REACHABLE,
  }),
  'bridge fdb del 02:00:00:00:00:07 dev vx0 dst 10.0.0.7': nl.delFdb({
    index: 5,
    lladdr: '02:00:00:00:00:07',
    dst: '10.0.0.7',
  }),
  'tc qdisc add dev va ingress_block 2 ingress': nl.newIngress(4, 2),
  'tc qdisc del dev va ingress': nl.delIngress(4),
  'tc qdisc show': nl.dumpQdiscs(),
  'tc qdisc del dev va root': nl.delRoot(2),
  'tc filter add block 2 pref 1 handle 1 bpf direct-action object-pinned prog': nl.newBpfFilter(
    { block: 2, priority: 1, handle: 1 },
    { fd: 4, name: 'prog:[*fsobj]' },
  ),
  'tc filter replace block 2 pref 1 handle 1 bpf direct-action object-pinned prog': nl.replaceBpfFilter(
    { block: 2, priority: 1, handle: 1 },
    { fd: 4, name: 'prog:[*fsobj]' },
  ),
  'tc filter show block 2': nl.dumpFilters(2),
  'tc filter del block 2 pref 1 handle 1 bpf': nl.delBpfFilter({ block: 2, priority: 1, handle: 1 }),
  'nft add table inet t': nl.newTable({ family: 1, name: 't', flags: 0 }),
  'nft add chain inet t pre { type nat hook prerouting priority -100; policy accept; comment "c1"; }':
    nl.newChain({
      ...t,
      name: 'pre',
      type: 'nat',
      policy: 1,
      hook: { hook: 0, priority: -100 },
      userdata: userdata('00036331 00'.replace(' ', '')),
    }),
  'nft add chain inet t other': nl.newChain({ ...t, name: 'other' }),
  'nft add map inet t ports { type inet_service : ipv4_addr; }': nl.newSet({
    ...t,
    name: 'ports',
    flags: nl.NFT_SET.MAP,
    keyType: 13,
    keyLength: 2,
    dataType: 7,
    dataLength: 4,
    id: 1,
    userdata: userdata('000402000000010402000000060400000000'),
  }),
  'nft add element inet t v { "br0" : jump other }': nl.newElements({
    ...t,
    set: 'v',
    setId: 2,
    elements: [{ key: name('br0'), data: { verdict: { code: nl.VERDICT.JUMP, chain: 'other' } } }],
  }),
  'nft add element inet t c { 10.1.0.0/16 . 80-90 }': nl.newElements({
    ...t,
    set: 'c',
    setId: 4,
    elements: [{ key: bytes(10, 1, 0, 0, 0, 80, 0, 0), keyEnd: bytes(10, 1, 255, 255, 0, 90, 0, 0) }],
  }),
  'nft delete element inet t ports { 80 }': nl.delElements({
    ...t,
    set: 'ports',
    elements: [{ key: port(80) }],
  }),
  'nft flush set inet t r': nl.flushSet({ set: 'r', ...t } as never),
  'nft delete set inet t r': nl.delSet({ ...t, name: 'r' }),
  'nft flush chain inet t other': nl.delRule({ ...t, chain: 'other' }),
  'nft delete table inet t': nl.delTable({ family: 1, name: 't' }),
  'conntrack -L': nl.dumpConntracks(),
  'conntrack -D -p udp --orig-src 10.9.0.1': nl.dumpConntracks({ family: 2 }),
}

/** What differs on purpose: the sequence number, and the acknowledgement, which we ask for at the end of a send. */
function comparable(message: Buffer): string {
  const copy = Buffer.from(message)
  copy.writeUInt16LE(copy.readUInt16LE(6) & ~0x04, 6)
  copy.fill(0, 8, HEADER)
  return copy.toString('hex')
}

function encoded(request: nl.Request<unknown>): Buffer {
  const out = new Writer()
  writeMessage(out, request, 1)
  return out.bytes.subarray(0, out.at)
}

describe('messages as the tools send them', () => {
  for (const [command, request] of Object.entries(cases)) {
    it(command, () => {
      const golden = goldens.get(command)?.[0]
      assert.ok(golden, 'no bytes were captured for this command')
      assert.equal(comparable(encoded(request)), comparable(golden))
    })

    it(`${command}, read and written again`, () => {
      const golden = goldens.get(command)?.[0] as Buffer
      const value = request.body.read(golden, HEADER, golden.length)
      assert.equal(comparable(encoded({ ...request, value })), comparable(golden))
    })
  }
})

describe('messages in another order than the tools', () => {
  const differing: [string, string, nl.Request<unknown>][] = [
    [
      'ip route add 10.11.0.0/16 dev br0 table 1000 mtu 1300',
      'ours has the metrics where the caller has them',
      nl.newRoute({ to: '10.11.0.0/16', oif: 2, table: 1000, metrics: { mtu: 1300 } }),
    ],
    [
      'ip -6 route add default via fd00:9::2 dev br0 onlink',
      'ip spells out ::/0, ours leaves the destination out',
      nl.newRoute({ to: 'default', gateway: 'fd00:9::2', oif: 2, flags: nl.RTNH_F.ONLINK }),
    ],
  ]
  it('nft add element: libnftnl numbers the elements of a list, ours are all NFTA_LIST_ELEM as the header says', () => {
    const golden = goldens.get('nft add element inet t ports { 80 : 10.0.0.1, 81 : 10.0.0.2 }')?.[0] as Buffer
    const request = nl.newElements({
      ...t,
      set: 'ports',
      setId: 1,
      elements: [
        { key: port(80), data: bytes(10, 0, 0, 1) },
        { key: port(81), data: bytes(10, 0, 0, 2) },
      ],
    })
    const numbered = comparable(golden).replace('1c00028', '1c00018')
    assert.equal(comparable(encoded(request)), numbered)
    assert.deepEqual(
      request.body.read(golden, HEADER, golden.length).elements,
      (request.value as nl.ElementList).elements,
    )
  })

  for (const [command, why, request] of differing) {
    it(`${command}: ${why}`, () => {
      const golden = goldens.get(command)?.[0] as Buffer
      const theirs = request.body.read(golden, HEADER, golden.length)
      const bytes = encoded(request)
      const { dst, ...ours } = { dst: theirs.dst, ...request.body.read(bytes, HEADER, bytes.length) }
      assert.deepEqual({ dst, ...ours }, { ...theirs, dst })
    })
  }

  for (const [words, tbf] of [
    ['rate 50mbit burst 125000 limit 281250', { rate: 6_250_000, burst: 125_000, limit: 281_250 }],
    ['rate 80gbit burst 1000000 limit 2000000', { rate: 1e10, burst: 1_000_000, limit: 2_000_000 }],
  ] as const) {
    const command = `tc qdisc replace dev va root handle 7473: tbf ${words}`
    it(`${command}: tc adds tables of times for kernels before 3.8, which ours leaves out`, () => {
      const read = (bytes: Buffer) => {
        const { options = Buffer.of(), ...place } = nl.trafficBody.read(bytes, HEADER, bytes.length)
        const { parms, ...most } = nl.tbfSet.read(options, 0, options.length)
        const { linkLayer, rate, limit } = parms ?? {}
        return { ...place, ...most, linkLayer, rate, limit }
      }
      const golden = goldens.get(command)?.[0] as Buffer
      assert.deepEqual(read(encoded(nl.replaceTbf(2, 0x74730000, tbf))), read(golden))
    })
  }

  it('ip link set type bridge_slave: ip names the kind bridge_slave, ours names the master’s kind; the data is the same', () => {
    const golden = goldens.get(
      'ip link set dev va type bridge_slave isolated on hairpin on learning off',
    )?.[0] as Buffer
    const ours = encoded(nl.setLink({ index: 4, port: { isolated: 1, hairpin: 1, learning: 0 } }))
    const data = (bytes: Buffer) => bytes.subarray(bytes.length - 28).toString('hex')
    assert.equal(data(ours), data(golden))
  })
})

describe('messages from a stencil', () => {
  const lladdr = '02:00:00:00:00:05'
  const same = (one: nl.Request<unknown>, other: nl.Request<unknown>) =>
    assert.equal(encoded(one).toString('hex'), encoded(other).toString('hex'))

  it('are those that are written one by one', () => {
    const spec = { index: 4, state: nl.NUD.NOARP, flags: nl.NTF.SELF }
    const fdb = nl.replaceFdbs(spec)
    for (const dst of ['10.0.0.7', 'fd00:9::7'])
      same(fdb(lladdr, dst), nl.replaceFdb({ ...spec, lladdr, dst }))
    const neighbour = nl.replaceNeighbours({ index: 4, protocol: 116 })
    for (const dst of ['10.9.0.5', 'fd00:9::5'])
      same(neighbour(dst, lladdr), nl.replaceNeighbour({ index: 4, protocol: 116, dst, lladdr }))
  })

  it('are refused as those are', () =>
    assert.throws(() => encoded(nl.replaceFdbs({ index: 4 })('02:00', '10.0.0')), { code: 'EINVAL' }))
})
