import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { recordsIn } from '../bed/records.ts'
import { until } from '../bed/until.ts'
import { CriNode, image, podConfig } from './containerd.ts'

const conflist = {
  cniVersion: '1.0.0',
  cniVersions: ['0.4.0', '1.0.0', '1.1.0'],
  name: 'pods',
  plugins: [
    {
      type: 'tsnet-cni',
      ipam: { type: 'tsnet', subnet: '10.93.0.0/16' },
      capabilities: { portMappings: true, ips: true, mac: true, dns: true },
    },
  ],
}

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip

for (const release of ['1.6', '2.1'] as const)
  describeAsRoot(`cni: containerd ${release}`, function () {
    this.timeout(120_000)
    let node: CriNode
    before(async () => {
      node = await CriNode.up('one', conflist, release)
    })
    after(() => node?.dispose())

    const start = async (config = podConfig()) => {
      const { pod_sandbox_id } = await node.cri<{ pod_sandbox_id: string }>('RunPodSandbox', { config })
      const { status } = await node.cri<{ status: { network: { ip: string } } }>('PodSandboxStatus', {
        pod_sandbox_id,
      })
      return { pod_sandbox_id, ip: status.network.ip }
    }
    const script = 'exec 3<>"/dev/tcp/$1/$2" && printf "GET / HTTP/1.0\\r\\n\\r\\n" >&3 && tail -n 1 <&3'
    const fetched = (address: string, port: number) =>
      node.run('timeout', '3', 'bash', '-c', script, '-', address, String(port))
    const namespaces = async () =>
      (await node.run('bash', '-c', 'ls /run/netns 2>/dev/null || true')).split('\n').filter(Boolean)
    const endpoints = () => recordsIn(join(node.folder, 'tsnet')).filter(each => each.startsWith('endpoint '))

    it('finds the network ready', async () => {
      await until('the network to be ready', async () => (await node.ready()).status)
    })

    it('runs, stops and removes pods, whose second DEL comes without a namespace', async () => {
      const pods = [await start(), await start(podConfig(18080))]
      assert.match(pods[0]?.ip ?? '', /^10\.93\./)
      const [, published] = await namespaces()
      const folder = join(node.folder, 'www')
      mkdirSync(folder)
      writeFileSync(join(folder, 'index.html'), 'by its host port')
      for (const each of await namespaces())
        await node.run('nsenter', `--net=/run/netns/${each}`, 'busybox', 'httpd', '-p', '80', '-h', folder)
      assert.ok(published)
      assert.equal(await fetched(pods[1]?.ip ?? '', 80), 'by its host port')
      assert.equal(await fetched('127.0.0.1', 18080), 'by its host port')
      for (const { pod_sandbox_id } of pods) await node.cri('StopPodSandbox', { pod_sandbox_id })
      assert.deepEqual(endpoints(), [])
      for (const { pod_sandbox_id } of pods) await node.cri('RemovePodSandbox', { pod_sandbox_id })
      await until('the links to go', async () => !/tsv-/.test(await node.run('ip', '-o', 'link')))
    })

    it('ten at once', async () => {
      const pods = await Promise.all(Array.from({ length: 10 }, () => start()))
      assert.equal(new Set(pods.map(({ ip }) => ip)).size, 10)
      for (const method of ['StopPodSandbox', 'RemovePodSandbox'])
        await Promise.all(pods.map(({ pod_sandbox_id }) => node.cri(method, { pod_sandbox_id })))
      assert.deepEqual(endpoints(), [])
    })

    it('stops pods while tsnetd is away', async () => {
      const { pod_sandbox_id } = await start()
      await node.tsnetd.kill()
      await node.cri('StopPodSandbox', { pod_sandbox_id })
      await node.cri('RemovePodSandbox', { pod_sandbox_id })
      await node.tsnetd.start(node.holder)
      await until('the record to go', () => endpoints().length === 0)
    })

    // containerd 2 asks by STATUS, and a kubelet takes the pods of a node that isn't ready out of their services.
    it('is ready while tsnetd restarts', async () => {
      await node.tsnetd.stop()
      const asked = node.ready()
      await node.tsnetd.start(node.holder)
      assert.equal((await asked).status, true)
    })

    it(release === '1.6' ? 'never hears that tsnetd is away' : 'hears that tsnetd is away', async () => {
      await node.tsnetd.kill()
      const { status, message } = await node.ready()
      await node.tsnetd.start(node.holder)
      assert.equal(status, release === '1.6')
      if (!status) assert.match(message, /tsnetd doesn't answer/)
    })

    it('a pod that could not start leaves nothing', async () => {
      const first = await start(podConfig(18090))
      await assert.rejects(start(podConfig(18090)), /18090\/tcp/)
      assert.equal(endpoints().length, 1)
      await node.cri('StopPodSandbox', first)
      await node.cri('RemovePodSandbox', first)
      assert.deepEqual(await namespaces(), [])
    })

    it('ctr run --cni, whose DEL has no namespace', async () => {
      const ctr = ['ctr', '-a', '/run/containerd.sock', '-n', 'k8s.io']
      const run = ['run', '--rm', '--cni', '--snapshotter', 'native', image, 'by-ctr', '/busybox', 'true']
      const { code, stderr } = await node.attempt([...ctr, ...run])
      assert.equal(code, 0, stderr)
      await until('the record to go', () => endpoints().length === 0)
    })
  })
