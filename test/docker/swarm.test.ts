import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Host } from '../bed/host.ts'
import { patience } from '../bed/patience.ts'
import { eventually, until } from '../bed/until.ts'
import { project } from '../plugin/privileges.ts'
import { Container } from './container.ts'
import { asking, during, pinging } from './flows.ts'
import { addressOf, box, keyOf, MOVED, meet, Nodes, plugin } from './nodes.ts'
import { driver, engineNames, tcp, who } from './support.ts'

const TSNET = join(project, 'dist/tsnet')
const COUNT = 3

/** Why this kernel has none; Debian's has it as a module. */
const noIpvs = ipvs()

function ipvs(): string | undefined {
  spawnSync('modprobe', ['--quiet', 'ip_vs'])
  return existsSync('/proc/net/ip_vs')
    ? undefined
    : 'no ip_vs here (make vm-kernel, make test-vm SUITES=swarm)'
}

if (driver === 'tsnet')
  for (const engine of engineNames)
    describe(`Swarm of ${COUNT} nodes, Docker ${engine}`, function () {
      this.timeout(300_000 * patience)
      const nodes = new Nodes()

      before(() => nodes.up(engine, COUNT))
      after(() => nodes.down())

      /** Keys that a node knows of, each with how many nodes have it, and how many use it. */
      async function keys(host: Host): Promise<[string, number, number][]> {
        const told = await host.exec(TSNET, 'keys', 'list', '--show', '--json')
        const { keys } = JSON.parse(told) as { keys: { key: string; hosts: number; primary: number }[] }
        return keys.map(each => [each.key, each.hosts, each.primary])
      }

      it('makes an overlay for all nodes, whose tasks reach each other by name', async () => {
        await nodes.network('shop', '10.91.0.0/16', '--attachable')
        await nodes.service('web', '--endpoint-mode=dnsrr', '--mode=global', '--network=shop')
        const all = await nodes.serving('web', 'shop', COUNT)
        await meet(all, 'shop')
        const [first] = all as [Container]
        const { stdout } = await first.attempt(['nslookup', '-type=a', 'tasks.web', '127.0.0.11'])
        for (const each of all)
          assert.match(stdout, new RegExp(`${(await each.address('shop')).replaceAll('.', '\\.')}\\b`))
      })

      it('has its gossip key from a secret, and changes it with the secret, under a flow', async () => {
        for (const host of nodes.hosts)
          await eventually(async () => assert.deepEqual(await keys(host), [[keyOf(9), COUNT, COUNT]]), MOVED)
        const [one, two] = (await nodes.serving('web', 'shop', COUNT)) as [Container, Container]
        await nodes.secret('tsnet-key-2', keyOf(10))
        await during([pinging(one, await two.address('shop'))], async () => {
          const other = ['--secret-rm', 'tsnet-key', '--secret-add', 'source=tsnet-key-2,target=tsnet-key']
          await nodes.manager.docker('service', 'update', '--detach', '--quiet', ...other, 'tsnet_key')
          const both = [
            [keyOf(10), COUNT, COUNT],
            [keyOf(9), COUNT, 0],
          ]
          for (const host of nodes.hosts)
            await eventually(async () => assert.deepEqual(await keys(host), both), MOVED)
          await nodes.at(1).exec(TSNET, 'keys', 'remove', keyOf(9))
        })
        assert.deepEqual(await keys(nodes.at(2)), [[keyOf(10), COUNT, COUNT]])
        for (const host of nodes.hosts)
          assert.doesNotMatch(await host.docker('plugin', 'inspect', plugin), /TSNET_KEY=\w/)
      })

      it('serves plain containers on the same overlay', async () => {
        const host = nodes.at(2)
        await host.docker(
          'run',
          '--detach',
          '--name',
          'plain',
          '--hostname',
          'plain',
          '--network',
          'shop',
          box,
        )
        const plain = new Container(host, 'plain')
        await plain.serves()
        const all = await nodes.tasks('web')
        for (const each of all) {
          await each.serves()
          await eventually(async () => {
            assert.equal(await who(each, await plain.address('shop')), `plain ${await each.address('shop')}`)
          }, MOVED)
        }
        await host.docker('rm', '--force', 'plain')
      })

      it('leads a service’s virtual address to its tasks in turn, from tasks and plain containers', async () => {
        // A published port brings Docker's own network in beside ours.
        await nodes.service('vip', '--replicas=3', '--network=shop', '--publish=8090:80')
        const all = await nodes.serving('vip', 'shop', 3)
        const [asks, virtual] = await nodes.plainOn('shop', 'vip')
        const addresses = await Promise.all(all.map(each => each.address('shop')))
        assert.match(virtual, /^10\.91\./)
        assert.ok(!addresses.includes(virtual))
        /** Who answered how often at the virtual address. */
        const answers = async (from: Container, times: number) => {
          const heard = []
          for (let i = 0; i < times; i++) heard.push((await who(from, virtual))?.split(' ')[0])
          return Object.values(Object.groupBy(heard, each => each ?? '')).map(each => each?.length)
        }
        for (const from of [asks, ...all])
          await eventually(async () => assert.deepEqual(await answers(from, 6), [2, 2, 2]), MOVED)
        await nodes.manager.docker('service', 'scale', '--detach', 'vip=1')
        await nodes.serving('vip', 'shop', 1)
        await eventually(async () => assert.deepEqual(await answers(asks, 4), [4]), MOVED)
        await asks.host.docker('rm', '--force', 'asks')
        await nodes.manager.docker('service', 'rm', 'vip')
      })

      it('refuses no request while a service is rolled over and scaled down', async () => {
        await nodes.service('roll', '--replicas=3', '--network=shop', '--update-order=start-first')
        const old = new Set((await nodes.serving('roll', 'shop', 3)).map(each => each.name))
        const [asks, virtual] = await nodes.plainOn('shop', 'roll')
        const from = [asks, ...(await nodes.tasks('web'))]
        for (const each of from) {
          await each.serves()
          await eventually(async () => assert.ok(await who(each, virtual)), MOVED)
        }
        await during(
          from.map(each => asking(each, virtual)),
          async () => {
            await nodes.manager.docker('service', 'update', '--detach', '--quiet', '--force', 'roll')
            await until(
              'the new tasks alone to run',
              async () => {
                const now = await nodes.tasks('roll')
                return now.length === 3 && now.every(each => !old.has(each.name))
              },
              { deadline: MOVED, every: 300 },
            )
            await nodes.manager.docker('service', 'scale', '--detach', 'roll=1')
            await nodes.serving('roll', 'shop', 1)
          },
        )
        await asks.host.docker('rm', '--force', 'asks')
        await nodes.manager.docker('service', 'rm', 'roll')
      })

      const ingress = 'leads a published port of every node to the tasks, by Docker’s ingress network'
      ;(noIpvs ? it.skip : it)(`${ingress}${noIpvs ? `: ${noIpvs}` : ''}`, async () => {
        await nodes.service('open', '--replicas=2', '--network=shop', '--publish=8095:80')
        const all = await nodes.serving('open', 'shop', 2)
        const nameAt = async (...at: Parameters<typeof who>) => (await who(...at))?.split(' ')[0]
        /** Who answers at a node. */
        const asked = async (index: number) => {
          const heard = []
          for (let i = 0; i < 4; i++) heard.push(await nameAt(nodes.outside, addressOf(index), 8095))
          return new Set(heard)
        }
        const names = new Set(await Promise.all(all.map(each => nameAt(each, '127.0.0.1'))))
        for (const index of nodes.hosts.keys())
          await eventually(async () => assert.deepEqual(await asked(index), names), MOVED)
        // Its own network stays what it is: tasks see who asks.
        const [asks, virtual] = await nodes.plainOn('shop', 'open')
        const own = await asks.address('shop')
        await eventually(async () => assert.equal((await who(asks, virtual))?.split(' ')[1], own), MOVED)
        await asks.host.docker('rm', '--force', 'asks')
        await nodes.manager.docker('service', 'rm', 'open')
      })

      it('tells of a wrong option as soon as the leader has looked at the network, and to each task', async () => {
        await nodes.manager.docker('network', 'create', '--driver', plugin, '--opt', 'vin=7', 'bad')
        const sentence = /option "vin" is not known; known are .*vni/
        const told = () =>
          nodes.manager.docker('network', 'inspect', '--format', '{{.Options.refused}}', 'bad')
        await eventually(async () => assert.match(await told(), sentence))
        assert.match(
          await nodes.manager.dockerd.tail(40),
          /network \w+ will be refused on every node: option/,
        )
        await nodes.service('never', '--network=bad')
        const tasksOf = ['service', 'ps', '--no-trunc', '--format', '{{.Error}}', 'never']
        await eventually(async () => assert.match(await nodes.manager.docker(...tasksOf), sentence), MOVED)
        await nodes.manager.docker('service', 'rm', 'never')
        await eventually(async () => void (await nodes.manager.docker('network', 'rm', 'bad')), MOVED)
      })

      it('adds a network to a service that runs, and drains a node', async () => {
        await nodes.network('barn', '10.92.0.0/16')
        await nodes.service('api', '--endpoint-mode=dnsrr', '--replicas=3', '--network=shop')
        await nodes.serving('api', 'shop', 3)
        await nodes.manager.docker('service', 'update', '--detach', '--quiet', '--network-add=barn', 'api')
        await meet(await nodes.serving('api', 'barn', 3), 'barn')
        const listed = (await nodes.manager.docker('node', 'ls', '--format', '{{.ID}} {{.Self}}')).split('\n')
        const other = listed.find(line => line.endsWith('false'))?.split(' ')[0] ?? ''
        await nodes.manager.docker('node', 'update', '--availability=drain', other)
        await nodes.serving('web', 'shop', COUNT - 1)
        await meet(await nodes.serving('api', 'barn', 3), 'barn')
        await nodes.manager.docker('node', 'update', '--availability=active', other)
        await nodes.serving('web', 'shop', COUNT)
        await nodes.manager.docker('service', 'rm', 'api')
      })

      it('runs the stack of deploy/stack.yaml', async () => {
        await nodes.stack('stack', 'sample')
        await until(
          'the probes to have reached the web',
          async () => {
            const told = await nodes.manager.docker('service', 'logs', '--raw', 'sample_probe')
            return told.match(/^reached web$/gm)?.length === 2
          },
          { deadline: MOVED, every: 500 },
        )
        const asks = ['socat', '-t5', '-', tcp(addressOf(1), 8080)]
        const { stdout } = await nodes.outside.attempt(asks, { input: 'GET /hostname HTTP/1.0\r\n\r\n' })
        assert.match(stdout, /^HTTP.* 200 /)
        // Docker 20.10 gives up on a network whose tasks are still going.
        const removed = () => nodes.manager.docker('stack', 'rm', 'sample')
        await until('the stack to go', () => removed().then(() => true), { deadline: MOVED, every: 500 })
      })

      it('loses any node, the leader too, and nothing lasts of it', async () => {
        const others = (await nodes.serving('web', 'shop', COUNT)).filter(each => each.host !== nodes.manager)
        const [one, two] = others as [Container, Container]
        const flow = pinging(one, await two.address('shop'))
        await during([flow], async () => {
          await nodes.at(0).powerOff()
          await until(
            'another leader',
            async () => (await nodes.at(1).docker('node', 'ls')).includes('Leader'),
            { deadline: MOVED },
          )
          await nodes
            .at(1)
            .docker('network', 'create', '--driver', plugin, '--subnet', '10.93.0.0/16', 'yard')
          await nodes
            .at(1)
            .docker(
              ...[
                'service',
                'create',
                '--detach',
                '--quiet',
                '--name',
                'new',
                '--endpoint-mode=dnsrr',
                '--network=yard',
              ],
              ...['--replicas=2', box],
            )
          await meet(await nodes.serving('new', 'yard', 2), 'yard')
        })
        await nodes.at(0).boot()
        await nodes.at(0).dockerd.start(nodes.at(0).holder)
        await meet(await nodes.serving('web', 'shop', COUNT), 'shop')
      })

      it('leaves nothing on any node', async () => {
        for (const each of ['web', 'new', 'tsnet_key']) await nodes.at(1).docker('service', 'rm', each)
        for (const each of ['shop', 'barn', 'yard'])
          await eventually(async () => void (await nodes.at(1).docker('network', 'rm', each)), MOVED)
        for (const host of nodes.hosts)
          await eventually(
            async () => assert.doesNotMatch(await host.exec('ip', '-o', 'link'), /ts[bvx]-/),
            MOVED,
          )
      })
    })
