import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { resolve } from 'node:path'
import type * as answers from '../../cli/answers.ts'
import { type Host, image, startHost } from '../bed/host.ts'
import { formSwarm } from '../bed/swarm.ts'
import { eventually, until } from '../bed/until.ts'
import { type Wire, wire } from '../bed/wire.ts'
import { Container } from './container.ts'
import { captured, heal, hush, lose, part, replay } from './faults.ts'
import { during, type Flow, pinging, progress } from './flows.ts'
import { driver, engineNames, pings } from './support.ts'

const TSNET = resolve(import.meta.dirname, '../../dist/tsnet')
const KEY = Buffer.alloc(32, 5).toString('base64')
const COUNT = 3
/** Docker's own overlay has 4789. */
const VXLAN = 4790
/** Milliseconds until a host that is gone is taken for dead, and until a host that is back is heard of, on a machine that may stand still. */
const DEAD = 60_000
/** Milliseconds in which tables are equal: after the last change while a tenth of all packets is lost, and after a partition heals. */
const LOSSY = 3_000
const HEALED = 5_000

const addressOf = (index: number) => `10.250.0.${index + 1}`
const all = Array.from({ length: COUNT }, (_, index) => index)

if (driver === 'tsnet')
  for (const engine of engineNames)
    describe(`chaos among ${COUNT} hosts, Docker ${engine}`, function () {
      this.timeout(180_000)
      const hosts: Host[] = []
      let cast: Container[] = []
      let net: Wire | undefined

      before(async () => {
        const tsnetEnv = {
          TSNET_KEY: KEY,
          TSNET_JOIN: all.map(addressOf).join(),
          TSNET_VXLAN_PORT: String(VXLAN),
        }
        for (const index of all)
          hosts.push(
            await startHost({
              engine,
              name: `c${index}`,
              tsnetEnv: { ...tsnetEnv, TSNET_BIND: addressOf(index) },
            }),
          )
        const [first, ...others] = hosts as [Host, ...Host[]]
        net = await wire(first, ...others)
        for (const host of hosts) await host.tsnetd.start(host.holder)
        await first.api.createNetwork({
          Name: 'shop',
          Driver: 'tsnet',
          Options: { mode: 'overlay' },
          IPAM: { Driver: 'tsnet', Config: [{ Subnet: '10.90.0.0/16' }] },
        })
        for (const host of hosts)
          await until(
            'the network to be on every host',
            async () => (await host.api.listNetworks({ filters: { name: ['shop'] } })).length === 1,
          )
        cast = await Promise.all(all.map(index => run(index, `box${index}`)))
        await equal(DEAD)
      })
      after(async () => {
        await net?.stop()
        await Promise.all(hosts.map(host => host.stop()))
      })
      afterEach(async function () {
        if (this.currentTest?.state === 'failed')
          for (const host of hosts) console.error(await host.tsnetd.tail(20).catch(String))
      })

      const hostAt = (index: number) => hosts[index] as Host
      const boxAt = (index: number) => cast[index] as Container
      const addresses = () => Promise.all(cast.map(box => box.address('shop')))

      async function run(index: number, name: string, network = 'shop'): Promise<Container> {
        const host = hostAt(index)
        const HostConfig = { NetworkMode: network }
        await (await host.api.createContainer({ name, Hostname: name, Image: image, HostConfig })).start()
        const box = new Container(host, name)
        await box.serves()
        return box
      }

      const remove = (box: Container) => box.host.api.getContainer(box.name).remove({ force: true })

      /** The operator's command on one host; its answer as JSON. */
      const tsnet = async (index: number, word: string) =>
        JSON.parse(await hostAt(index).exec(TSNET, word, '--json'))

      /** What a host has in its table, its own part too; and that the kernel has it. */
      async function table(index: number): Promise<string> {
        const [endpoints, fdb]: [answers.Endpoint[], answers.FdbLine[]] = await Promise.all([
          tsnet(index, 'endpoints'),
          tsnet(index, 'fdb'),
        ])
        const odd = fdb.filter(({ state }) => state !== 'same').map(({ line, state }) => `${state} ${line}`)
        return [...endpoints.map(({ id, mac, addresses }) => `${id} ${mac} ${addresses}`), ...odd]
          .sort()
          .join('\n')
      }

      /** Waits until every host has the same table and every kernel has it too; `words` are in it. Milliseconds that it took. */
      async function equal(
        within: number,
        there: readonly string[] = [],
        gone: readonly string[] = [],
      ): Promise<number> {
        const begun = performance.now()
        let took = 0
        await eventually(async () => {
          took = performance.now() - begun
          const [first = '', ...others] = await Promise.all(all.map(table))
          for (const other of others) assert.equal(other, first)
          assert.doesNotMatch(first, /^(missing|extra|contested) /m)
          for (const address of there)
            assert.ok(first.split(/[\s,]/).includes(address), `${address} in ${first}`)
          for (const address of gone)
            assert.ok(!first.split(/[\s,]/).includes(address), `${address} not in ${first}`)
        }, within)
        return took
      }

      /** Everybody pings the next one. */
      const ring = async () => {
        const targets = await addresses()
        return cast.map((box, index) => pinging(box, targets[(index + 1) % COUNT] as string))
      }

      /** Echo requests and answers that went through all boxes so far: how many left, how many came. */
      async function echoes() {
        const counts = await Promise.all(
          cast.map(async box => {
            const [names, values] = (await box.exec('grep', '^Icmp:', '/proc/net/snmp')).split('\n')
            const at = (name: string) => Number(values?.split(' ')[names?.split(' ').indexOf(name) ?? -1])
            return [at('OutEchos'), at('InEchos'), at('OutEchoReps'), at('InEchoReps')]
          }),
        )
        return counts.reduce(
          (sum, each) => sum.map((count, index) => count + (each[index] ?? 0)),
          [0, 0, 0, 0],
        )
      }

      /** Nothing is lost meanwhile, as both ends count it. */
      async function unharmed(work: (flows: readonly Flow[]) => Promise<void>): Promise<void> {
        const before = await echoes()
        const flows = await ring()
        await during(flows, () => work(flows))
        await eventually(async () => {
          const [sent, ...came] = (await echoes()).map((count, index) => count - (before[index] ?? 0))
          assert.deepEqual(
            came,
            [sent, sent, sent],
            'echo requests that came, answers that left, answers that came',
          )
        })
      }

      const missed = (index: number, others: number) =>
        until(
          `host ${index} to miss ${others}`,
          async () => {
            const members: answers.Member[] = await tsnet(index, 'members')
            return members.filter(({ state }) => state === 'dead').length === others
          },
          { deadline: DEAD, every: 200 },
        )

      it('has equal tables 3 s after the last change while a tenth of all packets is lost', async () => {
        await Promise.all(hosts.map(host => lose(host, 10)))
        for (const index of all) {
          const extra = await run(index, `extra${index}`)
          const address = await extra.address('shop')
          await equal(LOSSY, [address])
          await remove(extra)
          await equal(LOSSY, [], [address])
        }
        await Promise.all(hosts.map(heal))
      })

      it('goes on without gossip, and loses no packet', async () => {
        await unharmed(async flows => {
          await Promise.all(hosts.map(hush))
          await Promise.all(all.map(index => missed(index, COUNT - 1)))
          await progress(flows)
          await Promise.all(hosts.map(heal))
          await equal(DEAD)
        })
      })

      it('starts containers on both sides of a partition, and is whole 5 s after it', async () => {
        const others = all.slice(0, 2).map(addressOf)
        await equal(DEAD)
        await until(
          'all to be members',
          async () => {
            const members: answers.Member[] = (
              await Promise.all(all.map(index => tsnet(index, 'members')))
            ).flat()
            return members.every(({ state }) => state === 'alive' || state === 'self')
          },
          { deadline: DEAD },
        )
        await part(hostAt(2), others)
        await missed(2, 2)
        await missed(0, 1)
        const extras = await Promise.all([0, 2].map(index => run(index, `parted${index}`)))
        const given = await Promise.all(extras.map(box => box.address('shop')))
        assert.equal(new Set([...given, ...(await addresses())]).size, COUNT + 2)
        const [there = ''] = await addresses()
        assert.equal(await pings(boxAt(1), there), true, 'within a side all goes on')
        await heal(hostAt(2))
        await equal(HEALED, given)
        await eventually(async () => assert(await pings(boxAt(1), given[1] ?? '')), HEALED)
        await Promise.all(extras.map(remove))
        await equal(DEAD, [], given)
      })

      it('loses no packet while tsnetd is killed, and stopped for another one, on each host in turn', async () => {
        await unharmed(async flows => {
          for (const { tsnetd, holder } of hosts) {
            await tsnetd.kill()
            await progress(flows)
            await tsnetd.start(holder)
            await tsnetd.stop()
            await tsnetd.start(holder)
            await progress(flows)
          }
        })
        await equal(DEAD)
      })

      it('takes nothing from a machine that hasn’t the key: noise, and what hosts said once', async () => {
        const { outside } = net as Wire
        const heard = await captured(hostAt(0), 7947, 20)
        const before = await Promise.all(all.map(table))
        const members = async () => {
          const listed: answers.Member[] = await tsnet(1, 'members')
          return listed.map(({ host, state, address, tunnel }) => `${host} ${state} ${address} ${tunnel}`)
        }
        const known = await members()
        await unharmed(async flows => {
          for (const frame of heard) await replay(outside, frame, '02:fa:00:00:00:fe')
          for (const [protocol, port] of [
            ['UDP', 7947],
            ['TCP', 7947],
            ['UDP', VXLAN],
          ] as const)
            for (let count = 0; count < 5; count++)
              await outside.attempt(['socat', '-u', '-', `${protocol}:${addressOf(count % COUNT)}:${port}`], {
                input: randomBytes(200 * (count + 1)),
              })
          await progress(flows)
        })
        assert.deepEqual(await Promise.all(all.map(table)), before)
        assert.deepEqual(await members(), known)
      })

      it('works beside Docker Swarm’s own overlay on the same hosts', async () => {
        const [first, ...others] = hosts as [Host, ...Host[]]
        await formSwarm([first, ...others], 'worker', net as Wire)
        await first.docker('network', 'create', '--driver=overlay', '--attachable', 'theirs')
        const guests = [await run(0, 'guest0', 'theirs'), await run(1, 'guest1', 'theirs')] as const
        const there = await guests[1].address('theirs')
        await unharmed(async flows => {
          await eventually(async () => assert(await pings(guests[0], there)), DEAD)
          await progress(flows)
        })
        await Promise.all(guests.map(remove))
        for (const host of hosts) await host.docker('swarm', 'leave', '--force')
        await equal(DEAD)
      })

      it('knows every container again after all hosts lost their power at once, one of them earlier', async () => {
        const before = await addresses()
        const entries = await table(0)
        const flow = pinging(boxAt(0), before[1] ?? '')
        await during([flow], async () => {
          await hostAt(2).powerOff()
          await missed(0, 1)
          assert.equal(await table(0), entries, 'what is known of a host that is lost stays')
        })
        await Promise.all([0, 1].map(index => hostAt(index).powerOff()))
        await Promise.all(
          hosts.map(async host => {
            await host.boot()
            await host.tsnetd.start(host.holder)
            await host.dockerd.start(host.holder)
          }),
        )
        await Promise.all(all.map(index => hostAt(index).api.getContainer(`box${index}`).start()))
        for (const box of cast) await box.serves()
        const after = await addresses()
        assert.equal(new Set(after).size, COUNT, after.join())
        await equal(DEAD, after)
        for (const from of cast)
          for (const to of after) await eventually(async () => assert(await pings(from, to)), DEAD)
      })
    })
