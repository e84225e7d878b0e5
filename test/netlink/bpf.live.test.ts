import assert from 'node:assert/strict'
import { closeSync } from 'node:fs'
import * as nl from '@tsnet/netlink'
import { bridge, code, index, route, run, useNamespaces } from './namespaces.ts'

/** `mov r0, -1; exit`: go on as if there were no filter. */
const idle = Buffer.from('b7000000ffffffff9500000000000000', 'hex')
const spec = { name: 'ts_test', keySize: 8, valueSize: 4, maxEntries: 4 }
const key = (number: number) => Buffer.from([number, 0, 0, 0, 0, 0, 0, 0])
const value = (number: number) => Buffer.from([number, 0, 0, 0])

/** Why bpf(2) can't be tried here. */
function obstacle(): string | undefined {
  try {
    using _ = nl.bpf.BpfMap.create(spec)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}
const reason = obstacle()

;(reason ? describe.skip : describe)(`bpf${reason ? `: ${reason}` : ''}`, () => {
  useNamespaces()

  it('maps keep, replace, list and forget entries', () => {
    using map = nl.bpf.BpfMap.create(spec)
    for (const number of [1, 2, 3]) map.set(key(number), value(number))
    map.set(key(2), value(9))
    assert.deepEqual(map.get(key(2)), value(9))
    assert.deepEqual([...map.entries()].map(each => [each.key[0], each.value[0]]).sort(), [
      [1, 1],
      [2, 9],
      [3, 3],
    ])
    assert.deepEqual([map.delete(key(2)), map.delete(key(2))], [true, false])
    assert.equal(map.get(key(2)), undefined)
  })

  it('maps take, list and forget many at once, more than one call lists', () => {
    using map = nl.bpf.BpfMap.create({ ...spec, maxEntries: 5000 })
    const numbers = Array.from({ length: 3000 }, (_, i) => i)
    const wide = (number: number) => Buffer.from([number & 255, number >> 8, 0, 0, 0, 0, 0, 0])
    map.setAll(Buffer.concat(numbers.map(wide)), Buffer.concat(numbers.map(value)))
    const listed = () => [...map.entries()].map(({ key }) => key.readUInt16LE()).sort((a, b) => a - b)
    assert.deepEqual(listed(), numbers)
    map.deleteAll(Buffer.concat([4000, 1, 2, 4001, 2999].map(wide)))
    assert.deepEqual(
      listed(),
      numbers.filter(each => ![1, 2, 2999].includes(each)),
    )
    const many = Array.from({ length: 6000 }, (_, i) => i)
    assert.throws(() => map.setAll(Buffer.concat(many.map(wide)), Buffer.alloc(24_000)), { code: 'E2BIG' })
  })

  it('maps are found by their number as long as somebody holds them', () => {
    const map = nl.bpf.BpfMap.create(spec)
    map.set(key(1), value(7))
    const second = nl.bpf.BpfMap.open(map.id)
    map[Symbol.dispose]()
    assert.deepEqual([second.id, second.name, second.get(key(1))], [map.id, 'ts_test', value(7)])
    second[Symbol.dispose]()
    assert.throws(() => nl.bpf.BpfMap.open(map.id), { code: 'ENOENT' })
  })

  it('refuses one entry too many, and keys and values of another size', () => {
    using map = nl.bpf.BpfMap.create(spec)
    for (const number of [1, 2, 3, 4]) map.set(key(number), value(number))
    assert.throws(() => map.set(key(5), value(5)), { code: 'E2BIG' })
    assert.throws(() => map.get(value(1)), { code: 'EINVAL' })
    assert.throws(() => map.set(key(1), key(1)), { code: 'EINVAL' })
  })

  it('tells what the verifier found', () => {
    assert.throws(() => nl.bpf.loadProgram('ts_test', idle.subarray(8)), {
      code: 'EACCES',
      message: /R0 !read_ok/,
    })
  })

  it('puts a program into the block of a qdisc, which goes with its last link', () => {
    const block = bridge('bbr')
    route.request(nl.newLink({ name: 'bva', kind: 'veth', data: { peer: { name: 'bvb' } } }))
    const port = index('bva')
    assert.equal(code(route.batch([nl.getIngress(port)])[0]), 'ENOENT')
    route.request(nl.newIngress(port, block))
    const at = { block, priority: 1, handle: 1 }
    const fd = nl.bpf.loadProgram('ts_test', idle)
    route.request(nl.newBpfFilter(at, { fd, name: 'first' }))
    assert.equal(code(route.batch([nl.newBpfFilter(at, { fd, name: 'again' })])[0]), 'EEXIST')
    route.request(nl.replaceBpfFilter(at, { fd, name: 'second' }))
    closeSync(fd)
    assert.equal(route.request(nl.getIngress(port)).ingressBlock, block)
    const [filter] = route.dump(nl.dumpFilters(block)).filter(each => each.handle === 1)
    assert.deepEqual([filter?.priority, filter?.bpf?.name], [1, 'second'])
    assert.match(run('tc', 'filter', 'show', 'block', String(block)), /pref 1 bpf .*second direct-action/)
    route.request(nl.delBpfFilter(at))
    assert.deepEqual(route.dump(nl.dumpFilters(block)), [])
    route.request(nl.delIngress(port))
    assert.ok(route.dump(nl.dumpQdiscs()).every(each => each.kind !== 'ingress'))
  })
})
