import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import type { Kernel, Outcome } from '../../core/faces.ts'
import { line } from '../../core/lines.ts'
import type { ElementRow, LinkRow, Row, Step } from '../../core/rows.ts'
import { type LiveBed, liveBed, obstacle } from './bed.ts'
import { bridge, bridges, forward, open, port, ports } from './contract/rows.ts'
import { adds } from './contract/subject.ts'

const reason = obstacle()

/** Waits until something holds; what the last look threw is thrown in the end. */
async function eventually(look: () => Promise<void> | void, patience = 10_000): Promise<void> {
  for (const end = performance.now() + patience; ; await pause(20)) {
    try {
      return await look()
    } catch (error) {
      if (performance.now() > end) throw error
    }
  }
}

const deletes = (...rows: Row[]): Step[] =>
  rows.map(row => ({ verb: 'delete', row, was: row, reason: 'test' }))
const allOk = (outcomes: Outcome[]) =>
  assert.deepEqual(
    outcomes.filter(outcome => !outcome.ok),
    [],
  )

const endpoint = (i: number): Row[] => [
  { ...port, name: `tsv-${i}`, master: `tsb-${i >> 9}`, peer: { name: `tsc-${i}`, mtu: 1400 } } as LinkRow,
  { kind: 'element', set: 'ports4', key: ['10.1.1.1', 'tcp', String(10000 + i)], value: ['10.77.0.2', '80'] },
]
const ingress: Row = { kind: 'set', name: 'ingress', type: ['ifname'], value: 'verdict' }
const ground: Row[] = [bridges, ports, ingress, open, forward]

;(reason ? describe.skip : describe)(`linux kernel, live${reason ? `: ${reason}` : ''}`, () => {
  let bed: LiveBed
  let kernel: Kernel

  beforeEach(async () => {
    bed = await liveBed()
    kernel = await bed.open()
  })
  afterEach(async () => {
    await kernel.close()
    await bed.dispose()
  })

  const trashed = () =>
    bed.run('ip', '-o', 'link', 'show', 'group', '29812').split('\n').filter(Boolean).length
  const present = async (...rows: Row[]) => (await kernel.read({ owned: false, rows })).map(line)

  /** Counts rings; `rung` waits for one that came after the call. Whoever gets an answer after watch() is heard. */
  async function bell() {
    let rings = 0
    kernel.watch(() => rings++)
    await kernel.read({ owned: false, rows: [] })
    return {
      async rung(cause: () => unknown) {
        const before = rings
        await cause()
        await eventually(() => assert.ok(rings > before, 'nothing rang'))
      },
      /** Nothing rings for `cause` by the time that `later`, which does ring, was heard. */
      async silent(cause: () => unknown, later: () => unknown) {
        const before = rings
        await cause()
        await pause(100)
        assert.equal(rings, before)
        await this.rung(later)
      },
    }
  }

  it('makes a link in our group, without an address of the kernel’s own', async () => {
    allOk(await kernel.apply(adds(bridge, port)))
    const shown = bed.run('ip', '-d', 'link', 'show', 'group', '29811')
    for (const name of ['tsb-1', 'tsv-1', 'tsc-1']) assert.match(shown, new RegExp(` ${name}[:@]`))
    assert.doesNotMatch(bed.run('ip', '-6', 'address', 'show', 'dev', 'tsb-1'), /inet6/)
    assert.match(shown, /forward_delay 0 .*stp_state 0/)
  })

  it('leaves a bridge its MTU and MAC whatever its ports are', async () => {
    allOk(await kernel.apply(adds(bridge)))
    const before = await kernel.read({ owned: false, rows: [bridge] })
    allOk(await kernel.apply(adds({ ...port, mtu: 1280, mac: '02:00:00:00:00:01' })))
    allOk(await kernel.apply(deletes(port)))
    await eventually(() => assert.equal(trashed(), 0))
    assert.deepEqual(await kernel.read({ owned: false, rows: [bridge] }), before)
  })

  it('notices flushed and deleted rules', async () => {
    allOk(await kernel.apply(adds(...ground)))
    for (const change of [
      ['flush', 'chain', 'inet', 'tsnet', 'open'],
      ['add', 'rule', 'inet', 'tsnet', 'open', 'accept'],
      ['insert', 'rule', 'inet', 'tsnet', 'open', 'accept'],
      ['replace', 'rule', 'inet', 'tsnet', 'open', 'handle', 'LAST', 'accept'],
      ['delete', 'rule', 'inet', 'tsnet', 'open', 'handle', 'LAST'],
    ]) {
      const handle =
        /.*# handle (\d+)\n\t}/.exec(bed.run('nft', '-a', 'list', 'chain', 'inet', 'tsnet', 'open'))?.[1] ??
        ''
      bed.run('nft', ...change.map(word => (word === 'LAST' ? handle : word)))
      const [found] = await kernel.read({ owned: false, rows: [open] })
      assert.notDeepEqual(found, open, change.join(' '))
      allOk(await kernel.apply([{ verb: 'set', row: open, was: found as Row, reason: 'test' }]))
      assert.deepEqual(await kernel.read({ owned: false, rows: [open] }), [open])
    }
  })

  it('makes and reads a thousand endpoints', async () => {
    const all = Array.from({ length: 1000 }, (_, i) => endpoint(i))
    allOk(await kernel.apply(adds(...ground, { ...bridge, name: 'tsb-0' }, { ...bridge, name: 'tsb-1' })))
    for (const rows of all) allOk(await kernel.apply(adds(...rows)))
    const rows = await kernel.read({ owned: true, rows: ground })
    assert.equal(rows.length, 2000 + ground.length + 2)
    assert.deepEqual((await present(...(all[999] as Row[]))).length, 2)
  }).timeout(120_000)

  it('deletes a hundred veths in the background', async () => {
    const rows = Array.from({ length: 100 }, (_, i) => endpoint(i)[0] as Row)
    allOk(await kernel.apply(adds({ ...bridge, name: 'tsb-0' }, ...rows)))
    const started = performance.now()
    allOk(await kernel.apply(deletes(...rows)))
    const answered = performance.now() - started
    assert.deepEqual(await present(...rows), [])
    await eventually(() => assert.equal(trashed(), 0))
    assert.ok(answered < 1000, `answered after ${answered} ms`)
    assert.doesNotMatch(bed.run('ip', '-o', 'link'), /tsv-|tsc-/)
  }).timeout(60_000)

  it('empties the trash before it closes', async () => {
    allOk(await kernel.apply(adds(bridge, port)))
    allOk(await kernel.apply(deletes(port, bridge)))
    await kernel.close()
    assert.equal(trashed(), 0)
  })

  it('finishes what a killed daemon left in the trash', async () => {
    const code = `
      import { openKernel } from ${JSON.stringify(new URL('../../kernel/index.ts', import.meta.url).href)}
      const [namespace, steps, gone] = JSON.parse(process.argv[1])
      const kernel = await openKernel({ namespace, log: console.error })
      await kernel.apply(steps)
      await kernel.apply(gone)
      process.stdout.write('done')
      process.kill(process.pid, 'SIGKILL')`
    const rows = [bridge, port]
    const argument = JSON.stringify([bed.path, adds(...rows), deletes(...rows)])
    const daemon = spawn(process.execPath, ['--input-type=module', '-e', code, argument], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [, signal] = await once(daemon, 'exit')
    assert.equal(signal, 'SIGKILL')
    assert.ok(trashed() > 0, 'nothing was left to finish')
    assert.deepEqual(await kernel.read({ owned: true, rows: [] }), [])
    await eventually(() => assert.equal(trashed(), 0))
  })

  it('rings for what others do to ours, not for what we do', async () => {
    const element: ElementRow = { kind: 'element', set: 'bridges', key: ['tsb-1'] }
    const address: Row = { kind: 'address', link: 'tsb-1', address: '10.77.0.1/24' }
    const hear = await bell()
    await hear.silent(
      async () => {
        allOk(await kernel.apply(adds(...ground, bridge, port, element, address)))
        allOk(await kernel.apply(deletes(element, port, address)))
        allOk(await kernel.apply(adds(port, element, address)))
      },
      () => bed.run('nft', 'delete', 'table', 'inet', 'tsnet'),
    )
    allOk(await kernel.apply(adds(...ground)))
    await hear.rung(() => bed.run('nft', 'flush', 'chain', 'inet', 'tsnet', 'open'))
    await hear.rung(() => bed.run('ip', 'address', 'del', '10.77.0.1/24', 'dev', 'tsb-1'))
    await hear.rung(() => bed.run('ip', 'link', 'del', 'tsc-1'))
    await hear.rung(() => bed.run('ip', 'link', 'set', 'tsb-1', 'down'))
    await hear.rung(() => bed.run('ip', 'link', 'del', 'tsb-1'))
    await hear.rung(() => bed.run('ip', 'link', 'add', 'docker0', 'type', 'bridge'))
  })

  it('rings when a firewall beside us comes or loses our rules', async () => {
    const hear = await bell()
    await hear.rung(() => bed.run('iptables-nft', '-A', 'FORWARD', '-j', 'DROP'))
    await hear.rung(() => bed.run('iptables-legacy', '-A', 'FORWARD', '-j', 'DROP'))
    const { accept } = await kernel.facts()
    assert.deepEqual(accept.map(line), ['accept legacy ipv4', 'accept nft ipv4'])
    allOk(await kernel.apply(adds(...accept)))
    assert.equal((await present(...accept)).length, 2)
    await hear.rung(() => bed.run('iptables-nft', '-F', 'FORWARD'))
    await hear.rung(() => bed.run('iptables-legacy', '-F', 'FORWARD'))
    assert.deepEqual(await present(...accept), [])
  })

  it('puts its accepts behind DOCKER-USER and before the rest of Docker', async () => {
    const forwardRules = () => bed.run('iptables-nft', '-S', 'FORWARD').trim().split('\n').slice(1)
    for (const chain of ['DOCKER-USER', 'DOCKER-FORWARD']) {
      bed.run('iptables-nft', '-N', chain)
      bed.run('iptables-nft', '-A', 'FORWARD', '-j', chain)
    }
    const row: Row = { kind: 'accept', backend: 'nft', family: 'ipv4' }
    allOk(await kernel.apply(adds(row)))
    const wanted = [
      '-A FORWARD -j DOCKER-USER',
      '-A FORWARD -m devgroup --src-group 0x7473 -j ACCEPT',
      '-A FORWARD -m devgroup --dst-group 0x7473 -j ACCEPT',
      '-A FORWARD -j DOCKER-FORWARD',
    ]
    assert.deepEqual(forwardRules(), wanted)
    bed.run('iptables-nft', '-D', 'FORWARD', '-j', 'DOCKER-FORWARD')
    bed.run('iptables-nft', '-I', 'FORWARD', '-j', 'DOCKER-FORWARD')
    assert.deepEqual(await present(row), [])
    allOk(await kernel.apply(adds(row)))
    assert.deepEqual(forwardRules(), [wanted[1], wanted[2], wanted[3], wanted[0]])
  })

  it('keeps a host that was no router from becoming one', async () => {
    bed.run('iptables-legacy', '-L', 'FORWARD')
    const row: Row = { kind: 'sysctl', key: 'net/ipv4/ip_forward', value: '1' }
    allOk(await kernel.apply([{ verb: 'set', row, was: { ...row, value: '0' }, reason: 'test' }]))
    assert.equal(bed.run('cat', '/proc/sys/net/ipv4/ip_forward').trim(), '1')
    const { accept } = await kernel.facts()
    assert.match(bed.run('iptables', '-S', 'FORWARD'), /^-P FORWARD DROP/)
    assert.equal((await present(...accept)).length, accept.length)
  })

  it('forgets UDP flows to a port that leads elsewhere', async () => {
    const element: ElementRow = {
      kind: 'element',
      set: 'ports4',
      key: ['127.0.0.1', 'udp', '5300'],
      value: ['127.0.0.2', '53'],
    }
    allOk(await kernel.apply(adds(...ground)))
    const entry = (dst: string, port: string) =>
      bed.run(
        'conntrack',
        '-I',
        '-p',
        'udp',
        '-s',
        '127.0.0.9',
        '-d',
        dst,
        '--sport',
        '999',
        '--dport',
        port,
        '-t',
        '60',
      )
    const list = () =>
      execFileSync(
        'ip',
        ['netns', 'exec', bed.path.split('/').at(-1) as string, 'conntrack', '-L', '-p', 'udp'],
        { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
      )
    entry('127.0.0.1', '5300')
    entry('127.0.0.1', '5301')
    entry('198.51.100.1', '5300')
    allOk(await kernel.apply(adds(element)))
    await eventually(() => assert.doesNotMatch(list(), /dst=127.0.0.1 sport=999 dport=5300/))
    assert.match(list(), /dst=127.0.0.1 sport=999 dport=5301/)
    assert.match(list(), /dst=198.51.100.1 sport=999 dport=5300/)
    assert.deepEqual(bed.logged, [])
  })
})
