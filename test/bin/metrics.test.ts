import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import type { Host } from '../../bin/host.ts'
import type { Membership } from '../../bin/membership.ts'
import { Metrics } from '../../bin/metrics.ts'
import { Refused } from '../../core/errors.ts'
import type { Method } from '../../core/methods.ts'
import type { Endpoint, Network } from '../../core/records.ts'
import { FakeKernel, World } from '../../kernel/fake.ts'
import { memoryStore } from '../../store/memory.ts'

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

describe('metrics', () => {
  const store = memoryStore()
  const members = [{ state: 'self' }, { state: 'alive' }, { state: 'dead' }]
  const cluster = {
    hosts: { list: () => members },
    elsewhere: () => [1, 2, 3],
    status: () => ({ complete: true }),
    contests: () => [],
  }
  const metrics = new Metrics()
  let served: { close(): Promise<void> }
  let url: string

  before(async () => {
    await store.write([
      { table: 'network', id: 'n', value: { id: 'n', mode: 'bridge' } as Network },
      { table: 'endpoint', id: 'e', value: { id: 'e', network: 'n' } as Endpoint },
    ])
    const at = `127.0.0.1:${await freePort()}`
    url = `http://${at}/metrics`
    served = await metrics.serve(at, { store } as Host, { cluster } as unknown as Membership)
  })
  after(() => served?.close())

  const lines = async () => (await (await fetch(url)).text()).split('\n')
  const has = async (...wanted: string[]) => {
    const all = await lines()
    for (const each of wanted) assert.ok(all.includes(each), `${each}\n${all.join('\n')}`)
  }

  it('tell what is there now', async () => {
    await has('tsnet_networks{mode="bridge"} 1', 'tsnet_endpoints{place="elsewhere"} 3')
    await has('tsnet_members{state="alive"} 1', 'tsnet_members{state="lost"} 0', 'tsnet_complete 1')
    members.push({ state: 'alive' })
    await has('tsnet_members{state="alive"} 2', 'tsnet_damaged 0')
  })

  it('count requests by how they ended', async () => {
    const methods = metrics.measured({
      Well: { run: () => ({ fine: true }) },
      Wrong: { run: () => Promise.reject(new Refused('no')) },
      Broken: { run: () => Promise.reject(new Error('oh')) },
    })
    const run = (name: string) => (methods[name] as Method).run(undefined)
    assert.deepEqual(await run('Well'), { fine: true })
    await assert.rejects(Promise.resolve(run('Wrong')), Refused)
    await assert.rejects(Promise.resolve(run('Broken')), /oh/)
    for (const [method, outcome] of [
      ['Well', 'done'],
      ['Wrong', 'refused'],
      ['Broken', 'failed'],
    ])
      await has(`tsnet_request_seconds_count{method="${method}",outcome="${outcome}"} 1`)
  })

  it('count what is done in the kernel, and leave the kernel as it is', async () => {
    const kernel = metrics.metered(new FakeKernel(new World()))
    const row = { kind: 'link', name: 'tsb-1', type: 'bridge', up: true } as const
    const bad = { kind: 'address', link: 'tsb-9', address: '10.0.0.1/24' } as const
    const outcomes = await kernel.apply([row, bad].map(row => ({ verb: 'add', row, reason: 'test' })))
    assert.deepEqual(
      outcomes.map(({ ok }) => ok),
      [true, false],
    )
    assert.equal((await kernel.read({ owned: true, rows: [] })).length, 1)
    assert.deepEqual((await kernel.facts()).ephemeral, [32768, 60999])
    await has(
      'tsnet_kernel_steps_total{kind="link",verb="add",outcome="done"} 1',
      'tsnet_kernel_steps_total{kind="address",verb="add",outcome="failed"} 1',
      'tsnet_kernel_seconds_count{call="read"} 1',
    )
  })

  it('are told in docs/operator.md, and nothing else is served', async () => {
    const docs = readFileSync(join(resolve(import.meta.dirname, '../..'), 'docs/operator.md'), 'utf8')
    const names = (await lines()).flatMap(each => /^# TYPE (\S+)/.exec(each)?.[1] ?? [])
    assert.ok(names.length > 10)
    for (const name of names) assert.ok(docs.includes(name), name)
    assert.equal((await fetch(url.replace('metrics', 'secrets'))).status, 404)
  })

  it('want an address', async () => {
    await assert.rejects(metrics.serve('here', { store } as Host, {} as Membership), /TSNET_METRICS/)
  })
})
