import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type Host, image, startHost } from '../bed/host.ts'
import { eventually } from '../bed/until.ts'
import { type Wire, wire } from '../bed/wire.ts'
import { project } from '../plugin/privileges.ts'
import { Container } from './container.ts'
import { driver, engineNames, pings } from './support.ts'

const KEY = Buffer.alloc(32, 5).toString('base64')
/** What the plugin is called on each host. */
const names = ['tsnet:latest', 'farm/tsnet:1']
const KNOWN = 60_000

if (driver === 'tsnet')
  for (const engine of process.env.TSNET_ENGINES ? engineNames : engineNames.slice(-1))
    describe(`managed plugins of two names, Docker ${engine}`, function () {
      this.timeout(180_000)
      const hosts: Host[] = []
      let net: Wire | undefined

      before(async () => {
        for (const index of names.keys()) hosts.push(await startHost({ engine, name: `m${index}` }))
        net = await wire(...(hosts as [Host, Host]))
        for (const [index, host] of hosts.entries()) {
          const name = names[index] ?? ''
          const settings = [`TSNET_KEY=${KEY}`, `TSNET_BIND=10.250.0.${index + 1}`, 'TSNET_JOIN=10.250.0.1']
          await host.docker('plugin', 'create', name, join(project, 'dist/plugin'))
          await host.docker('plugin', 'set', name, ...settings)
          await host.docker('plugin', 'enable', name)
        }
      })
      after(async () => {
        await net?.stop()
        await Promise.all(hosts.map(host => host.stop()))
      })

      it('have a network that is made on one of them, each by the name that it has there', async () => {
        const [first, second] = hosts as [Host, Host]
        const [name = ''] = names
        const options = ['--ipam-driver', name, '--opt', 'mode=overlay', '--subnet', '10.96.0.0/16']
        await first.docker('network', 'create', '--driver', name, ...options, 'shop')
        const inspected = () =>
          second.docker('network', 'inspect', '--format', '{{.Driver}} {{.IPAM.Driver}}', 'shop')
        await eventually(async () => assert.equal(await inspected(), `${names[1]} ${names[1]}`), KNOWN)
        const [ann, bob] = await Promise.all(
          hosts.map(async host => {
            const container = new Container(host, host.settings.name)
            await host.docker('run', '--detach', '--name', container.name, '--network', 'shop', image)
            await container.serves()
            return container
          }),
        )
        const to = (await bob?.address('shop')) ?? ''
        await eventually(async () => assert(ann && (await pings(ann, to))), KNOWN)
      })
    })
