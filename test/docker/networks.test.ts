import assert from 'node:assert/strict'
import {
  type Bed,
  type Container,
  closed,
  driver,
  echoes,
  type NetworkOptions,
  onDocker,
  pings,
  who,
} from './support.ts'

const subnets = ['10.77.0.0/24']
const dual = ['10.77.0.0/24', 'fd00:77::/64']
const bridge = { 'com.docker.network.bridge.name': 'br-n' }

onDocker('a network', bed => {
  const unpublished = (address: string) => echoes(bed.outside, address, 7, 1)

  bed.it('gives its MTU to the bridge, to the pairs and to the containers', async () => {
    await bed.network('n', { subnets, opt: { ...bridge, 'com.docker.network.driver.mtu': '1400' } })
    const ann = await bed.run('ann', 'n')
    assert.equal(await ann.exec('cat', '/sys/class/net/eth0/mtu'), '1400')
    const [own, ports] = await Promise.all([links(bed, 'show', 'br-n'), links(bed, 'show', 'master', 'br-n')])
    assert.deepEqual(
      [...own, ...ports].map(link => link.mtu),
      [1400, 1400],
    )
  })

  bed.it('has the bridge that it names, takes it along, and may have it again at once', async () => {
    for (const subnet of ['10.77.0.0/24', '10.78.0.0/24']) {
      await bed.network('n', { subnets: [subnet], opt: bridge })
      const ann = await bed.run('ann', 'n')
      assert.equal((await links(bed, 'show', 'master', 'br-n')).length, 1)
      assert(await pings(ann, bed.outside.far4))
      await bed.clear()
    }
  })

  bed.it('leaves a bridge that was there before', async () => {
    await bed.host.exec('ip', 'link', 'add', 'br-n', 'type', 'bridge')
    await bed.network('n', { subnets, opt: bridge })
    const ann = await bed.run('ann', 'n')
    assert(await pings(ann, bed.outside.far4))
    await bed.clear()
    assert.equal((await links(bed, 'show', 'type', 'bridge').then(named('br-n'))).length, 1)
    await bed.host.exec('ip', 'link', 'delete', 'br-n')
  })

  bed.it('without masquerading shows its own addresses', async () => {
    await bed.network('n', { subnets, opt: { 'com.docker.network.bridge.enable_ip_masquerade': 'false' } })
    const ann = await bed.run('ann', 'n', { ip: '10.77.0.10' })
    await bed.routed('10.77.0.0/24', async () => assert.equal(await bed.seenOutside(ann), '10.77.0.10'))
  })

  bed.it('publishes at the address that it names, unless a port names its own', async () => {
    const opt = { 'com.docker.network.bridge.host_binding_ipv4': '127.0.0.1' }
    await bed.network('n', { subnets, opt })
    await bed.run('ann', 'n', { publish: ['8080:80', '0.0.0.0:8081:80'] })
    assert.match((await who(bed.host, '127.0.0.1', 8080)) ?? '', /^ann /)
    assert(await closed(bed.outside, bed.ipv4, 8080))
    assert.equal(await who(bed.outside, bed.ipv4, 8081), `ann ${bed.outside.ipv4}`)
  })

  bed.it('names the interfaces of its containers', async () => {
    await bed.network('n', { subnets, opt: { 'com.docker.network.container_iface_prefix': 'lan' } })
    const ann = await bed.run('ann', 'n')
    assert.match(await ann.exec('ip', 'addr'), /\blan0\b/)
  })

  bed.it(
    'takes addresses from its range, keeps clear of reserved ones, and has the gateway it was given',
    async () => {
      const pool = {
        Subnet: '10.77.0.0/24',
        IPRange: '10.77.0.128/30',
        Gateway: '10.77.0.254',
        AuxiliaryAddresses: { printer: '10.77.0.129' },
      }
      await bed.network('n', { subnets: [pool] })
      const all = await Promise.all(['ann', 'bob', 'cat'].map(name => bed.run(name, 'n')))
      const addresses = await Promise.all(all.map(each => each.address('n')))
      assert.deepEqual(addresses.sort(), ['10.77.0.128', '10.77.0.130', '10.77.0.131'])
      const [ann] = all as [Container]
      assert.match(await ann.exec('ip', 'route'), /default via 10\.77\.0\.254/)
      assert(await pings(ann, bed.outside.far4))
    },
  )

  if (driver !== 'tsnet') return

  bed.it('hides its containers behind the address that it names', async () => {
    await bed.host.exec('ip', 'address', 'add', '10.250.0.177/24', 'dev', 'eth0')
    try {
      await bed.network('n', { subnets, opt: { 'com.docker.network.host_ipv4': '10.250.0.177' } })
      assert.equal(await bed.seenOutside(await bed.run('ann', 'n')), '10.250.0.177')
    } finally {
      await bed.host.exec('ip', 'address', 'delete', '10.250.0.177/24', 'dev', 'eth0')
    }
  })

  bed.it(
    "that is routed opens published ports at the containers' own addresses, and hides nobody",
    async () => {
      await bed.network('n', {
        subnets: dual,
        opt: { gateway_mode_ipv4: 'routed', gateway_mode_ipv6: 'routed' },
      })
      const ann = await bed.run('ann', 'n', { ip: '10.77.0.10', ip6: 'fd00:77::10', publish: ['8080:80'] })
      await routes(bed, async () => {
        assert.equal(await who(bed.outside, '10.77.0.10'), `ann ${bed.outside.ipv4}`)
        assert.equal(await who(bed.outside, 'fd00:77::10'), `ann ${bed.outside.ipv6}`)
        assert.equal(await bed.seenOutside(ann), '10.77.0.10')
        assert.equal(await bed.seenOutside(ann, bed.outside.ipv6), 'fd00:77::10')
        assert(await pings(bed.outside, '10.77.0.10'))
        const others = [
          unpublished('10.77.0.10'),
          unpublished('fd00:77::10'),
          closed(bed.outside, bed.ipv4, 8080),
        ]
        assert.deepEqual(await Promise.all(others), [false, false, true])
      })
    },
  )

  bed.it('in mode nat-unprotected is open to who knows the way, but not to other networks', async () => {
    await bed.network('n', {
      subnets: dual,
      opt: { gateway_mode_ipv4: 'nat-unprotected', gateway_mode_ipv6: 'nat-unprotected' },
    })
    await bed.network('m', { subnets: ['10.78.0.0/24', 'fd00:78::/64'] })
    const [ann, bob] = await Promise.all([
      bed.run('ann', 'n', { ip: '10.77.0.10', ip6: 'fd00:77::10' }),
      bed.run('bob', 'm'),
    ])
    await routes(bed, async () => {
      assert(await echoes(bed.outside, '10.77.0.10'))
      assert(await echoes(bed.outside, 'fd00:77::10'))
      assert.equal(await who(bed.outside, '10.77.0.10'), `ann ${bed.outside.ipv4}`)
      const others = [closed(bob, '10.77.0.10'), closed(bob, 'fd00:77::10')]
      assert.deepEqual(await Promise.all(others), [true, true])
    })
    assert.equal(await bed.seenOutside(ann), bed.ipv4)
  })

  bed.it('that is isolated has no address on the host', async () => {
    const opt = { ...bridge, gateway_mode_ipv4: 'isolated', gateway_mode_ipv6: 'isolated' }
    await bed.network('n', { subnets: dual, internal: true, opt })
    const [ann] = await Promise.all([
      bed.run('ann', 'n'),
      bed.run('bob', 'n', { ip: '10.77.0.11', ip6: 'fd00:77::11' }),
    ])
    assert.match((await who(ann, '10.77.0.11')) ?? '', /^bob /)
    assert.match((await who(ann, 'fd00:77::11')) ?? '', /^bob /)
    assert.doesNotMatch(await bed.host.exec('ip', 'address', 'show', 'br-n'), /10\.77|fd00:77/)
    assert(await closed(bed.host, '10.77.0.11'))
  })

  bed.it('without an address of its own leaves the gateway to somebody else', async () => {
    const opt = { ...bridge, 'com.docker.network.bridge.inhibit_ipv4': 'true' }
    await bed.network('n', { subnets, opt })
    const [ann] = await Promise.all([bed.run('ann', 'n'), bed.run('bob', 'n')])
    assert.match((await who(ann, 'bob')) ?? '', /^bob /)
    assert.doesNotMatch(await bed.host.exec('ip', 'address', 'show', 'br-n'), /inet /)
  })

  bed.it('opens published ports at their own addresses to the interfaces that it trusts', async () => {
    await bed.network('n', { subnets: dual, opt: { trusted_host_interfaces: 'eth0' } })
    await bed.run('ann', 'n', { ip: '10.77.0.10', ip6: 'fd00:77::10', publish: ['8080:80'] })
    await routes(bed, async () => {
      assert.equal(await who(bed.outside, '10.77.0.10'), `ann ${bed.outside.ipv4}`)
      assert.equal(await who(bed.outside, 'fd00:77::10'), `ann ${bed.outside.ipv6}`)
      assert.deepEqual(await Promise.all([unpublished('10.77.0.10'), unpublished('fd00:77::10')]), [
        false,
        false,
      ])
    })
  })

  bed.it('may have several subnets, whose containers reach each other and the outside', async () => {
    await bed.network('n', { subnets: ['10.77.0.0/24', '10.78.0.0/24'] })
    const [ann, bob] = await Promise.all([
      bed.run('ann', 'n', { ip: '10.77.0.10' }),
      bed.run('bob', 'n', { ip: '10.78.0.10' }),
    ])
    assert.match(await bob.exec('ip', 'route'), /default via 10\.78\.0\.1/)
    const seen = [pings(ann, bed.outside.far4), pings(bob, bed.outside.far4)]
    assert.deepEqual(await Promise.all(seen), [true, true])
    assert.equal(await who(ann, '10.78.0.10'), 'bob 10.77.0.10')
  })

  bed.it("takes Docker's labels and our words for the same, and refuses both at once", async () => {
    const opt = { mtu: '1400', 'com.docker.network.driver.mtu': '1400' }
    await assert.rejects(bed.network('n', { subnets, opt }), /mtu/)
  })

  bed.it('is refused with a sentence that names the option and what is allowed', async () => {
    const wrong: [NetworkOptions, RegExp][] = [
      [{ subnets, opt: { colour: 'red' } }, /option "colour" is (not known|unknown).*bridge, mtu/],
      [{ subnets, opt: { mtu: 'big' } }, /option "mtu" can't be "big": it has to be/],
      [{ subnets, opt: { mode: 'ether' } }, /option "mode" can't be "ether": it has to be bridge/],
      [{ subnets, opt: { gateway_mode_ipv4: 'isolated' } }, /needs an internal network/],
    ]
    for (const [options, sentence] of wrong) await assert.rejects(bed.network('n', options), sentence)
  })

  bed.it('is refused where its subnet or its bridge is the one of another', async () => {
    await bed.network('n', { subnets, opt: bridge })
    // Docker's own address book would have seen it; ours is another one.
    await assert.rejects(
      bed.network('m', { subnets: ['10.77.0.128/25'], ipam: 'tsnet' }),
      /subnet 10\.77\.0\.128\/25 overlaps with 10\.77\.0\.0\/24 of network [\da-f]{64}/,
    )
    await assert.rejects(
      bed.network('m', { subnets: ['10.78.0.0/24'], opt: bridge }),
      /bridge br-n is the one of network [\da-f]{64}; choose another name/,
    )
  })
})

if (driver === 'tsnet') {
  onDocker(
    'a network without IPv4',
    bed => {
      bed.it('has addresses, the outside and published ports over IPv6 alone', async () => {
        await bed.network('n', { ipv4: false, subnets: ['fd00:77::/64'] })
        const ann = await bed.run('ann', 'n', { publish: ['8080:80'] })
        assert.doesNotMatch(await ann.exec('ip', 'addr', 'show', 'eth0'), /inet /)
        assert(await pings(ann, bed.outside.far6))
        assert.equal(await who(bed.outside, bed.ipv6, 8080), `ann ${bed.outside.ipv6}`)
        assert(await closed(bed.outside, bed.ipv4, 8080))
      })
    },
    { engines: ['28.5'] },
  )

  onDocker('tsnet as the address book', bed => {
    bed.it('gives addresses of both families, from subnets that it chooses', async () => {
      await bed.network('n', { ipam: 'tsnet', ipv6: true })
      await bed.network('m', { ipam: 'tsnet' })
      const [ann, bob] = await Promise.all([bed.run('ann', 'n'), bed.run('bob', 'n')])
      assert.match((await who(ann, await bob.address('n'))) ?? '', /^bob /)
      assert.match((await who(ann, await bob.address('n', 6))) ?? '', /^bob /)
      assert(await pings(ann, bed.outside.far4))
      assert(await pings(ann, bed.outside.far6))
    })

    bed.it('says when a subnet is exhausted, and gives an address again that was given back', async () => {
      await bed.network('n', { ipam: 'tsnet', subnets: ['10.77.0.0/30', 'fd00:77::/64'] })
      const ann = await bed.run('ann', 'n')
      assert.equal(await ann.address('n'), '10.77.0.2')
      await assert.rejects(bed.run('bob', 'n'), /no address is free in 10\.77\.0\.0\/30/)
      await bed.host.api.getContainer('ann').remove({ force: true })
      await bed.host.api.getContainer('bob').start()
      await bed.container('bob').serves()
      assert.equal(await bed.container('bob').address('n'), '10.77.0.2')
    })

    bed.it('gives the address that is asked for once', async () => {
      await bed.network('n', { ipam: 'tsnet', subnets })
      const ann = await bed.run('ann', 'n', { ip: '10.77.0.10' })
      assert.equal(await ann.address('n'), '10.77.0.10')
      await assert.rejects(
        bed.run('bob', 'n', { ip: '10.77.0.10' }),
        /10\.77\.0\.10 of 10\.77\.0\.0\/24 is taken/,
      )
    })

    bed.it('refuses what it does not know', async () => {
      const create = bed.docker(
        'network',
        'create',
        '-d',
        'tsnet',
        '--ipam-driver',
        'tsnet',
        '--ipam-opt',
        'a=b',
        'n',
      )
      await assert.rejects(create, /ipam-opt "a" is unknown/)
    })
  })
}

async function routes(bed: Bed, work: () => Promise<void>): Promise<void> {
  await bed.routed('10.77.0.0/24', () => bed.routed('fd00:77::/64', work))
}

type Link = { ifname: string; mtu: number }

async function links(bed: Bed, ...words: string[]): Promise<Link[]> {
  return JSON.parse((await bed.host.exec('ip', '-j', 'link', ...words)) || '[]')
}

const named = (name: string) => (found: Link[]) => found.filter(link => link.ifname === name)
