import assert from 'node:assert/strict'
import type { Member, Status } from '../../cli/answers.ts'
import { until } from '../bed/until.ts'
import { during, pinging } from '../docker/flows.ts'
import { Kubernetes } from './kubernetes.ts'
import { type Node, type Sandbox, shim } from './node.ts'
import { type Name, names, Routed } from './routed.ts'
import { type Config, Plugin } from './runtime.ts'

/** Addresses that Kubernetes divides, in both families, and ones that nodes divide among themselves. */
const pods = {
  type: 'tsnet-cni',
  ipam: { type: 'tsnet', ranges: [{ subnet: '10.93.0.0/16' }, { subnet: 'fd00:93::/48' }], podCIDR: true },
}
const own = { type: 'tsnet-cni', mode: 'nodes', ipam: { type: 'tsnet', subnet: '10.94.0.0/16' } }
const six = (number: number) => `fd00:93:0:${number}::/64`

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip

/** `four` is its IPv4 address. */
type Pod = { sandbox: Sandbox; plugin: Plugin; four: string; addresses: string[] }

describeAsRoot('cni: networks of configurations that lie on a node', function () {
  this.timeout(120_000)
  let bed: Routed
  let nodes: Record<Name, Node>
  let kubernetes: Kubernetes

  before(async () => {
    bed = await Routed.bare(name => ({ TSNET_NODE: name, ...Kubernetes.env }))
    nodes = bed.nodes
    kubernetes = new Kubernetes(bed.router)
    await kubernetes.start()
    for (const [at, name] of names.entries()) {
      nodes[name].within = kubernetes.within
      nodes[name].install('own', own)
      kubernetes.give(name, `10.93.${at + 1}.0/24`, six(at + 1))
    }
    // The runtime's folder is there before the configuration, and the configuration before the daemon: either may be first.
    nodes.a.install('pods', pods)
    await bed.start()
    for (const name of ['b', 'c'] as const) nodes[name].install('pods', pods)
  })
  after(async () => {
    await bed?.dispose()
    await kubernetes?.dispose()
  })

  async function pod(name: Name, network: 'pods' | 'own'): Promise<Pod> {
    const config: Config = { cniVersion: '1.0.0', name: network, ...{ pods, own }[network] }
    const plugin = new Plugin(shim, config, nodes[name].namespace, nodes[name].env)
    const sandbox = await nodes[name].sandbox()
    const { code, stdout, json } = await plugin.add(sandbox)
    assert.equal(code, 0, `${stdout}\n${nodes[name].log()}`)
    const [four = '', ...others] = json.ips.map(({ address }) => address.split('/')[0] as string)
    return { sandbox, plugin, four, addresses: [four, ...others] }
  }
  const gone = async ({ plugin, sandbox }: Pod) => assert.equal((await plugin.del(sandbox)).code, 0)

  type Place = { run(...argv: string[]): Promise<string> }
  const reaches = (from: Place, address: string) =>
    until(`${address} to answer`, () => from.run('busybox', 'ping', '-c', '1', '-W', '1', address))

  const lines = async (node: Node, ...argv: string[]) => (await node.run(...argv)).split('\n').filter(Boolean)
  /** Where a node's ways lead, by how. */
  const ways = async (node: Node): Promise<Record<string, string>> => {
    const all = [
      ...(await lines(node, 'ip', 'route', 'show', 'proto', '116')),
      ...(await lines(node, 'ip', '-6', 'route', 'show', 'proto', '116')),
    ]
    return Object.fromEntries(
      all.map(each => [each.split(' ')[0] as string, /dev (eth0|tsb-)/.exec(each)?.[1] ?? each]),
    )
  }
  const waysOf = async (name: Name, prefix: string) =>
    Object.fromEntries(Object.entries(await ways(nodes[name])).filter(([to]) => to.startsWith(prefix)))
  const become = (what: string, name: Name, prefix: string, wanted: Record<string, string>) =>
    until(what, async () => {
      assert.deepEqual(await waysOf(name, prefix), wanted)
      return true
    })

  it('are there before any pod: every node has a way to each other’s podCIDRs', async () => {
    await become('the ways of a', 'a', '10.93.', { '10.93.2.0/24': 'eth0', '10.93.3.0/24': 'tsb-' })
    await become('the ways of b', 'b', '10.93.', { '10.93.1.0/24': 'eth0', '10.93.3.0/24': 'tsb-' })
    await become('the ways of c', 'c', '10.93.', { '10.93.1.0/24': 'tsb-', '10.93.2.0/24': 'tsb-' })
    await become('those of IPv6', 'a', 'fd00:93:', { [six(2)]: 'tsb-', [six(3)]: 'tsb-' })
  })

  it('are there before any pod: every node has a way to each other’s blocks', async () => {
    await until('a way to each', async () => {
      const found = await Promise.all(names.map(name => waysOf(name, '10.94.')))
      assert.deepEqual(
        found.map(each => Object.values(each).sort()),
        [
          ['eth0', 'tsb-'],
          ['eth0', 'tsb-'],
          ['tsb-', 'tsb-'],
        ],
      )
      return true
    })
  })

  for (const network of ['pods', 'own'] as const)
    it(`a node that never had a pod reaches those of others (${network})`, async () => {
      const there = await pod('b', network)
      for (const name of ['a', 'c'] as const) await reaches(nodes[name], there.four)
      await gone(there)
    })

  it('a node has as many rows as there are others, however many pods these have', async () => {
    const rows = async () => ({
      ways: await ways(nodes.a),
      neighbours: (await lines(nodes.a, 'ip', 'neigh', 'show', 'nud', 'permanent')).sort(),
      fdb: (await lines(nodes.a, 'bridge', 'fdb', 'show')).filter(each => / dst 10\.77\./.test(each)).sort(),
    })
    const before = await rows()
    const crowd = await Promise.all(Array.from({ length: 12 }, (_, i) => pod(i % 2 ? 'b' : 'c', 'pods')))
    for (const { four } of crowd) await reaches(nodes.a, four)
    assert.deepEqual(await rows(), before)
    for (const each of crowd) await gone(each)
  })

  it('pods of all nodes reach each other, in both families', async () => {
    const all = await Promise.all(names.map(name => pod(name, 'pods')))
    for (const [at, { addresses, four }] of all.entries()) {
      assert.equal(addresses.length, 2)
      assert.ok(four.startsWith(`10.93.${at + 1}.`), four)
    }
    for (const from of all)
      for (const to of all) for (const address of to.addresses) await reaches(from.sandbox, address)
    for (const each of all) await gone(each)
  })

  const heard = (node: Node) =>
    until('all to be heard', async () => (await node.tsnet<Status>('status')).cluster?.complete === true)

  it('ways stay over a restart while the API server is away, and no packet is lost', async () => {
    const [near, far, here] = [await pod('b', 'pods'), await pod('c', 'pods'), await pod('a', 'pods')]
    const before = await ways(nodes.a)
    await kubernetes.fail()
    const flows = [near, far].map(({ four }) => pinging(here.sandbox, four))
    await during(flows, async () => {
      await nodes.a.stop('SIGKILL')
      assert.deepEqual(await ways(nodes.a), before)
      await nodes.a.start()
      await heard(nodes.a)
    })
    assert.deepEqual(await ways(nodes.a), before)
    const late = await pod('a', 'pods')
    assert.ok(late.four.startsWith('10.93.1.'))
    await reaches(nodes.c, late.four)
    await kubernetes.serve()
    for (const each of [near, far, here, late]) await gone(each)
  })

  it('a node that is given another podCIDR has both: the new one, and its pods of the old one', async () => {
    const old = await pod('c', 'pods')
    kubernetes.give('c', '10.93.9.0/24', six(9))
    const address = old.four
    await become('the ways of a', 'a', '10.93.', {
      '10.93.2.0/24': 'eth0',
      '10.93.9.0/24': 'tsb-',
      [address]: 'tsb-',
    })
    const young = await pod('c', 'pods')
    assert.ok(young.four.startsWith('10.93.9.'), young.four)
    await until('c itself to have one', () =>
      lines(nodes.c, 'ip', '-o', 'address', 'show', 'scope', 'global', 'to', '10.93.9.0/24').then(
        ([one]) => one,
      ),
    )
    await reaches(nodes.b, address)
    await reaches(nodes.b, young.four)
    await gone(old)
    await gone(young)
    await become('the way to the old one to go', 'a', '10.93.', {
      '10.93.2.0/24': 'eth0',
      '10.93.9.0/24': 'tsb-',
    })
  })

  it('a Node that is deleted is no way to anything', async () => {
    kubernetes.forget('c')
    await become('its way to go', 'a', '10.93.', { '10.93.2.0/24': 'eth0' })
    kubernetes.give('c', '10.93.3.0/24', six(3))
    await become('its way to come back', 'a', '10.93.', { '10.93.2.0/24': 'eth0', '10.93.3.0/24': 'tsb-' })
  })

  it('what a node says of another’s podCIDR counts for nothing while that one is there', async () => {
    kubernetes.give('c', '10.93.2.0/24', six(3))
    await until('it to be told', async () => /says that 10\.93\.2\.0\/24 is its own/.test(nodes.a.log()))
    assert.deepEqual(await waysOf('a', '10.93.'), { '10.93.2.0/24': 'eth0' })
    const here = await pod('b', 'pods')
    await reaches(nodes.a, here.four)
    await gone(here)
    kubernetes.give('c', '10.93.3.0/24', six(3))
    await become('its way to come back', 'a', '10.93.', { '10.93.2.0/24': 'eth0', '10.93.3.0/24': 'tsb-' })
  })

  it('without its configuration, a network goes with its last pod, here and for the others', async () => {
    const last = await pod('b', 'pods')
    for (const name of ['b', 'c'] as const) nodes[name].uninstall('pods')
    await until('c to have nothing of it', async () => {
      assert.deepEqual(await waysOf('c', '10.93.'), {})
      assert.doesNotMatch(await nodes.c.run('ip', 'address', 'show'), / 10\.93\.| fd00:93:/)
      return true
    })
    await become('the ways of a', 'a', '10.93.', { '10.93.2.0/24': 'eth0' })
    await reaches(nodes.a, last.four)
    await gone(last)
    nodes.b.install('other', { type: 'bridge' })
    await until(
      'b to have nothing of it',
      async () => Object.keys(await waysOf('b', '10.93.')).length === 0,
      {
        deadline: 45_000,
      },
    )
    await become('a to have no way', 'a', '10.93.', {})
    assert.equal(Object.keys(await waysOf('c', '10.94.')).length, 2, 'the other network stays')
    for (const name of ['b', 'c'] as const) nodes[name].install('pods', pods)
    await become('all ways again', 'a', '10.93.', { '10.93.2.0/24': 'eth0', '10.93.3.0/24': 'tsb-' })
  })

  it('what a dead node had is the next one’s that is given it', async () => {
    await nodes.c.stop('SIGKILL')
    await until(
      'c to be missed',
      async () => (await nodes.a.tsnet<Member[]>('members')).some(({ state }) => state === 'dead'),
      { deadline: 60_000 },
    )
    assert.deepEqual(await waysOf('a', '10.93.'), { '10.93.2.0/24': 'eth0', '10.93.3.0/24': 'tsb-' })
    kubernetes.give('b', '10.93.3.0/24', six(2))
    await become('the way to change', 'a', '10.93.', { '10.93.3.0/24': 'eth0' })
    const next = await pod('b', 'pods')
    await reaches(nodes.a, next.four)
    await gone(next)
  })

  it('a node that is forgotten is no way to anything, until it comes back', async () => {
    kubernetes.give('b', '10.93.2.0/24', six(2))
    await become('the way to what it has', 'a', '10.93.', { '10.93.2.0/24': 'eth0', '10.93.3.0/24': 'tsb-' })
    const lost = (await nodes.a.tsnet<Member[]>('members')).find(({ state }) => state === 'dead')?.host ?? ''
    await nodes.a.tsnet('forget', lost)
    for (const name of ['a', 'b'] as const)
      await until('its ways to go', async () => !('10.93.3.0/24' in (await ways(nodes[name]))))
    await nodes.c.start()
    await become('the way to come back', 'a', '10.93.', { '10.93.2.0/24': 'eth0', '10.93.3.0/24': 'tsb-' })
  })

  it('a daemon that hears nobody takes them away as well, as uninstall.yaml has it do', async () => {
    const last = await pod('a', 'pods')
    await nodes.a.stop()
    for (const name of ['pods', 'own']) nodes.a.uninstall(name)
    nodes.a.settings.TSNET_KEY = Buffer.alloc(24, 7).toString('base64')
    nodes.a.settings.TSNET_JOIN = ''
    await nodes.a.start()
    assert.deepEqual(await waysOf('a', '10.93.'), { '10.93.2.0/24': 'eth0', '10.93.3.0/24': 'tsb-' })
    for (const name of ['b', 'c'] as const) await reaches(nodes[name], last.four)
    await gone(last)
    nodes.a.install('other', { type: 'bridge' })
    await until('nothing to be left', async () => {
      assert.deepEqual(await ways(nodes.a), {})
      return !/ts[bx]-/.test(await nodes.a.run('ip', 'link', 'show'))
    })
  })
})
