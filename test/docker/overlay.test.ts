import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import type * as answers from '../../cli/answers.ts'
import { type Host, image, startHost } from '../bed/host.ts'
import { eventually, until } from '../bed/until.ts'
import { type Wire, wire } from '../bed/wire.ts'
import { Container } from './container.ts'
import { during, pinging, progress, streaming } from './flows.ts'
import { driver, engineNames, pings, who } from './support.ts'

const TSNET = resolve(import.meta.dirname, '../../dist/tsnet')
const KEY = Buffer.alloc(32, 7).toString('base64')
const COUNT = 3
/** The same on every host: it answers for containers' names. */
const GATEWAY = '10.90.0.1'
/** Milliseconds in which every host knows what another one told, on a machine that may stand still for a second. */
const KNOWN = 15_000
/** Milliseconds until a host that is gone is taken for dead. */
const DEAD = 120_000

const addressOf = (index: number) => `10.250.0.${index + 1}`
const seeds = Array.from({ length: COUNT }, (_, index) => addressOf(index)).join()

if (driver === 'tsnet')
  for (const engine of engineNames)
    describe(`an overlay network on ${COUNT} hosts, Docker ${engine}`, function () {
      this.timeout(240_000)
      const hosts: Host[] = []
      const cast: Container[] = []
      let net: Wire | undefined

      before(async () => {
        for (let index = 0; index < COUNT; index++) {
          // Without TSNET_BIND hosts meet by the address of the default route.
          const tsnetEnv = {
            TSNET_KEY: KEY,
            TSNET_JOIN: seeds,
            ...(index < 2 && { TSNET_BIND: addressOf(index) }),
          }
          hosts.push(await startHost({ engine, name: `o${index}`, tsnetEnv }))
        }
        const [first, ...others] = hosts as [Host, ...Host[]]
        net = await wire(first, ...others)
        for (const host of hosts) await host.tsnetd.start(host.holder)
        await createNetwork(hostAt(0))
        for (const host of hosts)
          await until('the network to be on every host', async () => (await named(host)).length === 1, {
            deadline: KNOWN,
          })
        for (const index of hosts.keys()) cast.push(await run(index, `box${index}`))
      })
      after(async () => {
        await net?.stop()
        await Promise.all(hosts.map(host => host.stop()))
      })

      const hostAt = (index: number) => hosts[index] as Host
      const boxAt = (index: number) => cast[index] as Container

      const named = (host: Host) => host.api.listNetworks({ filters: { name: ['shop'] } })

      /** On one host, for all of them. */
      const createNetwork = (host: Host) =>
        host.api.createNetwork({
          Name: 'shop',
          Driver: 'tsnet',
          Options: { mode: 'overlay' },
          IPAM: {
            Driver: 'tsnet',
            Config: [{ Subnet: '10.90.0.0/16' }],
          },
        })

      async function run(index: number, name: string): Promise<Container> {
        const host = hostAt(index)
        const container = await host.api.createContainer({
          name,
          Hostname: name,
          Image: image,
          ExposedPorts: { '80/tcp': {} },
          HostConfig: {
            NetworkMode: 'shop',
            Dns: [GATEWAY],
            PortBindings: { '80/tcp': [{ HostPort: '8080' }] },
          },
          NetworkingConfig: { EndpointsConfig: { shop: { Aliases: ['box'] } } },
        })
        await container.start()
        const box = new Container(host, name)
        await box.serves()
        return box
      }

      const entries = async (index: number) =>
        (await hostAt(index).exec('bridge', 'fdb', 'show')).split('\n').filter(line => / dst /.test(line))

      const links = (index: number) => hostAt(index).exec('ip', '-o', 'link', 'show')

      it('gives every container an address of its own', async () => {
        const addresses = await Promise.all(cast.map(box => box.address('shop')))
        assert.equal(new Set(addresses).size, COUNT, addresses.join())
      })

      it('carries packets between containers of all hosts', async () => {
        for (const from of cast)
          for (const to of cast)
            await eventually(async () => {
              assert.equal(
                await who(from, await to.address('shop')),
                `${to.name} ${await from.address('shop')}`,
              )
            }, KNOWN)
      })

      it('carries the largest packet that a container may send, and no larger one', async () => {
        const to = await boxAt(1).address('shop')
        const ping = (bytes: number) =>
          boxAt(0).attempt(['ping', '-c', '1', '-W', '2', '-M', 'do', '-s', String(bytes - 28), to])
        assert.equal((await ping(1450)).code, 0)
        assert.notEqual((await ping(1451)).code, 0)
      })

      it('leads outside and publishes ports at each host, as a bridge network does', async () => {
        const { outside } = net as Wire
        for (const [index, box] of cast.entries()) {
          assert(await pings(box, outside.far4))
          assert.equal(await who(outside, addressOf(index), 8080), `${box.name} ${outside.ipv4}`)
        }
      })

      it('goes on while tsnetd is killed and started', async () => {
        const to = await boxAt(1).address('shop')
        const flows = [pinging(boxAt(0), to), streaming(boxAt(2), to)]
        await during(flows, async () => {
          for (const index of [0, 1]) {
            await hostAt(index).tsnetd.kill()
            await progress(flows)
            await hostAt(index).tsnetd.start(hostAt(index).holder)
          }
        })
      })

      /** The operator's command on one host; its answer as JSON. */
      const tsnet = async (index: number, ...words: string[]) =>
        JSON.parse(await hostAt(index).exec(TSNET, ...words, '--json'))

      it('tells its operator who is there and what is where', async () => {
        await eventually(async () => {
          const members: answers.Member[] = await tsnet(0, 'members')
          assert.deepEqual(members.map(({ state }) => state).sort(), ['alive', 'alive', 'self'])
          assert.deepEqual(
            members.flatMap(({ tunnel }) => tunnel).sort(),
            Array.from({ length: COUNT }, (_, at) => addressOf(at)),
          )
          const [shop]: answers.Network[] = await tsnet(1, 'networks')
          assert.partialDeepStrictEqual(shop, {
            name: 'shop',
            mode: 'overlay',
            here: 1,
            elsewhere: COUNT - 1,
          })
          const endpoints: answers.Endpoint[] = await tsnet(2, 'endpoints')
          assert.deepEqual(
            endpoints.flatMap(({ addresses }) => addresses).sort(),
            (await Promise.all(cast.map(box => box.address('shop')))).sort(),
          )
          assert.equal(endpoints.find(({ tunnel }) => !tunnel)?.container, 'box2')
          const fdb: answers.FdbLine[] = await tsnet(0, 'fdb')
          assert.deepEqual([fdb.length > 0, fdb.filter(({ state }) => state !== 'same')], [true, []])
          assert.deepEqual(await tsnet(0, 'plan'), { steps: [] })
        }, KNOWN)
      })

      /** Addresses, or names, that a container gets for a name, or an address. */
      const resolves = async (from: Container, name: string, ...server: string[]) => {
        const { stdout } = await from.attempt(['timeout', '10', 'nslookup', name, ...server])
        const found = stdout.matchAll(/^Address:\s+(\S+)$|name = (\S+)$/gm)
        const all = [...found].map(([, address, called]) => address ?? called ?? '')
        return all.filter(each => !each.endsWith(':53')).sort()
      }

      it('tells containers each other by name, as Docker does on one host', async () => {
        const addresses = await Promise.all(cast.map(box => box.address('shop')))
        await eventually(async () => {
          for (const [index, address] of addresses.entries())
            for (const from of cast) {
              assert.deepEqual(await resolves(from, `box${index}`), [address])
              assert.deepEqual(await resolves(from, `box${index}.shop`), [address])
            }
        }, KNOWN)
        assert.deepEqual(await resolves(boxAt(0), addresses[1] ?? ''), ['box1'])
        assert.deepEqual(await resolves(boxAt(0), 'box', GATEWAY), addresses.sort(), 'an alias that all have')
      })

      it('changes its gossip key without losing a packet', async () => {
        const flows = [pinging(boxAt(0), await boxAt(1).address('shop'))]
        await during(flows, async () => {
          const { keys }: answers.Keys = await tsnet(0, 'keys', 'install')
          const made = keys.find(({ primary }) => primary === 0)?.key ?? ''
          await tsnet(1, 'keys', 'use', made)
          await tsnet(2, 'keys', 'remove', KEY)
          const left: answers.Keys = await tsnet(0, 'keys', 'list', '--show')
          assert.deepEqual(left, {
            hosts: COUNT,
            keys: [{ key: made, hosts: COUNT, primary: COUNT }],
            trouble: [],
          })
          await progress(flows)
        })
      })

      it('follows a host that gets another address, and back', async () => {
        const to = await boxAt(2).address('shop')
        const moves = async (from: string, next: string) => {
          const ip = (...words: string[]) => hostAt(2).exec('ip', ...words)
          await ip('address', 'delete', `${from}/24`, 'dev', 'eth0')
          await ip('address', 'add', `${next}/24`, 'dev', 'eth0')
          await ip('route', 'replace', 'default', 'via', '10.250.0.254')
          await eventually(
            async () => assert.match((await entries(0)).join(), new RegExp(`dst ${next}\\b`)),
            KNOWN,
          )
          await eventually(async () => assert(await pings(boxAt(0), to)), KNOWN)
        }
        await moves(addressOf(2), '10.250.0.77')
        await moves('10.250.0.77', addressOf(2))
      })

      it('follows a host that has an IPv6 address alone for a while before it gets another one', async () => {
        const to = await boxAt(2).address('shop')
        const ip = (...words: string[]) => hostAt(2).exec('ip', ...words)
        const gossip = () => hostAt(2).exec(TSNET, 'status')
        for (const [from, next] of [
          [addressOf(2), '10.250.0.77'],
          ['10.250.0.77', addressOf(2)],
        ]) {
          await ip('address', 'delete', `${from}/24`, 'dev', 'eth0')
          await eventually(async () => assert.match(await gossip(), /^gossip +\[?fd00:250::/m), KNOWN)
          await ip('address', 'add', `${next}/24`, 'dev', 'eth0')
          await ip('route', 'replace', 'default', 'via', '10.250.0.254')
          await eventually(async () => assert(await pings(boxAt(0), to)), KNOWN)
        }
      })

      it('follows the MTU of the link that hosts meet by', async () => {
        const mtu = async () =>
          [...(await links(0)).matchAll(/ (ts[bx]-)\S+ .* mtu (\d+)/g)].map(
            ([, kind, size]) => `${kind}${size}`,
          )
        const before = await mtu()
        await hostAt(0).exec('ip', 'link', 'set', 'eth0', 'mtu', '1400')
        await eventually(async () => assert.deepEqual(await mtu(), ['tsb-1350', 'tsx-1350']), KNOWN)
        await hostAt(0).exec('ip', 'link', 'set', 'eth0', 'mtu', '1500')
        await eventually(async () => assert.deepEqual(await mtu(), before), KNOWN)
      })

      it('knows a container no longer once it is gone, and a new one at once', async () => {
        const count = async (wanted: number) => assert.equal((await entries(0)).length, wanted)
        await eventually(() => count(COUNT - 1), KNOWN)
        await hostAt(2).api.getContainer('box2').remove({ force: true })
        await eventually(() => count(COUNT - 2), KNOWN)
        await eventually(async () => assert.doesNotMatch(await links(2), /tsx-/), KNOWN)
        cast[2] = await run(2, 'box2')
        const to = await boxAt(2).address('shop')
        await eventually(async () => assert(await pings(boxAt(0), to)), KNOWN)
        await eventually(async () => assert.deepEqual(await resolves(boxAt(0), 'box2'), [to]), KNOWN)
      })

      it('keeps what it knows of a host that is lost, and knows it anew when that is back', async () => {
        const known = await entries(0)
        await hostAt(1).powerOff()
        const lost = () => hostAt(0).tsnetd.tail()
        await until('host 2 to be taken for dead', async () => (await lost()).includes('member: dead'), {
          deadline: DEAD,
        })
        assert.deepEqual(await entries(0), known)
        await hostAt(1).boot()
        await hostAt(1).tsnetd.start(hostAt(1).holder)
        await hostAt(1).dockerd.start(hostAt(1).holder)
        await hostAt(1).api.getContainer('box1').start()
        await boxAt(1).serves()
        const to = await boxAt(1).address('shop')
        await eventually(async () => assert(await pings(boxAt(0), to)), DEAD)
      })

      it('is removed everywhere when it is removed on one host, and leaves nothing', async () => {
        for (const [index, host] of hosts.entries())
          await host.api.getContainer(`box${index}`).remove({ force: true })
        await hostAt(1).api.getNetwork('shop').remove()
        for (const host of hosts) await eventually(async () => assert.deepEqual(await named(host), []), DEAD)
        for (const index of hosts.keys())
          await eventually(async () => assert.doesNotMatch(await links(index), /ts[bvxy]-/), KNOWN)
      })

      it('forgets a host when it is told to, and takes it as a new one when it comes back', async () => {
        const state = async (index: number, host: string) =>
          (await tsnet(index, 'members')).find((each: answers.Member) => each.host === host)?.state
        const { host } = (await tsnet(2, 'status')).cluster
        await hostAt(2).tsnetd.kill()
        await until('it to be missed', async () => (await state(0, host)) === 'dead', { deadline: DEAD })
        await tsnet(0, 'forget', host)
        await eventually(async () => assert.equal(await state(1, host), undefined), KNOWN)
        await hostAt(2).tsnetd.start(hostAt(2).holder)
        await eventually(async () => assert.equal(await state(1, host), 'alive'), DEAD)
      })
    })
