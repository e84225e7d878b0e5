import assert from 'node:assert/strict'
import { once } from 'node:events'
import { closeSync, readdirSync, readlinkSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import * as nl from '@tsnet/netlink'
import {
  bridge,
  moduleUrl,
  namespace,
  nft,
  otherNamespace,
  refused,
  route,
  useNamespaces,
} from './namespaces.ts'

const own = () => readlinkSync('/proc/thread-self/ns/net')

describe('sockets in this machine’s kernel', () => {
  useNamespaces()

  describe('sockets', () => {
    it('opens in another namespace and leaves this thread in its own', () => {
      const before = own()
      using there = nl.open({ protocol: 'route', namespace: otherNamespace })
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
        enterNamespace('${otherNamespace}')
        parentPort.postMessage(execFileSync('ip', ['-o', 'link'], { encoding: 'utf8' }).trim().split('\\n').length)`
      const worker = new Worker(moduleUrl(code))
      assert.deepEqual(await once(worker, 'message'), [1])
      await worker.terminate()
      assert.equal(own(), before)
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
      const worker = new Worker(moduleUrl(code))
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
