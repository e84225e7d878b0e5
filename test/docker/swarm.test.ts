import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Host, image, startHost } from '../bed/host.ts'
import { patience } from '../bed/patience.ts'
import { type Registry, registryAddress, startRegistry } from '../bed/registry.ts'
import { formSwarm } from '../bed/swarm.ts'
import { eventually, until } from '../bed/until.ts'
import { type Wire, wire } from '../bed/wire.ts'
import { project } from '../plugin/privileges.ts'
import { Container } from './container.ts'
import { asking, during, pinging } from './flows.ts'
import { driver, engineNames, pings, who } from './support.ts'

const TSNET = join(project, 'dist/tsnet')
const base64 = (fill: number) => Buffer.alloc(32, fill).toString('base64')
const COUNT = 3
const name = 'tsnet:latest'
const box = `${registryAddress}/${image}`
/** Milliseconds in which Swarm has noticed that a node is lost and started its tasks elsewhere, on a machine that may stand still. */
const MOVED = 120_000

/** Why this kernel has none; Debian's has it as a module. */
const noIpvs = ipvs()

function ipvs(): string | undefined {
  spawnSync('modprobe', ['--quiet', 'ip_vs'])
  return existsSync('/proc/net/ip_vs')
    ? undefined
    : 'no ip_vs here (make vm-kernel, make test-vm SUITES=swarm)'
}

const addressOf = (index: number) => `10.250.0.${index + 1}`

if (driver === 'tsnet')
  for (const engine of engineNames)
    describe(`Swarm of ${COUNT} nodes, Docker ${engine}`, function () {
      this.timeout(300_000 * patience)
      const hosts: Host[] = []
      let net: Wire
      let registry: Registry

      const hostAt = (index: number) => hosts[index] as Host
      const manager = () => hostAt(0)

      before(async () => {
        const daemonJson = { 'insecure-registries': [registryAddress] }
        for (let index = 0; index < COUNT; index++)
          hosts.push(await startHost({ engine, name: `s${index}`, daemonJson }))
        const [first, ...others] = hosts as [Host, ...Host[]]
        net = await wire(first, ...others)
        registry = await startRegistry(net.outside)
        await first.docker('tag', image, box)
        await first.docker('push', box)
        for (const [index, host] of hosts.entries()) await plugIn(host, addressOf(index))
        await formSwarm([first, ...others], 'manager', net)
        await secret('tsnet-key', base64(9))
        await stack('swarm-key', 'tsnet')
      })
      after(async () => {
        await registry?.stop()
        await net?.stop()
        await Promise.all(hosts.map(host => host.stop()))
      })

      /** Running tasks of a service on all hosts. */
      async function tasks(service: string): Promise<Container[]> {
        const filters = { label: [`com.docker.swarm.service.name=${service}`], status: ['running'] }
        const found = await Promise.all(
          hosts
            .filter(host => host.dockerd.running)
            .map(async host => {
              const listed = await host.api.listContainers({ filters })
              return listed.map(({ Id }) => new Container(host, Id))
            }),
        )
        return found.flat()
      }

      /** As many tasks of a service, all of them serving and on a network; one may be replaced by another while it is looked at. */
      const serving = (service: string, network: string, count: number): Promise<Container[]> =>
        until(
          `${count} tasks of ${service} on ${network}`,
          async () => {
            const found = await tasks(service)
            if (found.length !== count) return undefined
            for (const each of found) {
              await each.address(network)
              await each.serves()
            }
            return found
          },
          { deadline: MOVED, every: 300 },
        )

      /** Every one reaches every one, by address, on one network. */
      async function meet(all: readonly Container[], network: string): Promise<void> {
        for (const from of all)
          for (const to of all) {
            const address = await to.address(network)
            await eventually(async () => assert(await pings(from, address)), MOVED)
          }
      }

      async function secret(of: string, text: string): Promise<void> {
        const file = join(manager().folder, of)
        await writeFile(file, text)
        await manager().docker('secret', 'create', of, file)
      }

      /** A stack of deploy/. */
      async function stack(file: string, of: string): Promise<void> {
        const text = await readFile(join(project, `deploy/${file}.yaml`), 'utf8')
        const copy = join(manager().folder, `${file}.yaml`)
        await writeFile(copy, text.replaceAll('image: busybox', `image: ${box}`))
        await manager().docker('stack', 'deploy', '--compose-file', copy, of)
      }

      /** Keys that a node knows of, each with how many nodes have it, and how many use it. */
      async function keys(host: Host): Promise<[string, number, number][]> {
        const told = await host.exec(TSNET, 'keys', 'list', '--show', '--json')
        const { keys } = JSON.parse(told) as { keys: { key: string; hosts: number; primary: number }[] }
        return keys.map(each => [each.key, each.hosts, each.primary])
      }

      const service = (of: string, ...args: string[]) =>
        manager().docker('service', 'create', '--detach', '--quiet', '--name', of, ...args, box)

      it('makes an overlay for all nodes, whose tasks reach each other by name', async () => {
        await manager().docker(
          'network',
          'create',
          '--driver',
          name,
          '--attachable',
          '--subnet',
          '10.91.0.0/16',
          'shop',
        )
        await service('web', '--endpoint-mode=dnsrr', '--mode=global', '--network=shop')
        const all = await serving('web', 'shop', COUNT)
        await meet(all, 'shop')
        const [first] = all as [Container]
        const { stdout } = await first.attempt(['nslookup', '-type=a', 'tasks.web', '127.0.0.11'])
        for (const each of all)
          assert.match(stdout, new RegExp(`${(await each.address('shop')).replaceAll('.', '\\.')}\\b`))
      })

      it('has its gossip key from a secret, and changes it with the secret, under a flow', async () => {
        for (const host of hosts)
          await eventually(async () => assert.deepEqual(await keys(host), [[base64(9), COUNT, COUNT]]), MOVED)
        const [one, two] = (await serving('web', 'shop', COUNT)) as [Container, Container]
        await secret('tsnet-key-2', base64(10))
        await during([pinging(one, await two.address('shop'))], async () => {
          const other = ['--secret-rm', 'tsnet-key', '--secret-add', 'source=tsnet-key-2,target=tsnet-key']
          await manager().docker('service', 'update', '--detach', '--quiet', ...other, 'tsnet_key')
          const both = [
            [base64(10), COUNT, COUNT],
            [base64(9), COUNT, 0],
          ]
          for (const host of hosts)
            await eventually(async () => assert.deepEqual(await keys(host), both), MOVED)
          await hostAt(1).exec(TSNET, 'keys', 'remove', base64(9))
        })
        assert.deepEqual(await keys(hostAt(2)), [[base64(10), COUNT, COUNT]])
        for (const host of hosts)
          assert.doesNotMatch(await host.docker('plugin', 'inspect', name), /TSNET_KEY=\w/)
      })

      it('serves plain containers on the same overlay', async () => {
        const host = hostAt(2)
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
        const all = await tasks('web')
        for (const each of all) {
          await each.serves()
          await eventually(async () => {
            assert.equal(await who(each, await plain.address('shop')), `plain ${await each.address('shop')}`)
          }, MOVED)
        }
        await host.docker('rm', '--force', 'plain')
      })

      /** A plain container on the network, and the address that it knows a service by. */
      async function plainOn(network: string, of: string): Promise<[asks: Container, virtual: string]> {
        const asks = new Container(hostAt(1), 'asks')
        await asks.host.docker('run', '--detach', '--name', asks.name, '--network', network, box)
        await asks.serves()
        const { stdout } = await asks.attempt(['nslookup', '-type=a', of, '127.0.0.11'])
        return [asks, new RegExp(`Name:\\s+${of}\\s+Address: (\\S+)`).exec(stdout)?.[1] ?? '']
      }

      it('leads a service’s virtual address to its tasks in turn, from tasks and plain containers', async () => {
        // A published port brings Docker's own network in beside ours.
        await service('vip', '--replicas=3', '--network=shop', '--publish=8090:80')
        const all = await serving('vip', 'shop', 3)
        const [asks, virtual] = await plainOn('shop', 'vip')
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
        await manager().docker('service', 'scale', '--detach', 'vip=1')
        await serving('vip', 'shop', 1)
        await eventually(async () => assert.deepEqual(await answers(asks, 4), [4]), MOVED)
        await asks.host.docker('rm', '--force', 'asks')
        await manager().docker('service', 'rm', 'vip')
      })

      it('refuses no request while a service is rolled over and scaled down', async () => {
        await service('roll', '--replicas=3', '--network=shop', '--update-order=start-first')
        const old = new Set((await serving('roll', 'shop', 3)).map(each => each.name))
        const [asks, virtual] = await plainOn('shop', 'roll')
        const from = [asks, ...(await tasks('web'))]
        for (const each of from) {
          await each.serves()
          await eventually(async () => assert.ok(await who(each, virtual)), MOVED)
        }
        await during(
          from.map(each => asking(each, virtual)),
          async () => {
            await manager().docker('service', 'update', '--detach', '--quiet', '--force', 'roll')
            await until(
              'the new tasks alone to run',
              async () => {
                const now = await tasks('roll')
                return now.length === 3 && now.every(each => !old.has(each.name))
              },
              { deadline: MOVED, every: 300 },
            )
            await manager().docker('service', 'scale', '--detach', 'roll=1')
            await serving('roll', 'shop', 1)
          },
        )
        await asks.host.docker('rm', '--force', 'asks')
        await manager().docker('service', 'rm', 'roll')
      })

      const ingress = 'leads a published port of every node to the tasks, by Docker’s ingress network'
      ;(noIpvs ? it.skip : it)(`${ingress}${noIpvs ? `: ${noIpvs}` : ''}`, async () => {
        await service('open', '--replicas=2', '--network=shop', '--publish=8095:80')
        const all = await serving('open', 'shop', 2)
        const nameAt = async (...at: Parameters<typeof who>) => (await who(...at))?.split(' ')[0]
        /** Who answers at a node. */
        const asked = async (index: number) => {
          const heard = []
          for (let i = 0; i < 4; i++) heard.push(await nameAt(net.outside, addressOf(index), 8095))
          return new Set(heard)
        }
        const names = new Set(await Promise.all(all.map(each => nameAt(each, '127.0.0.1'))))
        for (const index of hosts.keys())
          await eventually(async () => assert.deepEqual(await asked(index), names), MOVED)
        // Its own network stays what it is: tasks see who asks.
        const [asks, virtual] = await plainOn('shop', 'open')
        const own = await asks.address('shop')
        await eventually(async () => assert.equal((await who(asks, virtual))?.split(' ')[1], own), MOVED)
        await asks.host.docker('rm', '--force', 'asks')
        await manager().docker('service', 'rm', 'open')
      })

      it('tells of a wrong option as soon as the leader has looked at the network, and to each task', async () => {
        await manager().docker('network', 'create', '--driver', name, '--opt', 'vin=7', 'bad')
        const sentence = /option "vin" is not known; known are .*vni/
        const told = () => manager().docker('network', 'inspect', '--format', '{{.Options.refused}}', 'bad')
        await eventually(async () => assert.match(await told(), sentence))
        assert.match(await manager().dockerd.tail(40), /network \w+ will be refused on every node: option/)
        await service('never', '--network=bad')
        const tasksOf = ['service', 'ps', '--no-trunc', '--format', '{{.Error}}', 'never']
        await eventually(async () => assert.match(await manager().docker(...tasksOf), sentence), MOVED)
        await manager().docker('service', 'rm', 'never')
        await eventually(async () => void (await manager().docker('network', 'rm', 'bad')), MOVED)
      })

      it('adds a network to a service that runs, and drains a node', async () => {
        await manager().docker('network', 'create', '--driver', name, '--subnet', '10.92.0.0/16', 'barn')
        await service('api', '--endpoint-mode=dnsrr', '--replicas=3', '--network=shop')
        await serving('api', 'shop', 3)
        await manager().docker('service', 'update', '--detach', '--quiet', '--network-add=barn', 'api')
        await meet(await serving('api', 'barn', 3), 'barn')
        const nodes = (await manager().docker('node', 'ls', '--format', '{{.ID}} {{.Self}}')).split('\n')
        const other = nodes.find(line => line.endsWith('false'))?.split(' ')[0] ?? ''
        await manager().docker('node', 'update', '--availability=drain', other)
        await serving('web', 'shop', COUNT - 1)
        await meet(await serving('api', 'barn', 3), 'barn')
        await manager().docker('node', 'update', '--availability=active', other)
        await serving('web', 'shop', COUNT)
        await manager().docker('service', 'rm', 'api')
      })

      it('runs the stack of deploy/stack.yaml', async () => {
        await stack('stack', 'sample')
        await until(
          'the probes to have reached the web',
          async () => {
            const told = await manager().docker('service', 'logs', '--raw', 'sample_probe')
            return told.match(/^reached web$/gm)?.length === 2
          },
          { deadline: MOVED, every: 500 },
        )
        const page = `http://${addressOf(1)}:8080/hostname`
        assert.notEqual(await net.outside.exec('busybox', 'wget', '-q', '-O', '-', page), '')
        // Docker 20.10 gives up on a network whose tasks are still going.
        const removed = () => manager().docker('stack', 'rm', 'sample')
        await until('the stack to go', () => removed().then(() => true), { deadline: MOVED, every: 500 })
      })

      it('loses any node, the leader too, and nothing lasts of it', async () => {
        const others = (await serving('web', 'shop', COUNT)).filter(each => each.host !== manager())
        const [one, two] = others as [Container, Container]
        const flow = pinging(one, await two.address('shop'))
        await during([flow], async () => {
          await hostAt(0).powerOff()
          await until(
            'another leader',
            async () => (await hostAt(1).docker('node', 'ls')).includes('Leader'),
            { deadline: MOVED },
          )
          await hostAt(1).docker('network', 'create', '--driver', name, '--subnet', '10.93.0.0/16', 'yard')
          await hostAt(1).docker(
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
          await meet(await serving('new', 'yard', 2), 'yard')
        })
        await hostAt(0).boot()
        await hostAt(0).dockerd.start(hostAt(0).holder)
        await meet(await serving('web', 'shop', COUNT), 'shop')
      })

      it('leaves nothing on any node', async () => {
        for (const each of ['web', 'new', 'tsnet_key']) await hostAt(1).docker('service', 'rm', each)
        for (const each of ['shop', 'barn', 'yard'])
          await eventually(async () => void (await hostAt(1).docker('network', 'rm', each)), MOVED)
        for (const host of hosts)
          await eventually(
            async () => assert.doesNotMatch(await host.exec('ip', '-o', 'link'), /ts[bvx]-/),
            MOVED,
          )
      })
    })

async function plugIn(host: Host, address: string): Promise<void> {
  await host.docker('plugin', 'create', name, join(project, 'dist/plugin'))
  await host.docker('plugin', 'set', name, 'TSNET_SCOPE=global', `TSNET_BIND=${address}`)
  await host.docker('plugin', 'enable', name)
}
