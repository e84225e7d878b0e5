import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { changes, type Snapshot, snapshot } from '../bed/snapshot.ts'
import { eventually } from '../bed/until.ts'
import { again } from './again.ts'
import { during, pinging, progress, streaming } from './flows.ts'
import { type Bed, type Container, driver, onDocker, pings, who } from './support.ts'

/** Milliseconds in which tsnetd has asked Docker for its list and dropped what isn't in it. */
const COLLECTED = 60_000

const subnets = ['10.77.0.0/24']

onDocker(
  'life goes on',
  bed => {
    if (driver === 'tsnet') {
      bed.it('while tsnetd is restarted', () =>
        undisturbed(bed, async () => {
          await bed.host.restart(bed.host.tsnetd)
        }),
      )

      bed.it('while tsnetd is killed and started', () =>
        undisturbed(bed, async flows => {
          await bed.host.tsnetd.kill()
          await progress(flows)
          await bed.host.tsnetd.start(bed.host.holder)
        }),
      )

      bed.it('after tsnetd was away, and a start failed meanwhile', async () => {
        await bed.network('n', { subnets })
        const ann = await bed.run('ann', 'n')
        await bed.host.tsnetd.kill()
        const begin = Date.now()
        await assert.rejects(bed.run('bob', 'n', { publish: ['8080:80'] }))
        assert(Date.now() - begin < 60_000, 'Docker gives up')
        await bed.host.tsnetd.start(bed.host.holder)
        await bed.host.api.getContainer('bob').start()
        await bed.container('bob').serves()
        assert.equal(await who(ann, 'bob'), `bob ${await ann.address('n')}`)
        assert.equal(await who(bed.outside, bed.ipv4, 8080), `bob ${bed.outside.ipv4}`)
      })

      bed.it('without what was removed while tsnetd was away', async () => {
        await bed.network('n', { subnets, ipam: 'tsnet' })
        await bed.network('m', { subnets: ['10.78.0.0/24', 'fd00:78::/64'], ipam: 'tsnet' })
        const ann = await bed.run('ann', 'n', { publish: ['8080:80'] })
        await bed.run('bob', 'm', { publish: ['8081:80'] })
        await bed.host.tsnetd.kill()
        await withoutAnswers(bed, async () => {
          await bed.host.api.getContainer('bob').remove({ force: true })
          await bed.host.api.getNetwork('m').remove()
        })
        await bed.host.tsnetd.start(bed.host.holder)
        assert.equal(await who(bed.outside, bed.ipv4, 8080), `ann ${bed.outside.ipv4}`)
        assert(await pings(ann, bed.outside.far4))
        await bed.clear()
        await eventually(() => bed.unchanged(), COLLECTED)
      })
    }

    bed.it('when dockerd is restarted', async () => {
      await bed.network('n', { subnets })
      const ann = await bed.run('ann', 'n', { publish: ['8080:80'], restart: 'always' })
      const bob = await bed.run('bob', 'n', { restart: 'always' })
      await again([ann, bob], () => bed.host.restart(bed.host.dockerd))
      await works(bed, ann, bob)
    })

    bed.it('when dockerd is killed and never tells what became of its containers', async () => {
      await bed.network('n', { subnets })
      const ann = await bed.run('ann', 'n', { publish: ['8080:80'], restart: 'always' })
      const bob = await bed.run('bob', 'n', { restart: 'always' })
      await bed.run('cid', 'n', { publish: ['8081:80'] })
      await again([ann, bob], async () => {
        await bed.host.dockerd.kill()
        await bed.host.dockerd.start(bed.host.holder)
      })
      await works(bed, ann, bob)
      await bed.host.api.getContainer('cid').start()
      await bed.container('cid').serves()
      assert.equal(await who(bed.outside, bed.ipv4, 8081), `cid ${bed.outside.ipv4}`)
      await bed.clear()
      await eventually(() => bed.unchanged(), COLLECTED)
    })

    bed.it('when containers are killed, and take their ports again', async () => {
      await bed.network('n', { subnets })
      const ann = await bed.run('ann', 'n', { publish: ['8080:80'], restart: 'always' })
      const bob = await bed.run('bob', 'n', { publish: ['8081:80'] })
      // As the kernel does when memory runs out.
      const { Pid } = (await ann.inspect()).State
      await again([ann], async () => void (await bed.host.exec('kill', '-KILL', String(Pid))))
      await works(bed, ann, bob)
      await bed.host.api.getContainer('bob').kill()
      await bed.host.api.getContainer('bob').start()
      await bob.serves()
      assert.equal(await who(bed.outside, bed.ipv4, 8081), `bob ${bed.outside.ipv4}`)
    })

    it('after a power cut', async () => {
      const before = lasting(await snapshot(bed.host))
      const ipam = driver === 'tsnet' ? 'tsnet' : 'default'
      await bed.network('n', { subnets: [...subnets, 'fd00:77::/64'] })
      await bed.network('m', { subnets: ['10.78.0.0/24'], ipam })
      const ann = await bed.run('ann', 'n', { publish: ['8080:80'], restart: 'always' })
      const bob = await bed.run('bob', 'n', { restart: 'always' })
      const cid = await bed.run('cid', 'm', { publish: ['8081:80'], restart: 'always' })
      await again([ann, bob, cid], () => bed.host.reboot())
      await works(bed, ann, bob)
      assert.equal(await who(bed.outside, bed.ipv4, 8081), `cid ${bed.outside.ipv4}`)
      assert(await pings(bob, bed.outside.far6))
      await bed.clear()
      await eventually(async () => {
        assert.deepEqual(changes(before, lasting(await snapshot(bed.host))), [])
      }, COLLECTED)
    })
  },
  { own: true },
)

onDocker(
  'life is restored',
  bed => {
    for (const [how, end] of [
      ['restarted', () => bed.host.dockerd.stop()],
      ['killed and started', () => bed.host.dockerd.kill()],
    ] as const)
      bed.it(`when dockerd is ${how}`, async () => {
        await undisturbed(bed, async flows => {
          await end()
          await progress(flows)
          await bed.host.dockerd.start(bed.host.holder)
        })
        const [ann, bob] = [bed.container('ann'), bed.container('bob')]
        await bed.host.api.getContainer('bob').restart()
        await Promise.all([ann.serves(), bob.serves()])
        assert.equal(await who(bed.outside, bed.ipv4, 8080), `bob ${bed.outside.ipv4}`)
        assert.equal(await who(ann, 'bob'), `bob ${await ann.address('n')}`)
      })
  },
  { liveRestore: true },
)

/** Packets and connections between containers, to the outside and through a published port survive; new ones work. */
async function undisturbed(
  bed: Bed,
  work: (flows: Parameters<typeof progress>[0]) => Promise<void>,
): Promise<void> {
  await bed.network('n', { subnets })
  const ann = await bed.run('ann', 'n')
  const bob = await bed.run('bob', 'n', { publish: ['8080:80', '8007:7'] })
  const at = await bob.address('n')
  const flows = [
    pinging(ann, at),
    pinging(ann, bed.outside.far4),
    streaming(ann, at),
    streaming(bed.outside, bed.ipv4, 8007),
  ]
  await during(flows, () => work(flows))
  assert.equal(await who(ann, 'bob'), `bob ${await ann.address('n')}`)
  assert.equal(await who(bed.outside, bed.ipv4, 8080), `bob ${bed.outside.ipv4}`)
  const cid = await bed.run('cid', 'n', { publish: ['8081:80'] })
  assert.equal(await who(ann, 'cid'), `cid ${await ann.address('n')}`)
  assert.equal(await who(bed.outside, bed.ipv4, 8081), `cid ${bed.outside.ipv4}`)
  assert(await pings(cid, bed.outside.far4))
}

/** `ann` is published at 8080, and both are on network `n`. */
async function works(bed: Bed, ann: Container, bob: Container): Promise<void> {
  assert.equal(await who(bed.outside, bed.ipv4, 8080), `ann ${bed.outside.ipv4}`)
  assert.match((await who(bob, 'ann')) ?? '', /^ann /)
  assert.match((await who(ann, 'bob')) ?? '', /^bob /)
  assert(await pings(ann, bed.outside.far4))
}

/** In tsnetd's place, something that fails whatever it is asked, so that Docker needn't be waited for. */
async function withoutAnswers(bed: Bed, work: () => Promise<void>): Promise<void> {
  const path = join(bed.host.plugins, 'tsnet.sock')
  rmSync(path, { force: true })
  const server = createServer((_, response) => response.end('{"Err":"away","Error":"away"}'))
  await new Promise<void>(done => server.listen(path, done))
  try {
    await work()
  } finally {
    server.closeAllConnections()
    await new Promise(done => server.close(done))
  }
}

/** What holds rules in nft's list: iptables-nft makes its own at the first question about them, which may come after a boot or not. */
const FRAME = /^\s*(table |chain |type |\})/

/** Docker's own bridge has another MAC after each boot. */
function lasting(found: Snapshot): Snapshot {
  const topics = Object.entries(found).map(
    ([topic, lines]) =>
      [topic, lines.filter(line => !line.includes('docker0') && !FRAME.test(line))] as const,
  )
  return Object.fromEntries(topics)
}
