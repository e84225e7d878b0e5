import assert from 'node:assert/strict'
import { join } from 'node:path'
import { sweepCgroups } from '../bed/namespace.ts'
import { recordsIn } from '../bed/records.ts'
import { clients } from './clients.ts'
import { CriNode, image } from './containerd.ts'

const conflist = {
  cniVersion: '1.0.0',
  name: 'pods',
  // Without, nerdctl makes a network of its own, for which it needs the reference plugins.
  nerdctlLabels: { 'nerdctl/default-network': 'true' },
  plugins: [
    {
      type: 'tsnet-cni',
      ipam: { type: 'tsnet', subnet: '10.93.0.0/16' },
      capabilities: { portMappings: true, ips: true, mac: true, dns: true, aliases: true },
    },
  ],
}

for (const client of clients) {
  const skipped = process.getuid?.() === 0 ? client.absent : 'needs root'
  const describeIf = skipped ? describe.skip : describe
  describeIf(`cni: ${client.name}${skipped ? ` (${skipped})` : ''}`, function () {
    this.timeout(120_000)
    let node: CriNode
    let words: string[]
    before(async () => {
      node = await CriNode.up('client', conflist, client.release)
      words = await client.install(node)
    })
    after(async () => {
      await node?.dispose()
      sweepCgroups('libpod_parent')
    })

    const does = (...argv: string[]) => node.run(...words, ...argv)
    const start = (name: string, ...options: string[]) =>
      does('run', '-d', '--name', name, '--network', 'pods', ...options)
    const remove = async (...names: string[]) => {
      await does('stop', '--time', '0', ...names)
      await does('rm', ...names)
    }
    const sleeping = [image, '/busybox', 'sleep', '1000']
    const serving = [image, '/busybox', 'httpd', '-f', '-p', '80', '-h', '/']
    const address = (name: string) =>
      does('inspect', '-f', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}', name)
    const served = (port: number) =>
      node.run(
        'bash',
        '-c',
        `exec 3<>/dev/tcp/127.0.0.1/${port} && echo "GET / HTTP/1.0" >&3 && echo >&3 && head -n 1 <&3`,
      )
    const endpoints = () => recordsIn(join(node.folder, 'tsnet')).filter(each => each.startsWith('endpoint '))

    it('knows the network', async () => {
      assert.match(await does('network', 'ls'), /\bpods\b/)
    })

    it('runs containers that reach each other and are reached at their host ports', async () => {
      await start('alpha', ...sleeping)
      await start('beta', '--publish', '18080:80', ...serving)
      const beta = await address('beta')
      assert.match(beta, /^10\.93\./)
      assert.match(
        await does('exec', 'alpha', '/busybox', 'ping', '-c', '1', '-w', '3', beta),
        / 0% packet loss/,
      )
      assert.match(await served(18080), /HTTP/)
      const again = await node.attempt([
        ...words,
        'run',
        '-d',
        '--network',
        'pods',
        '--publish',
        '18080:80',
        ...sleeping,
      ])
      assert.match(again.stderr, /already (allocated|taken|in use)/)
    })

    it('stops and starts one', async () => {
      await does('stop', '--time', '0', 'beta')
      assert.equal(endpoints().length, 1)
      await does('start', 'beta')
      assert.match(await address('beta'), /^10\.93\./)
      assert.match(await served(18080), /HTTP/)
    })

    if (client.name !== 'nerdctl')
      it('gives one the address and MAC that it asks for', async () => {
        await start('gamma', '--ip', '10.93.0.77', '--mac-address', '02:00:00:00:00:09', ...sleeping)
        const shown = await does('exec', 'gamma', '/busybox', 'ip', 'addr', 'show', 'eth0')
        for (const each of ['02:00:00:00:00:09', '10.93.0.77/16']) assert.ok(shown.includes(each), shown)
        await remove('gamma')
      })

    it('leaves nothing of those that it removes', async () => {
      await remove('alpha', 'beta')
      assert.deepEqual(endpoints(), [])
    })
  })
}
