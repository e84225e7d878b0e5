import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { contains, network } from '../../core/addresses.ts'
import { eventually, until } from '../bed/until.ts'
import { during, pinging } from '../docker/flows.ts'
import { absent } from './build.ts'
import { Cluster, type NodeName, newKey, nodeNames, places } from './cluster.ts'
import { leftOf, linksOf } from './left.ts'
import { pods } from './plan.ts'
import { addressesOf, ask, askFrom, inPod, pod, ready, started, statusOf } from './pods.ts'

const reason = absent()
const TSNET = resolve(import.meta.dirname, '../../dist/tsnet')

;(reason ? describe.skip : describe)(`Kubernetes${reason ? `: ${reason}` : ''}`, function () {
  this.timeout(240_000)
  let cluster: Cluster
  const addresses: Record<string, string> = {}

  before(async () => {
    cluster = await Cluster.up('iptables')
  })
  after(() => cluster?.dispose())

  const node = (name: (typeof nodeNames)[number]) => cluster.nodes[name]

  it('nodes are ready once tsnet is installed, and not before', async () => {
    await eventually(async () => {
      const { items } = await cluster.get<{ items: { status: { conditions: Condition[] } }[] }>('nodes')
      assert.equal(items.length, 3)
      for (const { status } of items)
        assert.match(status.conditions.find(({ type }) => type === 'Ready')?.message ?? '', /cni/i)
    }, 30_000)
    await cluster.installTsnet()
  })
  type Condition = { type: string; message: string }

  /** Prefixes that a node has a way to by others. */
  const waysFrom = async (name: NodeName): Promise<string[]> => {
    const routes = await node(name).run('ip', '-4', 'route', 'show', 'proto', '116')
    return routes.split('\n').flatMap(each => each.split(' ')[0] || [])
  }

  it('before the first pod every node has a way to each other one', async () => {
    for (const name of nodeNames)
      await eventually(async () => assert.equal((await waysFrom(name)).length, 2), 30_000)
  })

  it('every pod reaches every pod under its own address, on one node, one link and beyond a router', async () => {
    const specs = [...nodeNames, 'a' as const].map((node, index) => ({
      name: `web-${index}`,
      node,
      labels: { app: 'web' },
    }))
    const found = await started(cluster, ...specs)
    for (const [index, { name }] of specs.entries()) addresses[name] = found[index] as string
    for (const from of Object.keys(addresses))
      for (const to of Object.keys(addresses))
        await eventually(async () =>
          assert.deepEqual(await askFrom(cluster, from, addresses[to] as string), {
            pod: to,
            seen: addresses[from],
          }),
        )
  })

  it('nodes reach every pod, straight as themselves, by the tunnel as their own address in the pods’ network', async () => {
    for (const name of nodeNames)
      for (const [index, at] of nodeNames.entries()) {
        const answer = await ask((...argv) => node(name).run(...argv), addresses[`web-${index}`] as string)
        assert.equal(answer.pod, `web-${index}`)
        if (name !== at) assert.equal(answer.seen, await cluster.seenAs(name, at))
      }
  })

  it('probes from the node decide: ready, not ready, started anew', async () => {
    const probe = (path: string) => ({ httpGet: { path, port: 80 }, periodSeconds: 1, failureThreshold: 2 })
    await cluster.apply(
      pod({ name: 'well', node: 'c', container: { readinessProbe: probe('/') } }),
      pod({ name: 'ill', node: 'c', container: { readinessProbe: probe('/nothing') } }),
      pod({ name: 'dying', node: 'c', container: { livenessProbe: probe('/nothing') } }),
    )
    await ready(cluster, 'well')
    await until(
      'the dying one to be started anew',
      async () =>
        (await statusOf(cluster, 'dying')).status.containerStatuses?.some(each => each.restartCount > 0),
      { deadline: 60_000, every: 300 },
    )
    const { status } = await statusOf(cluster, 'ill')
    assert.equal(status.phase, 'Running')
    assert.equal(status.conditions?.find(({ type }) => type === 'Ready')?.status, 'False')
    await cluster.kubectl('delete', 'pod', 'well', 'ill', 'dying', '--wait=true')
  })

  it("pods with their node's network reach pods everywhere, and are reached", async () => {
    await started(cluster, { name: 'node-a', node: 'a', hostNetwork: true })
    for (const [index, there] of nodeNames.entries()) {
      const answer = await askFrom(cluster, 'node-a', addresses[`web-${index}`] as string)
      assert.equal(answer.pod, `web-${index}`)
      if (there !== 'a') assert.equal(answer.seen, await cluster.seenAs('a', there))
    }
    // What leaves the pods' network is masqueraded.
    const seen = { 'web-0': addresses['web-0'], 'web-1': places.b, 'web-2': places.c }
    for (const [from, address] of Object.entries(seen)) {
      assert.equal((await askFrom(cluster, from, places.a)).seen, address)
    }
    await cluster.kubectl('delete', 'pod', 'node-a', '--wait=true')
  })

  it("annotations limit a pod's bandwidth", async () => {
    const limit = 20e6
    const annotations = { 'kubernetes.io/ingress-bandwidth': '20M', 'kubernetes.io/egress-bandwidth': '20M' }
    await started(cluster, { name: 'slow', node: 'a', annotations })
    await cluster.kubectl('exec', 'web-2', '--', 'iperf3', '-s', '-D')
    for (const way of [[], ['-R']]) {
      const client = ['iperf3', '-c', addresses['web-2'] as string, '-t', '2', '-J', ...way]
      const { end } = JSON.parse(await inPod(cluster, 'slow', ...client)) as Measured
      const rate = end.sum_received.bits_per_second
      assert.ok(rate > 0 && rate < 1.3 * limit, `${rate} bits per second`)
    }
    await cluster.kubectl('delete', 'pod', 'slow', '--wait=true')
  })
  type Measured = { end: { sum_received: { bits_per_second: number } } }

  it('while every tsnetd is replaced, flows go on and new pods come', async () => {
    const within = { enter: (...argv: string[]) => cluster.enter('web-0', ...argv) }
    const flows = ['web-1', 'web-2', 'web-3'].map(to => pinging(within, addresses[to] as string))
    await during(flows, async () => {
      await cluster.kubectl('rollout', 'restart', '-n', 'kube-system', 'daemonset/tsnet')
      for (const [index, at] of nodeNames.entries())
        await cluster.apply(pod({ name: `late-${index}`, node: at }))
      await cluster.rolledOut()
    })
    for (const index of nodeNames.keys()) {
      const address = await ready(cluster, `late-${index}`)
      for (const from of ['web-0', 'web-2'])
        await eventually(async () =>
          assert.equal((await askFrom(cluster, from, address)).pod, `late-${index}`),
        )
    }
  })

  it('another gossip key in tsnet.env is that of all nodes in the end, and flows go on meanwhile', async () => {
    const old = cluster.key
    cluster.key = newKey()
    const both = [
      [cluster.key, 3, 3],
      [old, 3, 0],
    ]
    const within = { enter: (...argv: string[]) => cluster.enter('web-0', ...argv) }
    const flows = ['web-1', 'web-2', 'web-3'].map(to => pinging(within, addresses[to] as string))
    await during(flows, async () => {
      await cluster.installTsnet()
      for (const name of nodeNames)
        await eventually(async () => assert.deepEqual(await keysOf(name), both), 60_000)
      await node('b').run(TSNET, 'keys', 'remove', old)
    })
    for (const name of nodeNames) assert.deepEqual(await keysOf(name), both.slice(0, 1))
  })

  /** Keys that a node knows of, each with how many nodes have it, and how many use it. */
  async function keysOf(name: NodeName): Promise<[string, number, number][]> {
    const told = await node(name).run(TSNET, 'keys', 'list', '--show', '--json')
    const { keys } = JSON.parse(told) as { keys: { key: string; hosts: number; primary: number }[] }
    return keys.map(each => [each.key, each.hosts, each.primary])
  }

  const addressesOn = async (name: NodeName): Promise<string[]> => {
    type Pods = { items: { status: { podIP: string } }[] }
    const { items } = await cluster.get<Pods>('pods', `--field-selector=spec.nodeName=${name}`)
    return items.map(({ status }) => status.podIP)
  }
  const nothingLeft = async (addresses: readonly string[]) => {
    for (const name of nodeNames)
      await eventually(async () => assert.deepEqual(await leftOf(cluster, name, addresses), []), 30_000)
  }

  it('a drained node keeps nothing of its pods, and others no way to them', async () => {
    const gone = await addressesOn('c')
    assert.ok(gone.length >= 2)
    const drain = ['--ignore-daemonsets', '--force', '--delete-emptydir-data', '--timeout=60s']
    await cluster.kubectl('drain', 'c', ...drain)
    await nothingLeft(gone)
    await eventually(async () => assert.deepEqual(await linksOf(cluster, 'c'), []))
    await cluster.kubectl('uncordon', 'c')
  })

  it('when all pods are deleted nothing is left', async () => {
    const gone = [...(await addressesOn('a')), ...(await addressesOn('b'))]
    await cluster.kubectl('delete', 'pods', '--all', '--wait=true', '--timeout=60s')
    await nothingLeft(gone)
    for (const name of nodeNames)
      await eventually(async () => assert.deepEqual(await linksOf(cluster, name), []))
  })

  it('with podCIDR, pods have addresses of both families that Kubernetes set aside for their node', async () => {
    const ranges = [{ subnet: pods[4] }, { subnet: pods[6] }]
    await cluster.installTsnet({ ipam: { type: 'tsnet', ranges, podCIDR: true } })
    const specs = nodeNames.map(node => ({ name: `own-${node}`, node }))
    await started(cluster, ...specs)
    const found = await Promise.all(specs.map(({ name }) => addressesOf(cluster, name)))
    for (const [index, name] of nodeNames.entries()) {
      const { spec } = await cluster.get<{ spec: { podCIDRs: string[] } }>('node', name)
      const inside = spec.podCIDRs.map((each, family) =>
        contains(network(each), found[index]?.[family] ?? ''),
      )
      assert.deepEqual(inside, [true, true], `${found[index]} in ${spec.podCIDRs}`)
    }
    for (const [here, { name }] of specs.entries())
      for (const [there, { name: pod }] of specs.entries())
        for (const [family, address] of (found[there] ?? []).entries())
          await eventually(async () =>
            assert.deepEqual(await askFrom(cluster, name, address), { pod, seen: found[here]?.[family] }),
          )
  })

  it('with podCIDR, every node has one way to each other one and reaches its pods, with pods or without', async () => {
    await cluster.kubectl('delete', 'pods', '--all', '--wait=true', '--timeout=60s')
    const all = await cluster.get<{ items: { metadata: { name: string }; spec: { podCIDR: string } }[] }>(
      'nodes',
    )
    const cidrs = new Map(all.items.map(({ metadata, spec }) => [metadata.name, spec.podCIDR]))
    for (const name of nodeNames)
      await eventually(async () => {
        const others = nodeNames.filter(each => each !== name).map(each => cidrs.get(each))
        assert.deepEqual((await waysFrom(name)).sort(), others.sort())
      }, 30_000)
    const [address = ''] = await started(cluster, { name: 'only', node: 'b' })
    for (const name of ['a', 'c'] as const) {
      const answer = await ask((...argv) => node(name).run(...argv), address)
      assert.deepEqual(answer, { pod: 'only', seen: await cluster.seenAs(name, 'b') })
    }
  })

  it('without its configuration nothing of the network is left on a node', async () => {
    await cluster.kubectl('delete', 'pods', '--all', '--wait=true', '--timeout=60s')
    await cluster.uninstallTsnet()
    for (const name of nodeNames)
      await eventually(async () => {
        assert.equal((await node(name).run('ip', 'route', 'show', 'proto', '116')).trim(), '')
        assert.doesNotMatch(await node(name).run('ip', 'link', 'show'), / ts[bx]-/)
      }, 60_000)
  })
})
