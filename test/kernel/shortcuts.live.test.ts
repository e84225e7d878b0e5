import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { text } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'
import { diff } from '../../core/diff.ts'
import type { Kernel } from '../../core/faces.ts'
import { line, stepLine } from '../../core/lines.ts'
import type { LinkRow, Row, ShortcutRow, Step } from '../../core/rows.ts'
import { must } from '../../modes/firewall.ts'
import { type LiveBed, liveBed, obstacle } from './bed.ts'
import { adds } from './contract/subject.ts'

const reason = obstacle()
const MB = 1 << 20

/** A container: a namespace behind an endpoint's veth. */
type Container = { namespace: string; number: number; network: number }

const mac = (number: number) => `02:42:0a:4d:00:${String(number).padStart(2, '0')}`
const bridge = (network: number): LinkRow => ({
  kind: 'link',
  name: `tsb-${network}`,
  type: 'bridge',
  up: true,
})
const link = (network: number, number: number) => `${network}${number}`
const port = (network: number, number: number): LinkRow => ({
  kind: 'link',
  name: `tsv-${link(network, number)}`,
  type: 'veth',
  up: true,
  master: `tsb-${network}`,
  hairpin: false,
  isolated: false,
  peer: { name: `tsc-${link(network, number)}`, mac: mac(number) },
})
const shortcut = (network: number, number: number): ShortcutRow => ({
  kind: 'shortcut',
  link: `tsv-${link(network, number)}`,
  bridge: `tsb-${network}`,
  mac: mac(number),
})

/** Waits for something to hold. */
async function until(look: () => boolean, patience = 20_000): Promise<void> {
  for (const end = performance.now() + patience; !look(); await pause(20))
    assert.ok(performance.now() < end, `never held: ${look}`)
}

;(reason ? describe.skip : describe)(`shortcuts${reason ? `: ${reason}` : ''}`, function () {
  this.timeout(60_000)
  let bed: LiveBed
  let kernel: Kernel
  let namespaces: string[]

  beforeEach(async function () {
    bed = await liveBed()
    kernel = await bed.open()
    namespaces = []
    if (!(await kernel.facts()).shortcut) this.skip()
    await apply(adds(bridge(1), bridge(2)))
    for (const each of ['1', '2']) bed.run('ip', 'address', 'add', `10.77.${each}.1/24`, 'dev', `tsb-${each}`)
  })
  afterEach(async () => {
    for (const each of namespaces) execFileSync('ip', ['netns', 'del', each])
    await kernel.close()
    await bed.dispose()
  })

  async function apply(steps: Step[]): Promise<void> {
    const outcomes = await kernel.apply(steps)
    assert.deepEqual(
      outcomes.filter(outcome => !outcome.ok),
      [],
    )
  }
  const deletes = (...rows: Row[]): Step[] =>
    rows.map(row => ({ verb: 'delete', row, was: row, reason: 'test' }))
  const owned = async () =>
    (await kernel.read({ owned: true, rows: [] })).filter(({ kind }) => kind === 'shortcut').map(line)

  const inside = ({ namespace }: Container, ...argv: string[]) =>
    execFileSync('ip', ['netns', 'exec', namespace, ...argv], { encoding: 'utf8', stdio: 'pipe' })

  /** Makes an endpoint and moves its other end into a namespace of its own, as libnetwork does. */
  async function start(network: number, number: number, ...rows: Row[]): Promise<Container> {
    await apply(adds(port(network, number), ...rows))
    const namespace = `${bed.path.replace('/run/netns/', '')}-${link(network, number)}-${namespaces.length}`
    execFileSync('ip', ['netns', 'add', namespace])
    namespaces.push(namespace)
    const peer = `tsc-${link(network, number)}`
    bed.run('ip', 'link', 'set', peer, 'netns', namespace)
    const container = { namespace, number, network }
    inside(container, 'sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1')
    inside(container, 'ip', 'link', 'set', peer, 'name', 'eth0')
    inside(container, 'ip', 'address', 'add', `10.77.${network}.${number}/24`, 'dev', 'eth0')
    inside(container, 'ip', 'link', 'set', 'eth0', 'up')
    return container
  }
  const linked = (network: number, number: number) => start(network, number, shortcut(network, number))

  const address = ({ network, number }: Container) => `10.77.${network}.${number}`
  function reaches(from: Container, to: string): boolean {
    try {
      return inside(from, 'busybox', 'ping', '-c', '1', '-W', '1', to).includes(' 0% packet loss')
    } catch {
      return false
    }
  }

  /** The machine may stand still for a second: one lost answer says nothing. */
  const reached = (from: Container, to: string) => until(() => reaches(from, to))

  /** Bytes that a link of the host has sent to its container by way of the bridge. */
  function bridged({ network, number }: Container): number {
    const text = bed.run('ip', '-j', '-s', 'link', 'show', `tsv-${link(network, number)}`)
    return JSON.parse(text)[0].stats64.tx.bytes
  }

  /** Sends so many random bytes over TCP; answers whether they arrived as they were. */
  async function transfer(from: Container, to: Container, size: number): Promise<boolean> {
    const content = randomBytes(size)
    const nc = ({ namespace }: Container, ...words: string[]) =>
      spawn('ip', ['netns', 'exec', namespace, 'busybox', 'nc', ...words], {
        stdio: ['pipe', 'pipe', 'inherit'],
      })
    const listening = nc(to, '-l', '-p', '700')
    const received = text(listening.stdout.setEncoding('latin1'))
    await until(() => inside(to, 'ss', '-Hlt', 'sport = 700') !== '')
    const sending = nc(from, address(to), '700')
    sending.stdin.end(content)
    const arrived = await received
    for (const each of [listening, sending]) each.kill()
    return arrived === content.toString('latin1')
  }

  it('carry what containers of a network send each other, both ways, past the bridge', async () => {
    const [one, two] = [await linked(1, 2), await linked(1, 3)]
    for (const [from, to] of [
      [one, two],
      [two, one],
    ] as const) {
      const before = [bridged(one), bridged(two)]
      assert.ok(await transfer(from, to, 16 * MB))
      const grown = [bridged(one), bridged(two)].map((now, i) => now - (before[i] as number))
      assert.ok(Math.max(...grown) < 10_000, `${grown} bytes went over the bridge`)
    }
  })

  it('leave the gateway, broadcasts and containers without one to the bridge', async () => {
    const [one, two, plain] = [await linked(1, 2), await linked(1, 3), await start(1, 4)]
    await reached(one, '10.77.1.1')
    await reached(one, address(plain))
    await reached(plain, address(two))
    const before = bridged(plain)
    assert.ok(await transfer(one, plain, MB))
    assert.ok(bridged(plain) - before > MB)
  })

  it('leave tagged frames to the bridge', async function () {
    const ends = [await linked(1, 2), await linked(1, 3)] as const
    for (const end of ends) {
      try {
        inside(end, ...'ip link add link eth0 name tag up type vlan id 5'.split(' '))
      } catch (error) {
        if (/Unknown device type/.test(String((error as { stderr?: unknown }).stderr))) return this.skip()
        throw error
      }
      inside(end, 'ip', 'address', 'add', `10.78.0.${end.number}/24`, 'dev', 'tag')
    }
    const before = bridged(ends[1])
    await reached(ends[0], '10.78.0.3')
    assert.ok(bridged(ends[1]) > before)
  })

  it('keep networks apart that have the same MACs', async () => {
    const [one, two] = [await linked(1, 2), await linked(1, 3)]
    const [other, another] = [await linked(2, 2), await linked(2, 3)]
    const received = (container: Container) =>
      JSON.parse(inside(container, 'ip', '-j', '-s', 'link', 'show', 'eth0'))[0].stats64.rx.bytes
    const before = received(another)
    assert.ok(await transfer(one, two, MB))
    assert.ok(received(another) - before < 10_000)
    assert.ok(await transfer(other, another, MB))
    assert.ok(received(another) - before > MB)
  })

  it('fit ends of different size', async () => {
    const [one, two] = [await linked(1, 2), await linked(1, 3)]
    inside(two, 'ip', 'link', 'set', 'eth0', 'mtu', '1400')
    assert.ok(await transfer(one, two, MB))
    assert.ok(await transfer(two, one, MB))
  })

  it('follow a container that goes and comes back with its MAC', async () => {
    const [one, two] = [await linked(1, 2), await linked(1, 3)]
    await reached(one, address(two))
    await apply(deletes(shortcut(1, 3), port(1, 3)))
    assert.deepEqual(await owned(), [line(shortcut(1, 2))])
    assert.ok(!reaches(one, address(two)))
    await reached(one, '10.77.1.1')
    await reached(one, address(await linked(1, 3)))
  })

  it('forget a container that died', async () => {
    const [one, two] = [await linked(1, 2), await linked(1, 3)]
    await reached(one, address(two))
    bed.run('ip', 'link', 'del', 'tsv-13')
    assert.ok(!reaches(one, address(two)))
    assert.deepEqual(await owned(), [line(shortcut(1, 2))])
    // The bridge has to do, and is not kept from it by a stale entry.
    await reached(one, address(await start(1, 3)))
  })

  it('wait while the container’s end is down', async () => {
    const [one, two] = [await linked(1, 2), await linked(1, 3)]
    inside(two, 'ip', 'link', 'set', 'eth0', 'down')
    assert.ok(!reaches(one, address(two)))
    inside(two, 'ip', 'link', 'set', 'eth0', 'up')
    await reached(one, address(two))
  })

  it('lead to no container whose port doesn’t forward yet: it would ask in vain who is asking', async () => {
    const [one, two] = [await linked(1, 2), await linked(1, 3)]
    inside(one, 'ip', 'neighbour', 'replace', address(two), 'lladdr', mac(3), 'dev', 'eth0')
    bed.run('bridge', 'link', 'set', 'dev', 'tsv-13', 'state', 'disabled')
    assert.ok(!reaches(one, address(two)))
    assert.equal(inside(two, 'ip', '-4', 'neighbour', 'show'), '')
    bed.run('bridge', 'link', 'set', 'dev', 'tsv-13', 'state', 'forwarding')
    await reached(one, address(two))
    const before = bridged(two)
    assert.ok(await transfer(one, two, MB))
    assert.ok(bridged(two) - before < 10_000)
  })

  it('are found by the next daemon, which changes nothing', async () => {
    const [one, two] = [await linked(1, 2), await linked(1, 3)]
    const wanted = [shortcut(1, 2), shortcut(1, 3)]
    const filters = () => bed.run('tc', 'qdisc', 'show', 'ingress')
    const before = filters()
    await kernel.close()
    assert.ok(await transfer(one, two, MB))
    kernel = await bed.open()
    for (const owned of [false, true]) {
      const present = await kernel.read({ owned, rows: wanted })
      const steps = diff(wanted.map(must), present).map(stepLine)
      assert.deepEqual(
        steps.filter(each => each.includes('shortcut')),
        [],
      )
    }
    assert.equal(filters(), before)
    const three = await linked(1, 4)
    await reached(one, address(three))
    assert.ok(await transfer(three, two, MB))
    assert.ok(bridged(two) < MB)
  })

  it('are put right when somebody took their parts away', async () => {
    const [one, two] = [await linked(1, 2), await linked(1, 3)]
    const wanted = [shortcut(1, 2), shortcut(1, 3)].map(must)
    const settle = async () => {
      const present = await kernel.read({ owned: false, rows: wanted.map(({ row }) => row) })
      const steps = diff(wanted, present)
      await apply(steps)
      return steps.length
    }
    const block = /ingress_block (\d+)/.exec(bed.run('tc', 'qdisc', 'show', 'dev', 'tsv-12'))?.[1] ?? ''
    for (const [words, repairs] of [
      [`qdisc del dev tsv-12 ingress`, 1],
      [`filter del block ${block}`, 2],
    ] as const) {
      bed.run('tc', ...words.split(' '))
      assert.ok(await transfer(one, two, MB), 'the bridge does it meanwhile')
      assert.equal(await settle(), repairs)
      assert.equal(await settle(), 0)
      const before = bridged(two)
      assert.ok(await transfer(one, two, MB))
      assert.ok(bridged(two) - before < 10_000)
    }
  })
})
