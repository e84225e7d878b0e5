import assert from 'node:assert/strict'
import { until } from '../bed/until.ts'
import { lacks } from '../kernel/bed.ts'
import { beyond, facts, lan, networkOf, pair, plain } from './lan.ts'
import { type Bed, type Container, driver, onDocker, pings, who } from './support.ts'

const network = networkOf('ipvlan')

const reason = lacks('ipvlan')

;(reason ? describe.skip : describe)(`with links of the parent’s MAC${reason ? `: ${reason}` : ''}`, () => {
  onDocker('ipvlan', suite, { ...plain, engines: ['20.10'] })
})

function suite(bed: Bed): void {
  const mac = async (one: Container) => (await one.exec('cat', '/sys/class/net/eth0/address')).trim()

  bed.it(
    'containers have the parent’s MAC, and reach each other, the router and what is behind it',
    async () => {
      await network(bed, 'n')
      const [ann, bob] = [await bed.run('ann', 'n'), await bed.run('bob', 'n')]
      const parent = await bed.host.exec('cat', '/sys/class/net/eth0/address')
      for (const one of [ann, bob]) assert.equal(await mac(one), parent.trim())
      for (const family of [4, 6] as const) {
        assert.equal(await who(ann, await bob.address('n', family)), `bob ${await ann.address('n', family)}`)
        assert(await pings(ann, family === 4 ? bed.outside.far4 : bed.outside.far6))
      }
      assert.equal(await who(bed.outside, await bob.address('n')), `bob ${bed.outside.ipv4}`)
    },
  )

  // Docker's own of 20.10 has neither l3s nor private.
  for (const mode of driver === 'tsnet' ? ['l3', 'l3s'] : ['l3'])
    bed.it(`in ${mode} the LAN needs a route by the host, and the way out is the link`, async () => {
      const subnets = ['10.77.0.0/24']
      await network(bed, 'n', { subnets, opt: { ipvlan_mode: mode } })
      const [ann, bob] = [await bed.run('ann', 'n'), await bed.run('bob', 'n')]
      assert.match(await ann.exec('ip', 'route'), /default dev eth0/)
      assert.equal(await who(ann, await bob.address('n')), `bob ${await ann.address('n')}`)
      await bed.routed('10.77.0.0/24', async () => {
        assert.equal(await who(bed.outside, await ann.address('n')), `ann ${bed.outside.ipv4}`)
        assert(await pings(ann, bed.outside.far4))
      })
    })

  if (driver !== 'tsnet') return

  bed.it('private keeps containers apart, and from nobody else', async () => {
    await network(bed, 'n', { opt: { ipvlan_flag: 'private' } })
    const [ann, bob] = [await bed.run('ann', 'n'), await bed.run('bob', 'n')]
    assert(!(await pings(ann, await bob.address('n'))))
    assert(await pings(ann, bed.outside.far4))
  })

  bed.it('vepa leaves it to the switch, which here sends nothing back', async () => {
    await network(bed, 'n', { opt: { ipvlan_flag: 'vepa' } })
    const [ann, bob] = [await bed.run('ann', 'n'), await bed.run('bob', 'n')]
    assert(!(await pings(ann, await bob.address('n'))))
    assert(await pings(ann, bed.outside.far4))
  })

  bed.it('tells the LAN who has an address now', async () => {
    await network(bed, 'n')
    const known = ['10.250.0.71', 'fd00:250::71']
    const neighbour = (verb: string, address: string, words = '') =>
      bed.outside.exec('ip', 'neigh', verb, address, 'dev', 'eth0', ...words.split(' ').filter(Boolean))
    for (const address of known) await neighbour('replace', address, 'lladdr 02:00:00:00:00:01 nud stale')
    const ann = await bed.run('ann', 'n', { ip: '10.250.0.71', ip6: 'fd00:250::71' })
    for (const address of known) assert.match(await neighbour('show', address), new RegExp(await mac(ann)))
  })

  bed.it('a parent that gets another name is missed, until it has its own again', async () => {
    await pair(bed, async () => {
      await network(bed, 'n', { subnets: [beyond], opt: { parent: 'lanp' } })
      const ann = await bed.run('ann', 'n')
      await bed.host.exec('ip', 'link', 'set', 'lanp', 'name', 'lanx')
      assert(await pings(ann, '10.252.0.1'), 'who is there stays there')
      await assert.rejects(bed.run('bob', 'n'), /no such link: lanp/)
      await bed.host.exec('ip', 'link', 'set', 'lanx', 'name', 'lanp')
      await bed.host.api.getContainer('bob').start()
      const bob = bed.container('bob')
      await bob.serves()
      assert(await pings(bob, await ann.address('n')))
      await bed.clear()
    })
  })

  bed.it('refuses what the kernel would, in a sentence', async () => {
    await network(bed, 'n')
    const refused: [opt: Record<string, string>, sentence: RegExp][] = [
      [{ ipvlan_mode: 'l3' }, /have the same ipvlan_mode/],
      [{ ipvlan_flag: 'private' }, /have the same/],
      [{ mode: 'macvlan' }, /a parent carries macvlan or ipvlan, not both/],
      [{ host_access: 'true' }, /aux-address/],
    ]
    for (const [opt, sentence] of refused)
      await assert.rejects(network(bed, 'm', { subnets: [{ Subnet: '10.253.0.0/24' }], opt }), sentence)
    await assert.rejects(bed.run('ann', 'n', { mac: '02:11:22:33:44:55' }), /MAC/)
  })

  bed.it('is what Docker’s own is: link, MTU and routes', async () => {
    for (const ipvlan_mode of ['l2', 'l3']) {
      const seen: object[] = []
      for (const own of [{ driver: 'ipvlan', opt: { parent: 'eth0', ipvlan_mode } }, undefined]) {
        const opt = { mode: 'ipvlan', parent: 'eth0', ipvlan_mode }
        await bed.network('n', { subnets: ipvlan_mode === 'l2' ? [lan] : ['10.77.0.0/24'], opt, ...own })
        seen.push(await facts(await bed.run('ann', 'n')))
        await bed.clear()
      }
      assert.deepEqual(seen[1], seen[0])
    }
  })

  for (const ipvlan_mode of ['l2', 'l3', 'l3s'])
    bed.it(`with host_access, host and containers reach each other in ${ipvlan_mode}`, async () => {
      const pool =
        ipvlan_mode === 'l2'
          ? { ...lan, AuxiliaryAddresses: { host: '10.250.0.99' } }
          : { Subnet: '10.77.0.0/24', AuxiliaryAddresses: { host: '10.77.0.99' } }
      const { host } = pool.AuxiliaryAddresses
      await network(bed, 'n', { subnets: [pool], opt: { ipvlan_mode, host_access: 'true' } })
      const ann = await bed.run('ann', 'n')
      assert.equal(await who(bed.host, await ann.address('n')), `ann ${host}`)
      assert(await pings(ann, host))
      if (ipvlan_mode === 'l2') assert(await pings(ann, bed.outside.far4))
    })

  bed.it('gives no container an address that somebody on the LAN has', async () => {
    await network(bed, 'n')
    await assert.rejects(bed.run('ann', 'n', { ip: bed.ipv4 }), /is in use on eth0 by 02:fa:/)
  })

  bed.it('a parent that is taken away and made again is picked up with its containers', async () => {
    await pair(bed, async make => {
      await network(bed, 'n', { subnets: [beyond], opt: { parent: 'lanp' } })
      const ann = await bed.run('ann', 'n')
      assert(await pings(ann, '10.252.0.1'))
      await bed.host.exec('ip', 'link', 'delete', 'lanp')
      await make()
      await until('the container to be back', () => pings(ann, '10.252.0.1'))
      await bed.clear()
    })
  })
}
