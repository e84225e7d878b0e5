import assert from 'node:assert/strict'
import * as nl from '@tsnet/netlink'
import { code, nft, run, useNamespaces } from './namespaces.ts'

describe('nfnetlink in this machine’s kernel', () => {
  useNamespaces()

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
})
