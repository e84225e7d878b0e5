import assert from 'node:assert/strict'
import { eventually } from '../bed/until.ts'
import { during, pinging } from '../docker/flows.ts'
import { absent } from './build.ts'
import { Cluster, nodeNames, places } from './cluster.ts'
import { clusterDns } from './dns.ts'
import { linksOf } from './left.ts'
import { addressesAt, dnsOf, pods, six } from './plan.ts'
import { addressesOf, ask, askFrom, pod, ready, service, started } from './pods.ts'
import { clusterAddresses, lookUp, ports } from './services.ts'

const reason = absent()
const at = (place: string) => addressesAt(six, place)[0] as string

;(reason ? describe.skip : describe)(
  `Kubernetes of IPv6 alone, by containerd 2${reason ? `: ${reason}` : ''}`,
  function () {
    this.timeout(240_000)
    let cluster: Cluster
    const webs = nodeNames.map(node => ({ name: `web-${node}`, node, labels: { app: 'web' } }))
    const addresses: Record<string, string> = {}

    before(async () => {
      cluster = await Cluster.up('nftables', six)
      await cluster.installTsnet({ ipam: { type: 'tsnet', subnet: pods[6], podCIDR: true } })
    })
    after(() => cluster?.dispose())

    const node =
      (name: (typeof nodeNames)[number]) =>
      (...argv: string[]) =>
        cluster.nodes[name].run(...argv)

    it('every pod has one address and reaches every pod under it, on one link and beyond a router', async () => {
      await started(cluster, ...webs)
      for (const { name } of webs) {
        const [address = '', ...more] = await addressesOf(cluster, name)
        assert.match(address, /^fd00:93:/)
        assert.deepEqual(more, [])
        addresses[name] = address
      }
      for (const [from, seen] of Object.entries(addresses))
        for (const [to, address] of Object.entries(addresses))
          await eventually(async () =>
            assert.deepEqual(await askFrom(cluster, from, address), { pod: to, seen }),
          )
    })

    it('nodes reach every pod, and pods the world in the name of their node', async () => {
      for (const from of nodeNames)
        for (const { name, node: there } of webs) {
          const answer = await ask(node(from), addresses[name] as string)
          assert.equal(answer.pod, name)
          if (from !== there) assert.equal(answer.seen, await cluster.seenAs(from, there))
        }
      await started(cluster, { name: 'node-b', node: 'b', hostNetwork: true })
      assert.equal((await askFrom(cluster, 'web-c', at(places.b))).seen, at(places.c))
      await cluster.kubectl('delete', 'pod', 'node-b', '--wait=true')
    })

    it('services lead to their pods by cluster address, name, node port and host port', async () => {
      const port = { containerPort: 80, hostPort: ports.host, protocol: 'TCP' }
      await cluster.apply(
        ...clusterDns(dnsOf(six), cluster.outside),
        service('web', { type: 'NodePort' }, { port: 8000, targetPort: 80, nodePort: ports.any }),
        pod({ name: 'host-port', node: 'a', container: { ports: [port] } }),
      )
      await ready(cluster, 'host-port')
      const [virtual = ''] = await clusterAddresses(cluster, 'web')
      const outside = (...argv: string[]) => cluster.outsider(...argv)
      for (const { name } of webs) {
        await eventually(async () => {
          const { pod, seen } = await askFrom(cluster, name, virtual, 8000)
          assert.match(pod, /^web-/)
          if (pod !== name) assert.equal(seen, addresses[name])
        })
        await eventually(
          async () =>
            assert.deepEqual(await lookUp(cluster, name, 'web.default.svc.cluster.local', 'aaaa'), [virtual]),
          60_000,
        )
        assert.equal((await askFrom(cluster, name, at(places.a), ports.host)).pod, 'host-port')
      }
      for (const place of nodeNames) {
        await eventually(async () =>
          assert.match((await ask(outside, at(places[place]), ports.any)).pod, /^web-/),
        )
      }
      const answer = await ask(outside, at(places.a), ports.host)
      assert.deepEqual(answer, { pod: 'host-port', seen: cluster.outside })
    })

    it('while every tsnetd is replaced, flows go on', async () => {
      const within = { enter: (...argv: string[]) => cluster.enter('web-a', ...argv) }
      const flows = ['web-b', 'web-c'].map(to => pinging(within, addresses[to] as string))
      await during(flows, async () => {
        await cluster.kubectl('rollout', 'restart', '-n', 'kube-system', 'daemonset/tsnet')
        await cluster.rolledOut()
      })
    })

    it('when all pods are gone, nothing of them is left', async () => {
      await cluster.kubectl('delete', '-n', 'kube-system', 'deployment', 'coredns')
      await cluster.kubectl('delete', 'pods', '--all', '--wait=true', '--timeout=60s')
      for (const name of nodeNames)
        await eventually(async () => assert.deepEqual(await linksOf(cluster, name), []), 30_000)
    })
  },
)
