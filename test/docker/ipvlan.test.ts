import assert from 'node:assert/strict'
import { eventually, until } from '../bed/until.ts'
import { lacks } from '../kernel/bed.ts'
import { beyond, facts, lan, networkOf, pair } from './lan.ts'
import { type Bed, type Container, driver, onDocker, pings, who } from './support.ts'

const network = networkOf('ipvlan')

const reason = lacks('ipvlan') ?? lacks('vlan')

/** So that it can also run in User Mode Linux, which has no packet filter but that of bridges: no rules of Docker's, no bridge network of ours. */
const settings = {
  daemonJson: { iptables: false },
  ...(driver === 'tsnet' && { first: { mode: 'ipvlan' } }),
} as const

;(reason ? describe.skip : describe)(`with links of their own${reason ? `: ${reason}` : ''}`, () => {
  onDocker('ipvlan', suite, { ...settings, engines: ['20.10'] })
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

  bed.it('private keeps containers apart, and from nobody else', async () => {
    await network(bed, 'n', { opt: { ipvlan_flag: 'private' } })
    const [ann, bob] = [await bed.run('ann', 'n'), await bed.run('bob', 'n')]
    assert(!(await pings(ann, await bob.address('n'))))
    assert(await pings(ann, bed.outside.far4))
  })

  for (const mode of ['l3', 'l3s'])
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

  for (const mode of ['macvlan', 'ipvlan'])
    bed.it(`makes a VLAN for a ${mode} network, and takes it away with the last one on it`, async () => {
      await behindVlan(bed, 'eth0', async () => {
        await onVlan(bed, 'n', mode)
        const [ann, bob] = [await bed.run('ann', 'n'), await bed.run('bob', 'n')]
        assert(await pings(ann, '10.254.0.1'))
        assert(await pings(ann, await bob.address('n')))
        await bed.clear()
        await gone(bed, 'eth0.10')
      })
    })

  if (driver !== 'tsnet') return

  for (const [one, other] of [
    ['macvlan', 'ipvlan'],
    ['ipvlan', 'macvlan'],
  ] as const)
    bed.it(`gives a VLAN from ${one} to ${other} at once`, async () => {
      await behindVlan(bed, 'eth0', async () => {
        for (const mode of [one, other]) {
          await onVlan(bed, 'n', mode)
          assert(await pings(await bed.run('ann', 'n'), '10.254.0.1'))
          await bed.clear()
        }
        await gone(bed, 'eth0.10')
      })
    })

  bed.it('a VLAN stays while a network is on it, and where the user has made it', async () => {
    const made = (words: string) => bed.host.exec('ip', 'link', ...words.split(' '))
    await behindVlan(bed, 'eth0', async () => {
      await onVlan(bed, 'n', 'ipvlan')
      const ann = await bed.run('ann', 'n')
      await onVlan(bed, 'm', 'ipvlan', 'eth0', '10.254.1.0/24')
      await bed.host.api.getNetwork('m').remove()
      assert(await pings(ann, '10.254.0.1'))
      await bed.clear()
      await gone(bed, 'eth0.10')
      await made('add link eth0 name eth0.10 type vlan id 10')
      await made('set eth0.10 up')
      await onVlan(bed, 'n', 'ipvlan')
      assert(await pings(await bed.run('ann', 'n'), '10.254.0.1'))
      await bed.clear()
      await bed.host.restart(bed.host.tsnetd)
      assert.match(await made('show eth0.10'), /,UP/)
      await made('delete eth0.10')
    })
  })

  bed.it('tells who has a VLAN by another name', async () => {
    await bed.host.exec('ip', 'link', 'add', 'link', 'eth0', 'name', 'office', 'type', 'vlan', 'id', '10')
    try {
      await assert.rejects(onVlan(bed, 'n', 'ipvlan'), /VLAN 10 of eth0 is there as office/)
    } finally {
      await bed.host.exec('ip', 'link', 'delete', 'office')
    }
  })

  for (const lost of ['lanp', 'lanp.10'])
    for (const mode of ['macvlan', 'ipvlan'])
      bed.it(`containers in ${mode} on lanp.10 are picked up when ${lost} is gone`, async () => {
        await pair(bed, async make => {
          await behindVlan(bed, 'lanq', async () => {
            await onVlan(bed, 'n', mode, 'lanp')
            const ann = await bed.run('ann', 'n')
            const before = await facts(ann)
            assert(await pings(ann, '10.254.0.1'))
            await bed.host.exec('ip', 'link', 'delete', lost)
            if (lost === 'lanp') await make()
            const body = async () =>
              void (await until('the container to be back', () => pings(ann, '10.254.0.1')))
            await (lost === 'lanp' ? behindVlan(bed, 'lanq', body) : body())
            assert.deepEqual(await facts(ann), before)
            await bed.clear()
            await gone(bed, 'lanp.10')
          })
        })
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

  bed.it('nothing is left of a VLAN and its links when tsnetd is killed meanwhile', async () => {
    await behindVlan(bed, 'eth0', async () => {
      await onVlan(bed, 'n', 'ipvlan')
      const ann = await bed.run('ann', 'n')
      await bed.host.tsnetd.kill()
      assert(await pings(ann, '10.254.0.1'), 'containers go on')
      await bed.host.exec('ip', 'link', 'add', 'tsm-stray', 'link', 'eth0.10', 'type', 'ipvlan', 'mode', 'l2')
      await bed.host.tsnetd.start(bed.host.holder)
      await gone(bed, 'tsm-stray')
      assert(await pings(ann, '10.254.0.1'))
      await bed.clear()
      await gone(bed, 'eth0.10')
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

  bed.it('with host_access, host and containers reach each other', async () => {
    const pool = { ...lan, AuxiliaryAddresses: { host: '10.250.0.99' } }
    await network(bed, 'n', { subnets: [pool], opt: { host_access: 'true' } })
    const ann = await bed.run('ann', 'n')
    assert.equal(await who(bed.host, await ann.address('n')), 'ann 10.250.0.99')
    assert(await pings(ann, '10.250.0.99'))
    assert(await pings(ann, bed.outside.far4))
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

/** A network on VLAN 10 of a link. */
const onVlan = (bed: Bed, name: string, mode: string, link = 'eth0', Subnet = '10.254.0.0/24') => {
  const subnets = [{ Subnet, Gateway: Subnet.replace('0/24', '1'), IPRange: Subnet.replace('0/24', '64/27') }]
  return bed.network(name, { subnets, opt: { ...(driver === 'tsnet' && { mode }), parent: `${link}.10` } })
}

/** Waits until the host has no link of a name; those that nobody wants any more are deleted together, a moment later. */
const gone = (bed: Bed, link: string) =>
  eventually(async () =>
    assert(!(await bed.host.exec('ip', 'link')).includes(` ${link}@`), `${link} is there`),
  )

/** While the machine outside is on VLAN 10, too, by a link of its own. */
async function behindVlan(bed: Bed, link: string, body: () => Promise<void>): Promise<void> {
  const ip = (...argv: string[]) => bed.outside.exec('ip', ...argv)
  await ip('link', 'add', 'link', link, 'name', 'vlan10', 'type', 'vlan', 'id', '10')
  try {
    await ip('address', 'add', '10.254.0.1/24', 'dev', 'vlan10')
    await ip('link', 'set', 'vlan10', 'up')
    await body()
  } finally {
    await bed.outside.attempt(['ip', 'link', 'delete', 'vlan10'])
  }
}
