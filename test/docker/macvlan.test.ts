import assert from 'node:assert/strict'
import { eventually, until } from '../bed/until.ts'
import { again } from './again.ts'
import { beyond, facts, lan, networkOf, pair } from './lan.ts'
import { driver, onDocker, type Place, pings, who } from './support.ts'

const network = networkOf('macvlan')

onDocker('macvlan', bed => {
  bed.it('containers reach each other, the router and what is behind it, in both families', async () => {
    await network(bed, 'n')
    const [ann, bob] = await Promise.all([bed.run('ann', 'n'), bed.run('bob', 'n')])
    for (const family of [4, 6] as const) {
      const [from, to] = [await ann.address('n', family), await bob.address('n', family)]
      assert.equal(await who(ann, to), `bob ${from}`)
      assert.equal(await who(bed.outside, to), `bob ${family === 4 ? bed.outside.ipv4 : bed.outside.ipv6}`)
      assert(await pings(ann, family === 4 ? bed.outside.far4 : bed.outside.far6))
    }
    assert.match((await who(ann, 'bob')) ?? '', /^bob /)
    assert(!(await pings(bed.host, await ann.address('n'))), 'the host itself is kept apart')
  })

  bed.it('a container has the address and MAC that it asks for, and none that is reserved', async () => {
    const pool = { ...lan, IPRange: '10.250.0.64/30', AuxiliaryAddresses: { printer: '10.250.0.65' } }
    await network(bed, 'n', { subnets: [pool] })
    const ann = await bed.run('ann', 'n', { ip: '10.250.0.77', mac: '02:11:22:33:44:55' })
    const others = await Promise.all(['bob', 'cid'].map(name => bed.run(name, 'n')))
    const addresses = await Promise.all(others.map(each => each.address('n')))
    assert(!addresses.includes('10.250.0.65'))
    assert.equal(await ann.address('n'), '10.250.0.77')
    assert.match(await ann.exec('ip', 'link', 'show', 'eth0'), /02:11:22:33:44:55/)
    assert.equal(await who(bed.outside, '10.250.0.77'), `ann ${bed.outside.ipv4}`)
  })

  bed.it('of several subnets, each container has the gateway of its own', async () => {
    await bed.outside.exec('ip', 'address', 'add', '10.251.0.254/24', 'dev', 'eth0')
    const other = { Subnet: '10.251.0.0/24', Gateway: '10.251.0.254' }
    await network(bed, 'n', { subnets: [lan, other] })
    const [ann, bob] = [await bed.run('ann', 'n'), await bed.run('bob', 'n', { ip: '10.251.0.7' })]
    assert(await pings(ann, bed.outside.far4))
    assert(await pings(bob, bed.outside.far4))
    assert.match(await bob.exec('ip', 'route'), /default via 10\.251\.0\.254/)
    await bed.outside.exec('ip', 'address', 'delete', '10.251.0.254/24', 'dev', 'eth0')
  })

  bed.it('private keeps containers apart, and from nobody else', async () => {
    await network(bed, 'n', { opt: { macvlan_mode: 'private' } })
    const [ann, bob] = await Promise.all([bed.run('ann', 'n'), bed.run('bob', 'n')])
    assert(!(await pings(ann, await bob.address('n'))))
    assert(await pings(ann, bed.outside.far4))
  })

  bed.it('vepa leaves it to the switch, which here sends nothing back', async () => {
    await network(bed, 'n', { opt: { macvlan_mode: 'vepa' } })
    const [ann, bob] = await Promise.all([bed.run('ann', 'n'), bed.run('bob', 'n')])
    assert(!(await pings(ann, await bob.address('n'))))
    assert(await pings(ann, bed.outside.far4))
  })

  bed.it('internal networks have no way out', async () => {
    await network(bed, 'n', { internal: true })
    const [ann, bob] = await Promise.all([bed.run('ann', 'n'), bed.run('bob', 'n')])
    assert.doesNotMatch(await ann.exec('ip', 'route'), /default/)
    assert.equal(await who(ann, await bob.address('n')), `bob ${await ann.address('n')}`)
  })

  bed.it('a published port is as it would be without', async () => {
    await network(bed, 'n')
    const ann = await bed.run('ann', 'n', { publish: ['8080:80'] })
    assert.equal(await who(bed.outside, await ann.address('n')), `ann ${bed.outside.ipv4}`)
  })

  if (driver !== 'tsnet') return

  bed.it('is what Docker’s own is: link, MTU and routes', async () => {
    await bed.outside.exec('ip', 'address', 'add', '10.251.0.254/24', 'dev', 'eth0')
    await bed.host.exec('ip', 'link', 'set', 'eth0', 'mtu', '1480')
    try {
      await network(bed, 'ours', { subnets: [lan] })
      const subnets = [{ Subnet: '10.251.0.0/24', Gateway: '10.251.0.254' }]
      await bed.network('theirs', { subnets, driver: 'macvlan', opt: { parent: 'eth0' } })
      const [ann, bob] = await Promise.all([bed.run('ann', 'ours'), bed.run('bob', 'theirs')])
      assert.deepEqual(await facts(ann), await facts(bob))
      assert(await pings(bob, bed.outside.far4))
    } finally {
      await bed.clear()
      await bed.host.exec('ip', 'link', 'set', 'eth0', 'mtu', '1500')
      await bed.outside.exec('ip', 'address', 'delete', '10.251.0.254/24', 'dev', 'eth0')
    }
  })

  bed.it('takes its addresses from tsnet as well, and its MTU from an option', async () => {
    await network(bed, 'n', { ipam: 'tsnet', opt: { mtu: '1400' } })
    const [ann, bob] = await Promise.all([bed.run('ann', 'n'), bed.run('bob', 'n')])
    assert.match(await ann.exec('ip', 'link', 'show', 'eth0'), /mtu 1400/)
    assert.equal(await who(ann, await bob.address('n')), `bob ${await ann.address('n')}`)
    assert(await pings(ann, bed.outside.far6))
  })

  bed.it('without a parent, containers reach each other and nobody else', async () => {
    const opt = { mode: 'macvlan' }
    await bed.network('n', { subnets: ['10.77.0.0/24', 'fd00:77::/64'], opt })
    const [ann, bob] = await Promise.all([bed.run('ann', 'n'), bed.run('bob', 'n')])
    for (const family of [4, 6] as const)
      assert.equal(await who(ann, await bob.address('n', family)), `bob ${await ann.address('n', family)}`)
    assert.doesNotMatch(await ann.exec('ip', 'route'), /default/)
    assert.doesNotMatch(await ann.exec('ip', 'link'), /eth1/)
    await ann.exec('ip', 'route', 'add', '10.250.0.0/24', 'dev', 'eth0')
    assert(!(await pings(ann, bed.ipv4)), 'the host does not answer')
  })

  bed.it('passthru gives the parent to one container, and then to the next', async () => {
    await pair(bed, async () => {
      const opt = { parent: 'lanp', macvlan_mode: 'passthru' }
      await network(bed, 'n', { subnets: [beyond], opt })
      for (const name of ['ann', 'bob']) {
        const one = await bed.run(name, 'n')
        assert(await pings(one, '10.252.0.1'))
        await assert.rejects(bed.run('cid', 'n'), /passthru/)
        for (const each of [name, 'cid']) await bed.host.api.getContainer(each).remove({ force: true })
      }
      await bed.clear()
    })
  })

  bed.it('refuses what the kernel would, in a sentence', async () => {
    await bed.host.exec('ip', 'link', 'add', 'br-x', 'type', 'bridge')
    await pair(bed, async () => {
      await network(bed, 'n')
      const refused: [opt: Record<string, string>, sentence: RegExp][] = [
        [{ parent: 'eth7' }, /parent eth7 is no link of this host/],
        [{ parent: 'lo' }, /loopback/],
        [{ mtu: '9000' }, /parent eth0 has 1500/],
        [{ macvlan_mode: 'passthru' }, /in macvlan_mode passthru a parent carries one network alone/],
        [{ mode: 'ipvlan' }, /a parent carries macvlan or ipvlan, not both/],
        [{ macvlan_mode: 'private', host_access: 'true' }, /needs macvlan_mode bridge/],
      ]
      const subnets = [{ Subnet: '10.253.0.0/24' }]
      for (const [opt, sentence] of refused)
        await assert.rejects(network(bed, 'm', { subnets, opt }), sentence)
      await bed.host.exec('ip', 'link', 'set', 'lanp', 'master', 'br-x')
      await assert.rejects(network(bed, 'm', { subnets, opt: { parent: 'lanp' } }), /lanp is a port of br-x/)
    })
    await bed.host.exec('ip', 'link', 'delete', 'br-x')
  })

  bed.it('uses what the user has called as a VLAN is, and leaves it there', async () => {
    await bed.host.exec('ip', 'link', 'add', 'lan.5', 'type', 'veth', 'peer', 'name', 'lan.6')
    await bed.host.exec('ip', 'link', 'set', 'lan.5', 'up')
    await network(bed, 'n', { subnets: [beyond], opt: { parent: 'lan.5' } })
    await bed.run('ann', 'n')
    await bed.clear()
    assert.match(await bed.host.exec('ip', 'link', 'show', 'lan.5'), /UP/)
    await bed.host.exec('ip', 'link', 'delete', 'lan.5')
  })

  bed.it('gives no container an address that somebody on the LAN has, and names the MAC', async () => {
    for (const address of ['10.250.0.70/24', 'fd00:250::70/64'])
      await bed.outside.exec('ip', 'address', 'add', address, 'dev', 'eth0', ...nodad(address))
    const mac = /link\/ether (\S+)/.exec(await bed.outside.exec('ip', 'link', 'show', 'eth0'))?.[1]
    await network(bed, 'n')
    const sentence = (address: string) => new RegExp(`${address} is in use on eth0 by ${mac}`)
    await assert.rejects(bed.run('ann', 'n', { ip: '10.250.0.70' }), sentence('10.250.0.70'))
    await assert.rejects(bed.run('bob', 'n', { ip6: 'fd00:250::70' }), sentence('fd00:250::70'))
    await assert.rejects(bed.run('cid', 'n', { ip: bed.ipv4 }), /is in use on eth0/)
    for (const address of ['10.250.0.70/24', 'fd00:250::70/64'])
      await bed.outside.exec('ip', 'address', 'delete', address, 'dev', 'eth0')
    await bed.host.api.getContainer('ann').start()
    await bed.container('ann').serves()
    assert.equal(await who(bed.outside, '10.250.0.70'), `ann ${bed.outside.ipv4}`)
  })

  bed.it('tells the LAN who has an address now', async () => {
    await network(bed, 'n')
    const stale = '02:00:00:00:00:01'
    const known = ['10.250.0.71', 'fd00:250::71']
    for (const address of known)
      await bed.outside.exec(
        'ip',
        'neigh',
        'replace',
        address,
        'lladdr',
        stale,
        'dev',
        'eth0',
        'nud',
        'stale',
      )
    const ann = await bed.run('ann', 'n', { ip: '10.250.0.71', ip6: 'fd00:250::71' })
    const mac = (await ann.exec('cat', '/sys/class/net/eth0/address')).trim()
    for (const address of known)
      assert.match(await bed.outside.exec('ip', 'neigh', 'show', address), new RegExp(mac))
  })

  bed.it('with host_access, host and containers reach each other', async () => {
    await network(bed, 'n', { opt: { host_access: 'true' } })
    const [ann, bob] = await Promise.all([bed.run('ann', 'n'), bed.run('bob', 'n')])
    for (const family of [4, 6] as const) {
      for (const [name, one] of [
        ['ann', ann],
        ['bob', bob],
      ] as const)
        assert.match((await who(bed.host, await one.address('n', family))) ?? '', new RegExp(`^${name} `))
      assert(await pings(ann, await bob.address('n', family)))
      assert(await pings(ann, family === 4 ? bed.outside.far4 : bed.outside.far6))
    }
    assert.equal(await who(bed.host, await ann.address('n')), `ann ${bed.ipv4}`)
    assert(await pings(ann, bed.ipv4), 'the host answers')
    await bed.host.restart(bed.host.tsnetd)
    assert.equal(await who(bed.host, await bob.address('n')), `bob ${bed.ipv4}`)
  })

  bed.it('with host_access, the LAN knows the host by the MAC of the parent as before', async () => {
    await network(bed, 'n', { opt: { host_access: 'true' } })
    const ann = await bed.run('ann', 'n')
    const ask = ['busybox', 'arping', '-c', '1', '-w', '1', '-I', 'eth0', bed.ipv4]
    const { stdout } = await bed.outside.attempt(ask)
    const mac = await bed.host.exec('cat', '/sys/class/net/eth0/address')
    assert.deepEqual(stdout.match(/(?<=\[)[0-9a-f:]{17}(?=\])/g), [mac.trim()])
    assert(await pings(bed.outside, bed.ipv4))
    for (const _ of Array(3)) {
      await bed.host.exec('ip', 'neigh', 'flush', 'all')
      assert(await pings(bed.host, await ann.address('n')))
    }
    assert.match(await bed.outside.exec('ip', 'neigh', 'show', bed.ipv4), new RegExp(mac.trim()))
  })

  bed.it('a parent that is taken away and made again is picked up with its containers', async () => {
    await pair(bed, async make => {
      await network(bed, 'n', { subnets: [beyond], opt: { parent: 'lanp', host_access: 'true' } })
      const ann = await bed.run('ann', 'n')
      const before = await facts(ann)
      const address = await ann.address('n')
      assert(await pings(ann, '10.252.0.1'))
      await bed.host.exec('ip', 'link', 'delete', 'lanp')
      assert.doesNotMatch(await ann.exec('ip', 'link'), /eth0/)
      await make()
      await until('the container to be back', () => pings(ann, '10.252.0.1'))
      assert.deepEqual(await facts(ann), before)
      await until(
        'the host to reach it',
        async () => (await who(bed.host, address, 80, 1)) === 'ann 10.252.0.2',
      )
      await bed.host.api.getContainer('ann').restart()
      await ann.serves()
      assert(await pings(ann, '10.252.0.1'))
      await bed.clear()
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

  bed.it('nothing is left when tsnetd is killed meanwhile', async () => {
    await network(bed, 'n', { opt: { host_access: 'true' } })
    const ann = await bed.run('ann', 'n')
    await bed.host.tsnetd.kill()
    assert(await pings(ann, bed.outside.far4), 'containers go on')
    await bed.host.exec('ip', 'link', 'add', 'tsm-stray', 'link', 'eth0', 'type', 'macvlan', 'mode', 'bridge')
    await bed.host.tsnetd.start(bed.host.holder)
    assert.match((await who(bed.host, await ann.address('n'))) ?? '', /^ann /)
    await eventually(async () => assert.doesNotMatch(await bed.host.exec('ip', 'link'), /tsm-stray/))
  })
})

const nodad = (address: string) => (address.includes(':') ? ['nodad'] : [])

onDocker(
  'macvlan lives on',
  bed => {
    const works = async (...containers: Place[]) => {
      for (const one of containers) assert(await pings(one, bed.outside.far4))
    }

    bed.it('when dockerd is restarted, and when it is killed', async () => {
      await network(bed, 'n')
      const ann = await bed.run('ann', 'n', { restart: 'always' })
      await again([ann], () => bed.host.restart(bed.host.dockerd))
      await works(ann)
      await again([ann], async () => {
        await bed.host.dockerd.kill()
        await bed.host.dockerd.start(bed.host.holder)
      })
      await works(ann)
      await bed.clear()
      await eventually(() => bed.unchanged(), 60_000)
    })

    it('after a power cut', async () => {
      await network(bed, 'n', driver === 'tsnet' ? { opt: { host_access: 'true' } } : {})
      await bed.network('m', {
        subnets: ['10.77.0.0/24'],
        opt: driver === 'tsnet' ? { mode: 'macvlan' } : {},
      })
      const ann = await bed.run('ann', 'n', { restart: 'always' })
      const bob = await bed.run('bob', 'm', { restart: 'always' })
      await again([ann, bob], () => bed.host.reboot())
      await works(ann)
      if (driver === 'tsnet') assert.match((await who(bed.host, await ann.address('n'))) ?? '', /^ann /)
      await bed.clear()
      await eventually(
        async () => assert.doesNotMatch(await bed.host.exec('ip', 'link'), /@eth0|ts[mhpq]-/),
        60_000,
      )
    })
  },
  { own: true },
)
