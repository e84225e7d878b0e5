import assert from 'node:assert/strict'
import { agreed, type Host, seen, VirtualNetwork } from './virtual.ts'

function cluster(seed: number, size: number, seeds = false): VirtualNetwork {
  const network = new VirtualNetwork(seed)
  for (let i = 0; i < size; i++) {
    const first = network.hosts[0]
    network.add(`n${i}`, seeds && first ? { seeds: [first.endpoint] } : {})
  }
  for (const host of network.hosts.slice(1)) network.join(host, network.hosts[0] as Host)
  network.until('all know all', () => agreed(network), 30_000)
  return network
}

const falseDeaths = (network: VirtualNetwork): number =>
  network.hosts.flatMap(host => seen(host, 'dead')).length

describe('a cluster on a virtual clock', function () {
  this.timeout(120_000)

  it('of 30 nodes knows all of them within 2 s, a death by all within 12 s', () => {
    const network = cluster(1, 30)
    assert.ok(network.now < 2000, `${network.now} ms`)
    network.run(5000)
    network.kill(network.hosts[7] as Host)
    const took = network.until('n7 is dead', () => agreed(network), 15_000)
    assert.ok(took > 4000 && took < 12_000, `${took} ms`)
  })

  it('takes nobody for dead that loses a tenth of the datagrams', () => {
    const network = cluster(2, 12)
    network.loss = 0.1
    network.run(120_000)
    assert.equal(falseDeaths(network), 0)
  })

  for (const length of [10_000, 120_000, 900_000])
    it(`heals a partition of ${length / 1000} s within 8 s`, () => {
      const network = cluster(3, 6)
      const left = new Set(network.hosts.slice(0, 2))
      network.cut = (a, b) => left.has(a) !== left.has(b)
      network.run(length)
      network.cut = () => false
      const took = network.until('all know all', () => agreed(network), 20_000)
      assert.ok(took < 8000, `${took} ms`)
    })

  it('takes back a node that was stopped for 20 s, which takes nobody for dead', () => {
    const network = cluster(4, 6)
    const stopped = network.hosts[2] as Host
    network.pause(stopped)
    network.run(20_000)
    assert.ok(network.hosts.some(host => seen(host, 'dead', 'n2').length))
    network.resume(stopped)
    network.until('all know all', () => agreed(network), 20_000)
    assert.deepEqual(seen(stopped, 'dead'), [])
  })

  it('keeps a node that was stopped for 3 s', () => {
    const network = cluster(5, 6)
    network.pause(network.hosts[2] as Host)
    network.run(3000)
    network.resume(network.hosts[2] as Host)
    network.run(20_000)
    assert.equal(falseDeaths(network), 0)
  })

  it('knows a node again that was killed and started anew', () => {
    const network = cluster(6, 5, true)
    const host = network.hosts[3] as Host
    network.kill(host)
    network.run(1000)
    network.restart(host)
    network.until('all know all', () => agreed(network), 20_000)
    assert.equal(falseDeaths(network), 0)
  })

  it('hears of somebody within 15 s of each of many reboots, at any moment, on machines that take a second to answer a stream', () => {
    const times = Array.from({ length: 60 }, (_, seed) => {
      const network = new VirtualNetwork(1000 + seed)
      const endpoints = [0, 1, 2].map(at => ({ address: `10.0.0.${at}`, port: 7946 }))
      for (const at of [0, 1, 2]) network.add(`n${at}`, { seeds: endpoints })
      network.until('all know all', () => agreed(network), 20_000)
      const host = network.hosts[1] as Host
      network.kill(host)
      // Before they have missed it, and long after.
      network.run(seed % 3 === 0 ? network.random() * 10_000 : 15_000 + network.random() * 60_000)
      network.slowness = seed % 2 === 0 ? 1100 : 0
      network.loss = seed % 5 === 0 ? 0.2 : 0
      network.restart(host)
      return network.until('it knows somebody', () => host.state.members.size > 1, 15_000)
    })
    const quick = times.filter((_, seed) => seed % 2 !== 0)
    assert.ok(Math.max(...quick) < 500, `at once where machines are quick: ${Math.max(...quick)} ms`)
  })

  it('finds itself again after ten minutes in which nobody heard anybody', () => {
    const network = cluster(8, 5, true)
    network.cut = () => true
    network.run(600_000)
    for (const { state } of network.hosts)
      assert.equal([...state.members.values()].filter(({ status }) => status === 'alive').length, 1)
    network.cut = () => false
    network.until('all know all', () => agreed(network), 20_000)
  })

  it('brings a message to everybody, if each that has it for the first time passes it on', () => {
    const network = cluster(7, 30)
    const payload = Buffer.from('hello')
    network.heard = (host, { type }) => {
      if (type === 'user' && seen(host, 'user').length === 1)
        network.input(host, { kind: 'broadcast', payload })
    }
    network.input(network.hosts[0] as Host, { kind: 'broadcast', payload })
    network.until(
      'everybody has it',
      () => network.hosts.slice(1).every(host => seen(host, 'user').length > 0),
      3000,
    )
  })

  const seeds = process.env.SEED ? [Number(process.env.SEED)] : Array.from({ length: 12 }, (_, i) => 100 + i)
  for (const seed of seeds)
    it(`agrees in the end, whatever happened to it (SEED=${seed})`, () => {
      const network = cluster(seed, 3 + (seed % 6), true)
      for (let i = 0; i < 25; i++) {
        disturb(network)
        network.run(network.random() * 10_000)
      }
      calm(network)
      network.until(`agreement with SEED=${seed}`, () => agreed(network), 60_000)
    })
})

function disturb(network: VirtualNetwork): void {
  const { random, hosts } = network
  const host = hosts[Math.floor(random() * hosts.length)] as Host
  const group = new Set(hosts.filter(() => random() < 0.5))
  const chances = [
    () => (host.running ? network.kill(host) : network.restart(host)),
    () => (host.paused ? network.resume(host) : network.pause(host)),
    () => {
      network.loss = random() * 0.4
    },
    () => {
      network.cut = (a, b) => group.has(a) !== group.has(b)
    },
    () => {
      network.cut = () => false
    },
    () => network.input(host, { kind: 'meta', meta: Buffer.from([random() * 256]) }),
  ]
  chances[Math.floor(random() * chances.length)]?.()
}

function calm(network: VirtualNetwork): void {
  network.loss = 0
  network.cut = () => false
  for (const host of network.hosts) {
    if (!host.running) network.restart(host)
    if (host.paused) network.resume(host)
  }
}
