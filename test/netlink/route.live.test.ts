import assert from 'node:assert/strict'
import { closeSync, openSync } from 'node:fs'
import * as nl from '@tsnet/netlink'
import {
  bridge,
  code,
  index,
  namespace,
  otherNamespace,
  refused,
  route,
  run,
  useNamespaces,
} from './namespaces.ts'

describe('rtnetlink in this machine’s kernel', () => {
  useNamespaces()

  describe('links', () => {
    const kinds: (nl.LinkSpec & { name: string })[] = [
      { name: 'kbridge', kind: 'bridge', data: { ageingTime: 1000, mcastSnooping: 0, forwardDelay: 200 } },
      {
        name: 'kveth',
        kind: 'veth',
        data: { peer: { name: 'kpeer', mtu: 1300, address: '02:00:00:00:00:09' } },
      },
      { name: 'kvxlan', kind: 'vxlan', data: { id: 42, local: '10.0.0.1', port: 4789, learning: 0, ttl: 9 } },
      { name: 'kvxlan6', kind: 'vxlan', data: { id: 43, local6: 'fd00::1', port: 4790, udpZeroCsum6Tx: 1 } },
      { name: 'kmacvlan', kind: 'macvlan', data: { mode: 4 } },
      { name: 'kipvlan', kind: 'ipvlan', data: { mode: 1, flags: 2 } },
      { name: 'kvlan', kind: 'vlan', data: { id: 10, protocol: 0x8100 } },
      { name: 'kifb', kind: 'ifb' },
      { name: 'kdummy', kind: 'dummy' },
    ]
    for (const spec of kinds) {
      it(`makes, reads and deletes ${spec.name}`, function () {
        const hangs = ['macvlan', 'ipvlan', 'vlan'].includes(spec.kind ?? '')
        const lower = hangs ? { link: bridge('klower') } : {}
        const made = route.batch([nl.newLink({ ...spec, ...lower, group: 5 })])[0] as unknown
        if (made instanceof nl.NetlinkError && hangs) route.request(nl.delLink({ name: 'klower' }))
        if (made instanceof nl.NetlinkError && ['EOPNOTSUPP', 'ENODEV'].includes(made.code)) this.skip()
        assert.equal(made, undefined)
        route.request(nl.setLink({ name: spec.name, alias: 'made here' }))
        const link = route.request(nl.getLink({ name: spec.name }))
        assert.equal(link.kind, spec.kind)
        assert.deepEqual([link.alias, link.group, link.up], ['made here', 5, false])
        const wanted = Object.entries(spec.data ?? {}).filter(([key]) => key !== 'peer')
        for (const [key, value] of wanted)
          assert.deepEqual((link.data as Record<string, unknown>)[key], value, key)
        route.request(nl.delLink({ name: spec.name }))
        assert.equal(refused(nl.getLink({ name: spec.name })).code, 'ENODEV')
        if (hangs) route.request(nl.delLink({ name: 'klower' }))
      })
    }

    it('gives a veth’s peer what was asked for it, in another namespace too', () => {
      const fd = openSync(otherNamespace, 'r')
      const peer = { name: 'far', mtu: 1280, address: '02:00:00:00:00:0a', netNsFd: fd }
      route.request(nl.newLink({ name: 'near', kind: 'veth', data: { peer } }))
      route.request(nl.setLink({ name: 'near', afSpec: { inet6: { addrGenMode: 1 } } }))
      closeSync(fd)
      using there = nl.open({ protocol: 'route', namespace: otherNamespace })
      const far = there.request(nl.getLink({ name: 'far' }))
      assert.deepEqual([far.mtu, far.address, far.kind], [1280, '02:00:00:00:00:0a', 'veth'])
      assert.equal(route.request(nl.getLink({ name: 'near' })).afSpec?.inet6?.addrGenMode, 1)
      route.request(nl.delLink({ name: 'near' }))
    })

    it('sets a bridge port both ways, reads it both ways, and filters dumps by master and kind', () => {
      const master = bridge('pbr')
      route.request(
        nl.newLink({ name: 'pa', kind: 'veth', data: { peer: { name: 'pb' } }, master, up: true }),
      )
      const pa = index('pa')
      route.request(nl.setLink({ index: pa, port: { isolated: 1, hairpin: 1 } }))
      route.request(nl.setBridgePort(pa, { learning: 0, isolated: 0 }))
      const { port } = route.request(nl.getLink({ index: pa }))
      assert.deepEqual([port?.isolated, port?.hairpin, port?.learning], [0, 1, 0])
      const [seen] = route.dump(nl.dumpBridgePorts()).filter(each => each.name === 'pa')
      assert.deepEqual([seen?.port?.hairpin, seen?.port?.learning], [1, 0])
      assert.deepEqual(
        route.dump(nl.dumpLinks({ master })).map(link => link.name),
        ['pa'],
      )
      assert.deepEqual(
        route
          .dump(nl.dumpLinks({ kind: 'veth' }))
          .map(link => link.name)
          .sort(),
        ['pa', 'pb'],
      )
      for (const each of ['pa', 'pbr']) route.request(nl.delLink({ name: each }))
    })

    it('deletes by group, here and in the background', async () => {
      const four = ['g1', 'g2', 'g3', 'g4']
      const make = () => route.batch(four.map(each => nl.newLink({ name: each, kind: 'bridge', group: 99 })))
      const left = () => route.dump(nl.dumpLinks()).filter(link => four.includes(link.name ?? '')).length
      assert.deepEqual(make(), [undefined, undefined, undefined, undefined])
      assert.equal(left(), 4)
      route.request(nl.delLink({ group: 99 }))
      assert.equal(left(), 0)
      make()
      await route.background(nl.delLink({ group: 99 }))
      assert.equal(left(), 0)
      await assert.rejects(route.background(nl.delLink({ name: 'none' })), { code: 'ENODEV' })
    })

    it('turns a physical loopback up and down', () => {
      const up = () => route.request(nl.getLink({ name: 'lo' })).up
      route.request(nl.setLink({ name: 'lo', up: true }))
      assert.equal(up(), true)
      route.request(nl.setLink({ name: 'lo', up: false }))
      assert.equal(up(), false)
    })
  })

  describe('what hangs on links', () => {
    let br: number
    before(() => {
      br = bridge('hbr')
    })
    after(() => {
      route.request(nl.delLink({ name: 'hbr' }))
    })

    it('addresses, as `ip` sees them', () => {
      route.request(nl.newAddress({ index: br, cidr: '10.9.0.1/24', broadcast: '10.9.0.255' }))
      const flags = nl.IFA_F.NODAD | nl.IFA_F.NOPREFIXROUTE
      route.request(nl.newAddress({ index: br, cidr: 'fd00:9::1/64', flags }))
      const shown = run('ip', '-br', 'address', 'show', 'hbr')
      assert.match(shown, /10\.9\.0\.1\/24/)
      const found = route.dump(nl.dumpAddresses({ index: br })).find(each => each.address === 'fd00:9::1')
      assert.equal((found?.flags ?? 0) & flags, flags)
      assert.equal(refused(nl.newAddress({ index: br, cidr: '10.9.0.1/24' })).code, 'EEXIST')
      route.request(nl.delAddress({ index: br, cidr: 'fd00:9::1/64' }))
      assert.equal(refused(nl.delAddress({ index: br, cidr: 'fd00:9::1/64' })).code, 'EADDRNOTAVAIL')
    })

    it('routes with metrics in a table of their own, and the way to an address', () => {
      const spec = { to: '10.11.0.0/16', oif: br, table: 1000, metrics: { mtu: 1300 } }
      route.request(nl.newRoute(spec))
      route.request(nl.replaceRoute({ ...spec, metrics: { mtu: 1280 } }))
      const [found] = route.dump(nl.dumpRoutes({ family: 2, table: 1000 }))
      assert.deepEqual(
        [found?.dst, found?.dstLength, found?.oif, found?.metrics?.mtu],
        ['10.11.0.0', 16, br, 1280],
      )
      assert.equal(route.request(nl.getRoute('10.9.0.7')).oif, br)
      route.request(nl.delRoute({ to: '10.11.0.0/16', table: 1000 }))
      assert.deepEqual(route.batch([nl.delRoute({ to: '10.11.0.0/16', table: 1000 })]).map(code), ['ESRCH'])
    })

    it('a route of IPv4 by a neighbour that has IPv6', () => {
      const flags = nl.RTNH_F.ONLINK
      route.request(nl.replaceRoute({ to: '10.13.0.0/16', oif: br, gateway: 'fd00:9::7', flags }))
      const [found] = route
        .dump(nl.dumpRoutes({ family: 2, oif: br }))
        .filter(each => each.dst === '10.13.0.0')
      assert.deepEqual([found?.via, found?.gateway], ['fd00:9::7', undefined])
      route.request(nl.delRoute({ to: '10.13.0.0/16' }))
    })

    it('rules of the routing policy', () => {
      const rule = {
        family: 2,
        from: '10.9.0.0/24',
        fwmark: 1,
        table: 1000,
        priority: 77,
        dportRange: { start: 1, end: 9 },
      }
      route.request(nl.newPolicy(rule))
      const found = route.dump(nl.dumpPolicies({ family: 2 })).find(each => each.priority === 77)
      assert.deepEqual(
        [found?.src, found?.srcLength, found?.table, found?.dportRange],
        ['10.9.0.0', 24, 1000, rule.dportRange],
      )
      route.request(nl.delPolicy(rule))
      assert.equal(refused(nl.delPolicy(rule)).code, 'ENOENT')
    })

    it('neighbours of both families', () => {
      for (const dst of ['10.9.0.5', 'fd00:9::5']) {
        route.request(nl.newNeighbour({ index: br, dst, lladdr: '02:00:00:00:00:05' }))
        const found = route.dump(nl.dumpNeighbours({ index: br })).find(each => each.dst === dst)
        assert.deepEqual([found?.lladdr, found?.state], ['02:00:00:00:00:05', nl.NUD.PERMANENT])
        route.request(nl.delNeighbour({ index: br, dst }))
      }
      assert.equal(
        route.dump(nl.dumpNeighbours({ index: br })).filter(each => each.dst?.endsWith('5')).length,
        0,
      )
    })

    it('FDB entries of a VXLAN and of a bridge', () => {
      route.request(
        nl.newLink({ name: 'fvx', kind: 'vxlan', data: { id: 7, port: 4791 }, master: br, up: true }),
      )
      const fvx = index('fvx')
      const lladdr = '02:00:00:00:00:07'
      route.request(nl.newFdb({ index: fvx, lladdr, dst: '10.0.0.7' }))
      route.request(nl.replaceFdb({ index: fvx, lladdr, dst: '10.0.0.8' }))
      for (const dst of ['10.0.0.1', '10.0.0.2']) {
        route.request(nl.appendFdb({ index: fvx, lladdr: '00:00:00:00:00:00', dst }))
      }
      route.request(nl.newFdb({ index: fvx, lladdr, flags: nl.NTF.MASTER, state: nl.NUD.NOARP }))
      const all = route.dump(nl.dumpFdb({ index: fvx })).filter(each => each.index === fvx)
      const far = all
        .filter(each => each.flags & nl.NTF.SELF && each.dst)
        .map(each => `${each.lladdr} ${each.dst}`)
      assert.deepEqual(far.sort(), [
        '00:00:00:00:00:00 10.0.0.1',
        '00:00:00:00:00:00 10.0.0.2',
        `${lladdr} 10.0.0.8`,
      ])
      assert.ok(all.some(each => each.lladdr === lladdr && each.master === br))
      assert.equal(refused(nl.newFdb({ index: fvx, lladdr, dst: '10.0.0.9' })).code, 'EEXIST')
      route.request(nl.delFdb({ index: fvx, lladdr }))
      route.request(nl.delLink({ name: 'fvx' }))
    })

    it('a thousand messages in one batch, each with its own outcome', () => {
      const dst = (i: number) => `10.9.${i >> 8}.${i & 255}`
      const all = Array.from({ length: 1000 }, (_, i) =>
        nl.newNeighbour({
          index: br,
          dst: i % 100 === 50 ? 'nowhere' : dst(i === 501 ? 500 : i),
          lladdr: '02:00:00:00:00:01',
        }),
      )
      const outcomes = route.batch(all).map(code)
      outcomes.forEach((outcome, i) => {
        assert.equal(outcome, i % 100 === 50 ? 'EINVAL' : i === 501 ? 'EEXIST' : undefined, `message ${i}`)
      })
      assert.equal(
        route.dump(nl.dumpNeighbours({ index: br })).filter(each => each.lladdr === '02:00:00:00:00:01')
          .length,
        989,
      )
    })

    it('a batch in which everything fails loses no outcome, however small the buffer', () => {
      using small = nl.open({ protocol: 'route', namespace, receiveBuffer: 16384 })
      const all = Array.from({ length: 1000 }, () => nl.newAddress({ index: br, cidr: '10.9.0.1/24' }))
      assert.deepEqual(new Set(small.batch(all).map(code)), new Set(['EEXIST']))
    })

    it('a batch of questions is answered in order', () => {
      const names = ['hbr', 'none', 'lo']
      const answers = route.batch(names.map(each => nl.getLink({ name: each })))
      assert.deepEqual(
        answers.map(each => (each instanceof nl.NetlinkError ? each.code : each.name)),
        ['hbr', 'ENODEV', 'lo'],
      )
    })
  })
})
