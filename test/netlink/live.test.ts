import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readdirSync, readlinkSync } from 'node:fs'
import { isMainThread, Worker } from 'node:worker_threads'
import * as nl from '@tsnet/netlink'

const name = `ts-test-nl-${process.pid}`
const other = `${name}-b`
const namespace = `/run/netns/${name}`
const run = (command: string, ...words: string[]): string =>
  execFileSync('ip', ['netns', 'exec', name, command, ...words], { encoding: 'utf8' })
const own = () => readlinkSync('/proc/thread-self/ns/net')

describe('netlink and this machine’s kernel', () => {
  let route: nl.Socket
  let nft: nl.Socket

  before(() => {
    assert.ok(isMainThread)
    for (const each of [name, other]) execFileSync('ip', ['netns', 'add', each])
    route = nl.open({ protocol: 'route', namespace })
    nft = nl.open({ protocol: 'netfilter', namespace })
  })

  after(() => {
    route?.close()
    nft?.close()
    for (const each of [name, other]) execFileSync('ip', ['netns', 'del', each])
  })

  const index = (link: string): number => route.request(nl.getLink({ name: link })).index
  const refused = (request: nl.Request<unknown>): nl.NetlinkError => {
    const [outcome] = route.batch([request])
    assert.ok(outcome instanceof nl.NetlinkError, 'the kernel took it')
    return outcome
  }
  const bridge = (link: string): number => {
    route.request(nl.newLink({ name: link, kind: 'bridge', up: true }))
    return index(link)
  }

  describe('sockets', () => {
    it('opens in another namespace and leaves this thread in its own', () => {
      const before = own()
      using there = nl.open({ protocol: 'route', namespace: `/run/netns/${other}` })
      assert.equal(own(), before)
      assert.deepEqual(
        there.dump(nl.dumpLinks()).map(link => link.name),
        ['lo'],
      )
    })

    it('says ENOENT for a namespace that is not there, and stays where it is', () => {
      const before = own()
      assert.throws(() => nl.open({ protocol: 'route', namespace: '/run/netns/ts-test-none' }), {
        code: 'ENOENT',
      })
      assert.throws(() => nl.open({ protocol: 'route', namespace: '/dev/null' }), { code: 'EINVAL' })
      assert.equal(own(), before)
    })

    it('leaks no descriptor, also when opening fails', () => {
      const open = () => readdirSync('/proc/self/fd').length
      const before = open()
      for (let i = 0; i < 20; i++) {
        nl.open({ protocol: 'route', namespace }).close()
        assert.throws(() => nl.open({ protocol: 'route', namespace: '/dev/null' }))
        nl.listen({ protocol: 'route', groups: [nl.RTNLGRP.LINK] }).close()
      }
      assert.equal(open(), before)
    })

    it('a worker can move to a namespace for good; it and its children are there, this thread is not', async () => {
      const before = own()
      const code = `
        import { execFileSync } from 'node:child_process'
        import { parentPort } from 'node:worker_threads'
        import { enterNamespace } from '@tsnet/netlink'
        enterNamespace('/run/netns/${other}')
        parentPort.postMessage(execFileSync('ip', ['-o', 'link'], { encoding: 'utf8' }).trim().split('\\n').length)`
      const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(withPath(code))}`))
      assert.deepEqual(await once(worker, 'message'), [1])
      await worker.terminate()
      assert.equal(own(), before)
    })
  })

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
      { name: 'kifb', kind: 'ifb' },
      { name: 'kdummy', kind: 'dummy' },
    ]
    for (const spec of kinds) {
      it(`makes, reads and deletes ${spec.name}`, function () {
        const lower = spec.kind === 'macvlan' ? { link: bridge('klower') } : {}
        const made = route.batch([nl.newLink({ ...spec, ...lower, group: 5 })])[0] as unknown
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
        if (spec.kind === 'macvlan') route.request(nl.delLink({ name: 'klower' }))
      })
    }

    it('gives a veth’s peer what was asked for it, in another namespace too', () => {
      const fd = openSync(`/run/netns/${other}`, 'r')
      const peer = { name: 'far', mtu: 1280, address: '02:00:00:00:00:0a', netNsFd: fd }
      route.request(nl.newLink({ name: 'near', kind: 'veth', data: { peer } }))
      route.request(nl.setLink({ name: 'near', afSpec: { inet6: { addrGenMode: 1 } } }))
      closeSync(fd)
      using there = nl.open({ protocol: 'route', namespace: `/run/netns/${other}` })
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

  describe('refusals', () => {
    it('carry the kernel’s own words and the place in the request', () => {
      const br = bridge('xbr')
      const again = nl.newAddress({ index: br, cidr: '10.8.0.1/24' })
      route.request(again)
      const twice = refused(again)
      assert.deepEqual(
        [twice.code, twice.errno, twice.message],
        ['EEXIST', 17, 'ipv4: Address already assigned'],
      )
      const outOfRange = refused(nl.setLink({ name: 'xbr', mtu: 10 }))
      assert.match(outOfRange.message, /mtu/i)
      const unknown = refused(nl.newLink({ name: 'xvx', kind: 'vxlan', data: { id: 2 ** 24, port: 4792 } }))
      assert.equal(unknown.code, 'ERANGE')
      assert.ok((unknown.offset ?? 0) > 32, 'no offset')
      route.request(nl.delLink({ name: 'xbr' }))
    })
  })

  describe('dumps', () => {
    it('are whole or EINTR while others add and delete, and whole again after', async () => {
      const br = bridge('dbr')
      const cidr = (i: number) => `10.20.${i >> 8}.${i & 255}/32`
      route.batch(Array.from({ length: 600 }, (_, i) => nl.newAddress({ index: br, cidr: cidr(i) })))
      const code = `
        import { parentPort } from 'node:worker_threads'
        import * as nl from '@tsnet/netlink'
        const socket = nl.open({ protocol: 'route', namespace: '${namespace}' })
        const one = { index: ${br}, cidr: '10.21.0.1/32' }
        let going = true
        parentPort.on('message', () => { going = false })
        function churn() {
          for (let i = 0; i < 50; i++) { socket.request(nl.newAddress(one)); socket.request(nl.delAddress(one)) }
          if (going) setImmediate(churn); else parentPort.close()
        }
        parentPort.postMessage('churning')
        churn()`
      const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(withPath(code))}`))
      await once(worker, 'message')
      const whole = () => {
        const found = route.dump(nl.dumpAddresses({ index: br })).map(each => each.local)
        assert.equal(found.filter(each => each?.startsWith('10.20.')).length, 600)
        assert.equal(new Set(found).size, found.length, 'an address was told twice')
      }
      for (let i = 0; i < 50; i++) {
        try {
          whole()
        } catch (error) {
          assert.equal((error as nl.NetlinkError).code, 'EINTR', String(error))
        }
      }
      worker.postMessage('stop')
      await once(worker, 'exit')
      whole()
      route.request(nl.delLink({ name: 'dbr' }))
    })

    it('throw what the kernel refuses: a filter that it does not know', () => {
      assert.throws(() => route.dump(nl.dumpLinks({ mtu: 5 } as never)), {
        code: 'EINVAL',
        message: 'Unsupported attribute in link dump request',
      })
      assert.ok(route.dump(nl.dumpLinks()).length > 0, 'the socket is of no use any more')
    })
  })

  describe('events', () => {
    it('come without polling', async () => {
      using listener = nl.listen({ protocol: 'route', groups: [nl.RTNLGRP.LINK], namespace })
      const names = new Promise<string>(resolve => {
        listener.on('messages', received => {
          for (const { bytes, from, to } of received) resolve(nl.readLink(bytes, from, to).name ?? '')
        })
      })
      route.request(nl.newLink({ name: 'event', kind: 'bridge' }))
      assert.equal(await names, 'event')
      route.request(nl.delLink({ name: 'event' }))
    })

    it('an overrun is told, and listening goes on', async () => {
      using listener = nl.listen({
        protocol: 'route',
        groups: [nl.RTNLGRP.LINK],
        namespace,
        receiveBuffer: 4096,
      })
      const br = bridge('over')
      const overrun = once(listener, 'overrun')
      for (let i = 0; i < 300; i++) route.request(nl.setLink({ index: br, mtu: 1300 + (i % 100) }))
      await overrun
      const next = once(listener, 'messages')
      route.request(nl.delLink({ index: br }))
      await next
    })

    it('of nf_tables name what they are about', async () => {
      using listener = nl.listen({ protocol: 'netfilter', groups: [nl.NFNLGRP.NFTABLES], namespace })
      const told: nl.NftablesEvent[] = []
      const generation = new Promise<void>(resolve => {
        listener.on('messages', received => {
          told.push(...received.map(nl.readNftables))
          if (told.some(event => event.generation)) resolve()
        })
      })
      const t = { family: 1, table: 'told' }
      nft.transaction([nl.newTable({ family: 1, name: 'told' }), nl.newChain({ ...t, name: 'c' })])
      await generation
      const { NEWTABLE, NEWCHAIN, NEWGEN } = nl.NFT_MSG
      assert.deepEqual(
        told.map(event => event.message),
        [NEWTABLE, NEWCHAIN, NEWGEN],
      )
      assert.deepEqual(told[1], { message: NEWCHAIN, ...t, chain: 'c' })
      assert.equal(told[2]?.generation?.processId, process.pid)
      nft.transaction([nl.delTable({ family: 1, name: 'told' })])
    })

    it('a group that is not there is refused', () => {
      assert.throws(() => nl.listen({ protocol: 'route', groups: [100000], namespace }), { code: 'EINVAL' })
    })
  })

  describe('nf_tables', () => {
    const t = { family: nl.NFPROTO.INET, table: 'live' }
    const key = (port: number) => ({ value: Buffer.from([port >> 8, port & 255]) })
    const element = (port: number, last: number) => ({
      key: key(port),
      data: { value: Buffer.from([10, 0, 0, last]) },
    })
    const elements = (set: string) =>
      nft.dump(nl.dumpElements({ ...t, set })).flatMap(part => part.elements ?? [])

    before(() => {
      nft.transaction([
        nl.newTable({ family: t.family, name: t.table }),
        nl.newChain({ ...t, name: 'c0', userdata: Buffer.from('digest') }),
        nl.newSet({
          ...t,
          name: 'ports',
          id: 1,
          flags: nl.NFT_SET.MAP,
          keyType: 13,
          keyLength: 2,
          dataType: 7,
          dataLength: 4,
        }),
        nl.newSet({
          ...t,
          name: 'jumps',
          id: 2,
          flags: nl.NFT_SET.MAP,
          keyType: 13,
          keyLength: 2,
          dataType: 0xffffff00,
          dataLength: 16,
        }),
      ])
    })
    after(() => {
      nft.transaction([nl.delTable({ family: t.family, name: t.table })])
    })

    it('elements of a map, as nft sees them', () => {
      nft.transaction([nl.newElements({ ...t, set: 'ports', elements: [element(80, 1), element(81, 2)] })])
      assert.match(run('nft', 'list', 'map', 'inet', 'live', 'ports'), /80 : 10\.0\.0\.1, 81 : 10\.0\.0\.2/)
      const [one] =
        nft.request(nl.getElement({ ...t, set: 'ports', elements: [{ key: key(81) }] })).elements ?? []
      assert.deepEqual(one?.data?.value, Buffer.from([10, 0, 0, 2]))
      nft.transaction([nl.delElements({ ...t, set: 'ports', elements: [{ key: key(80) }] })])
      assert.deepEqual(
        elements('ports').map(each => each.key?.value),
        [key(81).value],
      )
      nft.transaction([nl.flushSet({ ...t, set: 'ports' })])
      assert.deepEqual(elements('ports'), [])
    })

    it('verdicts', () => {
      const verdict = { code: nl.VERDICT.GOTO, chain: 'c0' }
      nft.transaction([
        nl.newElements({ ...t, set: 'jumps', elements: [{ key: key(1), data: { verdict } }] }),
      ])
      assert.deepEqual(elements('jumps')[0]?.data?.verdict, verdict)
      nft.transaction([nl.flushSet({ ...t, set: 'jumps' })])
    })

    it('chains with userdata and rules that nft made', () => {
      run('nft', 'add', 'rule', 'inet', 'live', 'c0', 'tcp', 'dport', '80', 'counter', 'accept')
      assert.equal(nft.request(nl.getChain({ ...t, name: 'c0' })).userdata?.toString(), 'digest')
      const [rule] = nft.dump(nl.dumpRules({ ...t, chain: 'c0' }))
      assert.deepEqual(
        rule?.expressions?.map(each => each.name),
        ['meta', 'cmp', 'payload', 'cmp', 'counter', 'immediate'],
      )
      nft.transaction([nl.newRule({ ...t, chain: 'c0', expressions: rule?.expressions ?? [] })])
      assert.equal(nft.dump(nl.dumpRules({ ...t, chain: 'c0' })).length, 2)
      nft.transaction([nl.delRule({ ...t, chain: 'c0' })])
      assert.deepEqual(nft.dump(nl.dumpRules({ ...t, chain: 'c0' })), [])
      assert.deepEqual(
        nft.dump(nl.dumpSets(t)).map(set => set.name),
        ['ports', 'jumps'],
      )
    })

    it('a transaction is all or nothing, and names every message at fault', () => {
      const nothing = { ...t, set: 'ports', elements: [{ key: key(9) }] }
      const bad = [
        nl.newElements({ ...t, set: 'ports', elements: [element(90, 1)] }),
        nl.delElements(nothing),
        nl.newElements({ ...t, set: 'ports', elements: [element(91, 1)] }),
        nl.delElements(nothing),
      ]
      assert.throws(
        () => nft.transaction(bad),
        (error: unknown) => {
          assert.ok(error instanceof nl.TransactionError)
          assert.deepEqual([error.code, error.index], ['ENOENT', 1])
          assert.deepEqual(
            error.failures.map(each => [each.code, each.index]),
            [
              ['ENOENT', 1],
              ['ENOENT', 3],
            ],
          )
          return true
        },
      )
      assert.deepEqual(elements('ports'), [])
    })

    it('a transaction on a stale generation is turned down', () => {
      const { id } = nft.request(nl.getGeneration())
      const add = [nl.newElements({ ...t, set: 'ports', elements: [element(70, 1)] })]
      nft.transaction(add, id)
      assert.throws(() => nft.transaction(add, id), { code: 'ERESTART' })
      nft.transaction([nl.flushSet({ ...t, set: 'ports' })])
    })

    it('20000 elements in one transaction, larger than the send buffer, and back', () => {
      const parts = Array.from({ length: 20 }, (_, part) =>
        nl.newElements({
          ...t,
          set: 'ports',
          elements: Array.from({ length: 1000 }, (_, i) => element(part * 1000 + i, 1)),
        }),
      )
      nft.transaction(parts)
      assert.equal(elements('ports').length, 20000)
      nft.transaction([nl.flushSet({ ...t, set: 'ports' })])
    })
  })

  describe('conntrack', () => {
    const insert = (src: string, port: string) =>
      run(
        'conntrack',
        '-I',
        '-p',
        'udp',
        '-s',
        src,
        '-d',
        '10.9.0.2',
        '--sport',
        '1000',
        '--dport',
        port,
        '-t',
        '60',
      )

    it('narrows a dump in the kernel and forgets what was found', () => {
      insert('10.9.0.1', '53')
      insert('10.9.0.1', '54')
      insert('10.9.0.3', '53')
      const filter = { orig: { dst: '10.9.0.2', proto: 17, dstPort: 53 } }
      const found = nft.dump(nl.dumpConntracks(filter))
      assert.deepEqual(found.map(each => each.orig?.ip?.src4).sort(), ['10.9.0.1', '10.9.0.3'])
      assert.deepEqual(nft.batch(found.map(nl.delConntrack)), [undefined, undefined])
      assert.deepEqual(
        nft.dump(nl.dumpConntracks()).map(each => each.orig?.proto?.dstPort),
        [54],
      )
      const anywhere = { family: 2, orig: { proto: 17, dstPort: 54 } }
      assert.equal(nft.dump(nl.dumpConntracks(anywhere)).length, 1)
      assert.equal(nft.dump(nl.dumpConntracks({ ...anywhere, orig: { proto: 17, dstPort: 55 } })).length, 0)
      const flow = { src: '10.9.0.1', dst: '10.9.0.2', proto: 17, srcPort: 1000, dstPort: 54 }
      const one = nft.request(nl.getConntrack(flow))
      nft.request(nl.delConntrack(one))
      assert.deepEqual(nft.batch([nl.delConntrack(one)]).map(code), ['ENOENT'])
    })
  })

  describe('ports', () => {
    it('are taken, by number or by the kernel’s choice, and given back', () => {
      for (const [proto, address] of [
        ['tcp', '0.0.0.0'],
        ['udp', '127.0.0.1'],
        ['tcp', '::'],
        ['udp', '::1'],
      ] as const) {
        route.request(nl.setLink({ name: 'lo', up: true }))
        const taken = nl.bindPort({ proto, address, port: 0, namespace })
        assert.ok(taken.port > 0)
        const again = { proto, address, port: taken.port, namespace }
        assert.throws(() => nl.bindPort(again), { code: 'EADDRINUSE' })
        closeSync(taken.fd)
        closeSync(nl.bindPort(again).fd)
      }
    })

    it('of IPv6 leave IPv4 alone unless told otherwise', () => {
      const six = nl.bindPort({ proto: 'tcp', address: '::', port: 0, namespace })
      closeSync(nl.bindPort({ proto: 'tcp', address: '0.0.0.0', port: six.port, namespace }).fd)
      closeSync(six.fd)
      const both = nl.bindPort({ proto: 'tcp', address: '::', port: 0, v6only: false, namespace })
      assert.throws(() => nl.bindPort({ proto: 'tcp', address: '0.0.0.0', port: both.port, namespace }), {
        code: 'EADDRINUSE',
      })
      closeSync(both.fd)
    })

    it('of an address that is nobody’s are refused', () => {
      assert.throws(() => nl.bindPort({ proto: 'tcp', address: '192.0.2.1', port: 0, namespace }), {
        code: 'EADDRNOTAVAIL',
      })
    })
  })
})

const code = (outcome: unknown): string | undefined =>
  outcome instanceof nl.NetlinkError ? outcome.code : undefined

/** A module in a data: URL has no folder to find packages from. */
const withPath = (source: string): string =>
  source.replaceAll('@tsnet/netlink', import.meta.resolve('@tsnet/netlink'))
