import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { until } from '../bed/until.ts'
import { Node, type Sandbox, shim } from './node.ts'
import { type Answer, Plugin, subject } from './runtime.ts'

const config = {
  cniVersion: '1.0.0',
  name: 'pods',
  type: 'tsnet-cni',
  ipam: { type: 'tsnet', ranges: [{ subnet: '10.93.0.0/16' }, { subnet: 'fd00:93::/64' }] },
}

/** How many ADDs and DELs a storm has. */
const STORM = Number(process.env.TSNET_STORM ?? 600)
const KILLS = Number(process.env.TSNET_KILLS ?? 25)

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip

describeAsRoot('cni: faults', function () {
  this.timeout(180_000)
  let node: Node
  let plugin: Plugin
  let clean: object
  before(async () => {
    node = await Node.up('faults')
    plugin = new Plugin(shim, config, node.namespace, node.env)
    // The network stays once it is there, as a bridge of the reference plugin does.
    const first = await node.sandbox()
    assert.equal((await plugin.add(first)).code, 0)
    assert.equal((await plugin.del(first)).code, 0)
    clean = await atRest()
  })
  after(() => node?.dispose())

  async function atRest(): Promise<object> {
    await until('links to be gone', async () => (await node.departing()).length === 0)
    return node.traces()
  }

  const nothingLeft = () =>
    until(
      'nothing to be left',
      async () => {
        assert.deepEqual(await atRest(), clean)
        return true
      },
      { deadline: 30_000, every: 200 },
    )

  const publishing = (i: number) =>
    plugin.with({
      runtimeConfig: { portMappings: [{ hostPort: 20000 + i, containerPort: 80, protocol: 'tcp' }] },
    })

  it('hundreds of ADD and DEL in parallel leave nothing', async () => {
    const pods = await Promise.all(Array.from({ length: 12 }, () => node.sandbox()))
    const addresses = new Map<string, string>()
    const one = async (pod: Sandbox, i: number) => {
      for (let round = 0; round < STORM / 2 / pods.length; round++) {
        const env = { CNI_CONTAINERID: `${pod.id}-${round}` }
        const added = await publishing(i).add(pod, env)
        assert.equal(added.code, 0, added.stdout)
        for (const { address } of added.json.ips) {
          assert.equal(addresses.get(address), undefined, `${address} was given twice`)
          addresses.set(address, pod.id)
        }
        for (const { address } of added.json.ips) addresses.delete(address)
        const deleted = await publishing(i).del(pod, env, added.json)
        assert.equal(deleted.code, 0, deleted.stdout)
      }
    }
    await Promise.all(pods.map(one))
    await nothingLeft()
  })

  it('a daemon killed at any moment leaves nothing once the runtime has sent its DELs', async () => {
    const pods = await Promise.all(Array.from({ length: 4 }, () => node.sandbox()))
    for (let kill = 0; kill < KILLS; kill++) {
      const calls = pods.map((pod, i) => publishing(i).add(pod))
      await pause((kill * 11) % 29)
      await node.stop('SIGKILL')
      await node.start()
      const answers = await Promise.all(calls)
      for (const answer of answers) assertHonest(answer)
      // A runtime sends DEL for what failed, too.
      for (const { code } of await Promise.all(pods.map(pod => plugin.del(pod)))) assert.equal(code, 0)
      for (const pod of pods) assert.deepEqual(await pod.links(), [])
    }
    await nothingLeft()
  })

  it('a daemon killed among DELs leaves nothing', async () => {
    const pods = await Promise.all(Array.from({ length: 4 }, () => node.sandbox()))
    for (let kill = 0; kill < KILLS; kill++) {
      for (const answer of await Promise.all(pods.map((pod, i) => publishing(i).add(pod))))
        assert.equal(answer.code, 0, answer.stdout)
      const calls = pods.map(pod => plugin.del(pod))
      await pause((kill * 7) % 19)
      await node.stop('SIGKILL')
      for (const { code, stdout } of await Promise.all(calls)) assert.equal(code, 0, stdout)
      await node.start()
    }
    await nothingLeft()
  })

  it('a shim killed at any moment leaves nothing', async () => {
    const pod = await node.sandbox()
    for (let kill = 0; kill < KILLS; kill++) {
      const child = spawn(shim, {
        stdio: ['pipe', 'ignore', 'ignore'],
        env: { ...node.env, CNI_PATH: '/', CNI_COMMAND: kill % 2 ? 'DEL' : 'ADD', ...subject(pod) },
      })
      child.stdin.on('error', () => undefined).end(JSON.stringify(config))
      const exit = once(child, 'exit')
      await pause(kill % 9)
      child.kill('SIGKILL')
      await exit
      if (kill % 3 === 0) assert.equal((await plugin.del(pod)).code, 0)
    }
    assert.equal((await plugin.del(pod)).code, 0)
    await nothingLeft()
  })

  it('a namespace that vanishes while ADD is at it leaves nothing', async () => {
    for (let i = 0; i < 10; i++) {
      const pod = await node.sandbox()
      const adding = plugin.add(pod)
      await pause(i)
      await pod.remove()
      assertHonest(await adding)
      assert.equal((await plugin.del(pod)).code, 0)
    }
    await nothingLeft()
  })
})

/** Success, or an error that a runtime can read. */
function assertHonest({ code, json, stdout }: Answer): void {
  if (code === 0) assert.ok(json.ips.length > 0, stdout)
  else assert.ok((json.code ?? 0) > 0 && json.msg, stdout)
}
