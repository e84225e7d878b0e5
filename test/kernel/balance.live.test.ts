import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Kernel } from '../../core/faces.ts'
import { until } from '../bed/until.ts'
import { type LiveBed, liveBed, obstacle } from './bed.ts'

const reason = obstacle()

;(reason ? describe.skip : describe)(`virtual addresses${reason ? `: ${reason}` : ''}`, function () {
  this.timeout(60_000)
  const [web, other] = ['10.91.0.2', '10.91.0.9']
  const tasks = ['10.91.0.3', '10.91.0.4', '10.91.0.5']
  const listeners: ChildProcess[] = []
  let bed: LiveBed
  let kernel: Kernel
  let namespace: string

  const inside = (...argv: string[]) =>
    execFileSync('nsenter', [`--net=${namespace}`, ...argv], { encoding: 'utf8', stdio: 'pipe' })
  const ask = (address: string) => inside('socat', '-u', `TCP:${address}:700,connect-timeout=1`, 'STDOUT')
  const tables = () => inside('nft', 'list', 'tables')

  before(async () => {
    bed = await liveBed()
    kernel = await bed.open()
    namespace = await bed.container()
    inside('ip', 'link', 'set', 'lo', 'up')
    for (const each of tasks) {
      inside('ip', 'address', 'add', `${each}/32`, 'dev', 'lo')
      const serve = ['socat', `TCP-LISTEN:700,bind=${each},fork,reuseaddr`, `SYSTEM:echo -n ${each}`]
      listeners.push(spawn('setpriv', ['--pdeathsig=KILL', 'nsenter', `--net=${namespace}`, ...serve]))
      await until('a listener', async () => inside('ss', '-Hlt', `src ${each}:700`) !== '')
    }
    inside('ip', 'route', 'add', '10.91.0.0/16', 'dev', 'lo')
  })
  after(async () => {
    for (const each of listeners) each.kill('SIGKILL')
    await kernel?.close()
    await bed?.dispose()
  })

  it('lead to their backends in turn, each to its own', async () => {
    await kernel.balance(namespace, [
      { address: web, backends: tasks },
      { address: other, backends: tasks.slice(0, 1) },
    ])
    const answers = tasks.concat(tasks).map(() => ask(web))
    assert.deepEqual(answers.toSorted(), tasks.concat(tasks).toSorted())
    assert.deepEqual([ask(other), ask(other)], [tasks[0], tasks[0]])
  })

  it('are shown by nft, which lives', () => {
    const [first, second, third] = tasks
    assert.match(
      inside('nft', 'list', 'table', 'ip', 'tsnet'),
      new RegExp(
        `ip daddr ${web} dnat to numgen inc mod 3 map \\{ 0 : ${first}, 1 : ${second}, 2 : ${third} \\}`,
      ),
    )
  })

  it('lead elsewhere from one moment to the next', async () => {
    await kernel.balance(namespace, [{ address: web, backends: tasks.slice(2) }])
    assert.deepEqual([ask(web), ask(web)], [tasks[2], tasks[2]])
    assert.throws(() => ask(other))
  })

  it('leave nothing when there are none, and nothing but them is touched', async () => {
    inside('nft', 'add', 'table', 'ip', 'own')
    for (const backends of [[], undefined])
      await kernel.balance(namespace, backends ? [{ address: web, backends }] : [])
    assert.equal(tables().trim(), 'table ip own')
  })

  it('of a container that is gone, or whose namespace isn’t where Docker is to put it, are nobody’s, and the kernel’s thread is at home again', async () => {
    const all = [{ address: web, backends: tasks }]
    assert.equal(await kernel.balance('/run/netns/ts-nobody', all), false)
    const file = join(await mkdtemp(join(tmpdir(), 'tsnet-')), 'namespace')
    await writeFile(file, '')
    assert.equal(await kernel.balance(file, all), false)
    await rm(dirname(file), { recursive: true })
    assert.equal(await kernel.balance(namespace, []), true)
    await assert.rejects(kernel.balance(namespace, [{ address: 'nonsense', backends: tasks }]))
    bed.run('nft', 'add', 'table', 'ip', 'home')
    assert.doesNotMatch(tables(), /home/)
    const row = { kind: 'link', name: 'tsb-home', type: 'bridge', up: true } as const
    await kernel.apply([{ verb: 'add', row, reason: 'test' }])
    assert.ok(await bed.hasLink('tsb-home'))
  })
})
