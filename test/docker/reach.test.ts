import assert from 'node:assert/strict'
import { type Container, closed, onDocker, pings, who, whoByDatagram } from './support.ts'

onDocker('containers', bed => {
  let ann: Container
  let bob: Container
  let cat: Container

  bed.cast(async () => {
    await bed.network('n', { subnets: ['10.77.0.0/24', 'fd00:77::/64'] })
    await bed.network('m', { subnets: ['10.78.0.0/24', 'fd00:78::/64'] })
    ;[ann, bob, cat] = await Promise.all([
      bed.run('ann', 'n', { ip: '10.77.0.10', ip6: 'fd00:77::10' }),
      bed.run('bob', 'n', { ip: '10.77.0.11', ip6: 'fd00:77::11', aliases: ['bee'] }),
      bed.run('cat', 'm', { ip: '10.78.0.10', ip6: 'fd00:78::10' }),
    ])
  })

  bed.it('reach each other by name, by alias and by address, over IPv4 and IPv6', async () => {
    assert.match((await who(ann, 'bob')) ?? '', /^bob (10\.77\.0\.10|fd00:77::10)$/)
    assert.match((await who(ann, 'bee')) ?? '', /^bob (10\.77\.0\.10|fd00:77::10)$/)
    assert.equal(await who(bob, '10.77.0.10'), 'ann 10.77.0.11')
    assert.equal(await who(bob, 'fd00:77::10'), 'ann fd00:77::11')
    assert.equal(await whoByDatagram(ann, '10.77.0.11'), 'bob 10.77.0.10')
    assert.equal(await whoByDatagram(ann, 'fd00:77::11'), 'bob fd00:77::10')
  })

  bed.it('reach the outside, which sees the host', async () => {
    assert(await pings(ann, bed.outside.far4))
    assert(await pings(ann, bed.outside.far6))
    assert.equal(await bed.seenOutside(ann), bed.ipv4)
  })

  bed.it('are reached by their host', async () => {
    assert.equal(await who(bed.host, '10.77.0.10'), 'ann 10.77.0.1')
    assert.equal(await who(bed.host, 'fd00:77::10'), 'ann fd00:77::1')
  })

  bed.it('reach nobody over the border of a network', async () => {
    const tries = await Promise.all([
      pings(ann, '10.78.0.10'),
      who(cat, '10.77.0.10', 80, 1),
      who(cat, 'fd00:77::10', 80, 1),
      whoByDatagram(cat, '10.77.0.10', 9, 1),
    ])
    assert.deepEqual(tries, [false, undefined, undefined, undefined])
  })

  bed.it('of an internal network have each other and no way in or out', async () => {
    await bed.network('i', { subnets: ['10.79.0.0/24'], internal: true })
    const [dan] = await Promise.all([
      bed.run('dan', 'i', { ip: '10.79.0.10' }),
      bed.run('eve', 'i', { ip: '10.79.0.11' }),
    ])
    assert.equal(await who(dan, 'eve'), 'eve 10.79.0.10')
    await bed.routed('10.79.0.0/24', async () => {
      const tries = [pings(dan, bed.outside.ipv4), pings(ann, '10.79.0.10'), pings(bed.outside, '10.79.0.10')]
      assert.deepEqual(await Promise.all(tries), [false, false, false])
    })
  })

  bed.it('are kept apart where inter-container traffic is switched off', async () => {
    await bed.network('apart', {
      subnets: ['10.79.0.0/24'],
      opt: { 'com.docker.network.bridge.enable_icc': 'false' },
    })
    const [dan] = await Promise.all([
      bed.run('dan', 'apart', { ip: '10.79.0.10' }),
      bed.run('eve', 'apart', { ip: '10.79.0.11' }),
    ])
    assert(!(await pings(dan, '10.79.0.11')))
    assert(await pings(dan, bed.outside.ipv4))
    assert.equal(await who(bed.host, '10.79.0.11'), 'eve 10.79.0.1')
  })

  bed.it('have the MAC that they were given', async () => {
    const dan = await bed.run('dan', 'n', { ip: '10.77.0.99', mac: '02:42:00:00:00:99' })
    assert.match(
      await dan.exec('ip', 'addr', 'show', 'eth0'),
      /02:42:00:00:00:99[\s\S]*inet 10\.77\.0\.99\/24/,
    )
    assert.equal(await who(bob, '10.77.0.99'), 'dan 10.77.0.11')
    assert.match(await bob.exec('cat', '/proc/net/arp'), /10\.77\.0\.99 .* 02:42:00:00:00:99/)
  })

  bed.it('are connected to a further network and disconnected while they run', async () => {
    const dan = await bed.run('dan', 'n')
    await bed.docker('network', 'connect', '--ip', '10.78.0.50', '--alias', 'visitor', 'm', 'dan')
    assert.equal(await who(dan, '10.78.0.10'), 'cat 10.78.0.50')
    assert.match((await who(cat, 'visitor')) ?? '', /^dan (10\.78\.0\.10|fd00:78::10)$/)
    await bed.docker('network', 'disconnect', 'm', 'dan')
    assert(await closed(cat, '10.78.0.50'))
    assert(await pings(dan, bed.outside.ipv4))
    assert.doesNotMatch(await dan.exec('ip', 'addr'), /10\.78\.0\.50/)
  })

  bed.it('keep the outside and their ports by another network when the first is taken away', async () => {
    const dan = await bed.run('dan', 'n', { publish: ['8080:80'] })
    await bed.docker('network', 'connect', 'm', 'dan')
    assert(await pings(dan, bed.outside.ipv4))
    await bed.docker('network', 'disconnect', 'n', 'dan')
    assert.match(await dan.exec('ip', 'route'), /default via 10\.78\.0\.1/)
    assert(await pings(dan, bed.outside.ipv4))
    assert.equal(await who(bed.outside, bed.ipv4, 8080), `dan ${bed.outside.ipv4}`)
  })

  bed.it('are found again after a stop and a start, and after a restart', async () => {
    const dan = await bed.run('dan', 'n', { publish: ['8080:80'] })
    await bed.docker('stop', 'dan')
    assert(await closed(bed.outside, bed.ipv4, 8080))
    await bed.docker('start', 'dan')
    await dan.serves()
    assert.match((await who(ann, 'dan')) ?? '', /^dan /)
    await bed.docker('restart', 'dan')
    await dan.serves()
    assert.equal(await who(bed.outside, bed.ipv4, 8080), `dan ${bed.outside.ipv4}`)
  })
})
