import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Refused } from '../../core/errors.ts'
import { formatAddress, parseAddress } from '../../ipam/prefix.ts'
import { type Host, Hosts } from './hosts.ts'

const blockOf = (address: string) =>
  `${address.slice(0, address.lastIndexOf('.'))}.${Number(address.split('.')[3]) >> 4}`

describe('addresses that hosts share', () => {
  it('come from blocks of one host each, and the gateway is the same on all', async () => {
    const hosts = await new Hosts(3).boot()
    await hosts.run(1000)
    await hosts.answers(hosts.all.map(host => host.create()))
    const starts = hosts.all.flatMap(host => Array.from({ length: 20 }, () => host.start()))
    const addresses = await hosts.answers(starts)
    assert.equal(new Set(addresses).size, 60)
    for (const host of hosts.all) {
      assert.equal(host.store.records.networks.get('net')?.ipv4[0]?.gateway, '10.90.0.1/24')
      assert.equal(host.running.has('10.90.0.1'), false)
    }
    const blocks = hosts.all.map(({ running }) => new Set([...running].map(blockOf)))
    const all = blocks.flatMap(each => [...each])
    assert.equal(new Set(all).size, all.length)
  })

  it('are told of when their blocks may be another’s, and not each time that tables are compared', async () => {
    const hosts = await new Hosts(3).boot()
    await hosts.run(1000)
    await hosts.answers(hosts.all.map(host => host.create()))
    await hosts.answers(hosts.all.map(host => host.start()))
    await hosts.run(3000)
    const before = hosts.all.map(({ told }) => told)
    await hosts.run(10_000)
    assert.deepEqual(
      hosts.all.map(({ told }) => told),
      before,
    )
    for (const { ways } of hosts.all) assert.equal(new Set(ways.values()).size, 2)
  })

  it('come at once to a host that is alone', async () => {
    const hosts = await new Hosts(1).boot()
    await hosts.answers([hosts.at(0).create()])
    assert.deepEqual(await hosts.answers([hosts.at(0).start()]), ['10.90.0.2'])
  })

  it('can be asked for when they lie in own blocks', async () => {
    const hosts = await new Hosts(2).boot()
    await hosts.run(1000)
    await hosts.answers([hosts.at(0).create()])
    await hosts.answers([hosts.at(0).start()])
    assert.deepEqual(await hosts.answers([hosts.at(0).start('10.90.0.9')]), ['10.90.0.9'])
    await assert.rejects(hosts.answers([hosts.at(0).start('10.90.0.200')]), (error: Error) => {
      assert.ok(error instanceof Refused)
      assert.match(error.message, /10\.90\.0\.200 is not this host's to give.*10\.90\.0\.0\/28/)
      return true
    })
  })

  it('stay where they were when a daemon restarts', async () => {
    const hosts = await new Hosts(2).boot()
    await hosts.run(1000)
    await hosts.answers(hosts.all.map(host => host.create()))
    await hosts.answers(hosts.all.map(host => host.start()))
    const [a, b] = [hosts.at(0), hosts.at(1)]
    a.stop(false)
    await hosts.run(500)
    await a.boot()
    const more = await hosts.answers([a, b].flatMap(host => Array.from({ length: 13 }, () => host.start())))
    assert.equal(new Set([...more, ...a.running, ...b.running]).size, 28)
    assert.equal(hosts.duplicate, '')
  })

  it('are given by nobody as long as a host that is known has not voted', async () => {
    const hosts = await new Hosts(3, { patience: 30 }).boot()
    await hosts.run(3000)
    for (const { node } of hosts.all) node.part = node === hosts.at(0).node ? 1 : 0
    await hosts.answers(hosts.all.map(host => host.create()))
    for (const host of hosts.all)
      await assert.rejects(host.start(), /no address of 10\.90\.0\.0\/24 can be given here yet/)
    for (const { node } of hosts.all) node.part = 0
    await hosts.run(5000)
    await hosts.answers(hosts.all.map(host => host.start()))
    assert.equal(hosts.duplicate, '')
  })

  it('start on during a partition', async () => {
    const hosts = await new Hosts(3).boot()
    await hosts.run(1000)
    await hosts.answers(hosts.all.map(host => host.create()))
    await hosts.answers(hosts.all.map(host => host.start()))
    hosts.all.forEach(({ node }, part) => {
      node.part = part
    })
    await hosts.answers(hosts.all.flatMap(host => [host.start(), host.start(), host.start()]))
    assert.equal(hosts.duplicate, '')
  })

  it('go on at a host whose daemon restarts while nobody else is there', async () => {
    const hosts = await new Hosts(2).boot()
    const [a, b] = [hosts.at(0), hosts.at(1)]
    await hosts.run(1000)
    await hosts.answers(hosts.all.map(host => host.create()))
    await hosts.answers(hosts.all.map(host => host.start()))
    b.stop(true)
    a.stop(false)
    await a.boot()
    await hosts.answers([a.start(), a.start()])
    assert.equal(a.running.size, 3)
  })

  it('are never given twice, whatever happens to hosts', async function () {
    this.timeout(240_000)
    const number = fc.nat({ max: 9 })
    const event = fc.oneof(
      { weight: 2, arbitrary: fc.record({ what: fc.constant('create' as const), host: number }) },
      { weight: 6, arbitrary: fc.record({ what: fc.constant('start' as const), host: number }) },
      { weight: 2, arbitrary: fc.record({ what: fc.constant('end' as const), host: number }) },
      { weight: 1, arbitrary: fc.record({ what: fc.constantFrom('kill', 'crash'), host: number }) },
      { weight: 2, arbitrary: fc.record({ what: fc.constant('boot' as const), host: number }) },
      { weight: 1, arbitrary: fc.record({ what: fc.constantFrom('part', 'heal'), host: number }) },
      { weight: 4, arbitrary: fc.record({ what: fc.constantFrom('moment', 'while'), host: number }) },
    )
    let given = 0
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 2, max: 4 }),
        fc.nat(),
        fc.array(event, { minLength: 10, maxLength: 40 }),
        async (count, seed, events) => {
          const hosts = new Hosts(count, { patience: 30, seed })
          const going: Promise<unknown>[] = []
          const go = (work: Promise<unknown>) => going.push(work.catch(() => {}))
          for (const host of hosts.all) go(host.boot())
          for (const { what, host: number } of events) {
            const host = hosts.at(number)
            if (what === 'part') host.node.part = 1
            else if (what === 'heal') for (const { node } of hosts.all) node.part = 0
            else if (what === 'moment') await hosts.run(30)
            else if (what === 'while') await hosts.run(1500)
            else happen(what, host, go)
            assert.equal(hosts.duplicate, '')
            noRings(hosts)
          }
          for (const { node } of hosts.all) node.part = 0
          for (const host of hosts.all) if (!host.node.up) go(host.boot())
          await hosts.run(3000)
          for (const host of hosts.all) if (host.hasNetwork) for (let n = 0; n < 5; n++) go(host.start())
          await hosts.run(1000)
          await Promise.all(going)
          for (const { running } of hosts.all) given += running.size
          assert.equal(hosts.duplicate, '')
          await hosts.run(3000)
          for (const host of hosts.all)
            for (const address of host.running)
              for (const from of hosts.all) assert.equal(hosts.passes(address, from).at(-1), host, address)
        },
      ),
      { numRuns: 60 },
    )
    assert.ok(given > 300, `only ${given} containers ran`)
  })
})

/** Two hosts never send a packet to each other, whatever each of them has heard. */
function noRings(hosts: Hosts): void {
  const { value } = parseAddress('10.90.0.0') ?? assert.fail()
  for (const from of hosts.all)
    for (let block = 0n; block < 16n; block++) {
      const path = hosts.passes(formatAddress(4, value + block * 16n + 7n), from)
      assert.equal(new Set(path).size, path.length, path.map(({ node }) => node.id).join(' '))
    }
}

function happen(what: string, host: Host, go: (work: Promise<unknown>) => void): void {
  if (what === 'boot') {
    if (!host.node.up) go(host.boot())
  } else if (!host.node.up) return
  else if (what === 'create') go(host.create())
  else if (what === 'start' && host.hasNetwork) go(host.start())
  else if (what === 'end') for (const address of [...host.running].slice(0, 1)) go(host.end(address))
  else if (what !== 'start') host.stop(what === 'crash')
}
