import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { netnsPath } from '../bed/namespace.ts'
import { until } from '../bed/until.ts'
import { Node, type Sandbox, shim } from './node.ts'
import { Plugin } from './runtime.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip
const RATE = 50_000_000
const BURST = 400_000
const BYTES = 12_000_000

describeAsRoot('cni: bandwidth', function () {
  this.timeout(120_000)
  const ipam = { type: 'tsnet', subnet: '10.93.0.0/16' }
  const config = { cniVersion: '1.0.0', name: 'pods', type: 'tsnet-cni', ipam }
  let node: Node
  let plugin: Plugin
  let free: Pod

  type End = { path: string; address: string }
  type Pod = End & { sandbox: Sandbox; result: object; plugin: Plugin }

  before(async () => {
    node = await Node.up('rates')
    plugin = new Plugin(shim, config, node.namespace, node.env)
    free = await pod()
  })
  after(() => node?.dispose())

  async function pod(bandwidth?: object, more: object = {}): Promise<Pod> {
    const own = plugin.with({ ...(bandwidth && { runtimeConfig: { bandwidth } }), ...more })
    const sandbox = await node.sandbox()
    const { code, stdout, json } = await own.add(sandbox)
    assert.equal(code, 0, stdout)
    const address = json.ips[0]?.address.split('/')[0] ?? ''
    return { path: sandbox.path, sandbox, address, result: json, plugin: own }
  }

  const inside = ({ path }: End, ...argv: string[]) =>
    spawn('nsenter', [`--net=${path}`, ...argv], { stdio: ['ignore', 'pipe', 'inherit'] })
  const done = async (child: ChildProcess) => assert.deepEqual(await once(child, 'exit'), [0, null])

  /** Bits per second of what is received, from the first byte to the last. */
  async function throughput(from: End, to: End): Promise<number> {
    const receiver = inside(to, 'timeout', '60', 'socat', '-u', 'TCP-LISTEN:9000,reuseaddr', '-')
    let [bytes, first, last] = [0, 0, 0]
    receiver.stdout?.on('data', (part: Buffer) => {
      first ||= performance.now()
      last = performance.now()
      bytes += part.length
    })
    const sending = `head -c ${BYTES} /dev/zero | socat -u - TCP:${to.address}:9000,retry=50,interval=0.05`
    await Promise.all([done(inside(from, 'timeout', '60', 'sh', '-c', sending)), done(receiver)])
    assert.equal(bytes, BYTES)
    return (bytes * 8) / ((last - first) / 1000)
  }

  const holds = (seen: number, what: string) =>
    assert.ok(seen > RATE * 0.8 && seen < RATE * 1.2, `${what}: ${(seen / 1e6).toFixed(1)} Mbit/s`)

  it('holds what a container receives and what it sends to the rate, and nothing else', async () => {
    const limits = { IngressRate: RATE, IngressBurst: BURST, EgressRate: RATE, EgressBurst: BURST }
    const one = await pod(limits)
    holds(await throughput(free, one), 'received')
    holds(await throughput(one, free), 'sent')
    const other = await pod()
    assert.ok((await throughput(free, other)) > RATE * 4)
  })

  it('holds the one without the other', async () => {
    const one = await pod({ egressRate: RATE })
    assert.ok((await throughput(free, one)) > RATE * 4)
    holds(await throughput(one, free), 'sent')
  })

  it('is what the reference plugin makes of the same, behind ours', async function () {
    const reference = '/usr/lib/cni/bandwidth'
    if (!existsSync(reference)) return this.skip()
    // With the shortcut, the reference plugin finds the place taken where it wants to see what a container sends.
    const name = 'apart'
    const apart = { name, isolation: true, ipam: { type: 'tsnet', subnet: '10.94.0.0/24' } }
    const one = await pod(undefined, apart)
    const limits = { ingressRate: RATE, ingressBurst: BURST, egressRate: RATE, egressBurst: BURST }
    const chained = { cniVersion: '1.0.0', name, type: 'bandwidth', ...limits, prevResult: one.result }
    const { code, stdout } = await new Plugin(reference, chained, node.namespace).add(one.sandbox)
    assert.equal(code, 0, stdout)
    const host = { path: netnsPath(node.namespace), address: '10.94.0.1' }
    const theirs = [await throughput(host, one), await throughput(one, host)]
    const two = await pod(limits, apart)
    const ours = [await throughput(host, two), await throughput(two, host)]
    for (const [at, way] of ['received', 'sent'].entries()) {
      holds(theirs[at] ?? 0, `${way}, the reference plugin`)
      holds(ours[at] ?? 0, way)
    }
  })

  it('is told by CHECK when somebody takes it away, and is there again after a restart', async () => {
    const one = await pod({ ingressRate: RATE, egressRate: RATE })
    const check = async () => (await one.plugin.check(one.sandbox, one.result)).json.msg
    assert.equal(await check(), undefined)
    const link = (one.result as { interfaces: { name: string }[] }).interfaces[1]?.name as string
    const bucket = async () => (await node.run('tc', 'qdisc', 'show', 'dev', link)).trim()
    const before = await bucket()
    assert.match(before, /^qdisc tbf 7473: root refcnt \d+ rate 50Mbit burst 12\d+/)
    await node.run('tc', 'qdisc', 'del', 'dev', link, 'root')
    assert.match(
      (await check()) ?? '',
      /the host needs: add rate dev \S+ root tbf rate 50000000bit burst 125000b/,
    )
    await node.stop('SIGKILL')
    await node.start()
    assert.equal(await bucket(), before)
    assert.equal(await check(), undefined)
    await one.sandbox.run('tc', 'qdisc', 'del', 'dev', 'eth0', 'root')
    assert.match((await check()) ?? '', /eth0 sends at any rate instead of rate 50000000bit/)
  })

  it('goes with its container', async () => {
    const one = await pod({ ingressRate: RATE, egressRate: RATE })
    assert.equal((await one.plugin.del(one.sandbox)).code, 0)
    const links = (one.result as { interfaces: { name: string }[] }).interfaces
    const left = () => node.run('tc', 'qdisc', 'show')
    await until('it to go', async () => !(await left()).includes(links[1]?.name as string))
  })
})
