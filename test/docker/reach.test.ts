import assert from 'node:assert/strict'
import { onDocker, pings, who, whoByDatagram } from './support.ts'

onDocker('containers reach each other', bed => {
  bed.it('by name, by alias and by address', async () => {
    await bed.network('n', '--subnet', '10.77.0.0/24')
    const [ann, bob] = await Promise.all([bed.run('ann', 'n'), bed.run('bob', 'n', '--network-alias', 'bee')])
    assert.equal(await who(ann, 'bob'), `bob ${await ann.address('n')}`)
    assert.equal(await who(ann, 'bee'), `bob ${await ann.address('n')}`)
    assert.equal(await who(bob, await ann.address('n')), `ann ${await bob.address('n')}`)
    assert(await whoByDatagram(ann, await bob.address('n')))
  })

  bed.it('and the outside, which sees the host', async () => {
    await bed.network('n', '--subnet', '10.77.0.0/24')
    const ann = await bed.run('ann', 'n')
    assert(await pings(ann, bed.outside.far4))
    assert.equal(await seenOutside(ann), bed.ipv4)
  })

  bed.it('and are reached by their host', async () => {
    await bed.network('n', '--subnet', '10.77.0.0/24')
    const ann = await bed.run('ann', 'n')
    assert.equal(await who(bed.host, await ann.address('n')), 'ann 10.77.0.1')
  })

  bed.it('but not over the border of a network', async () => {
    await Promise.all([
      bed.network('n', '--subnet', '10.77.0.0/24'),
      bed.network('m', '--subnet', '10.78.0.0/24'),
    ])
    const [ann, bob] = await Promise.all([bed.run('ann', 'n'), bed.run('bob', 'm')])
    assert(!(await pings(ann, await bob.address('m'))))
    assert.equal(await who(bob, await ann.address('n')), undefined)
  })

  bed.it('without a way out of an internal network', async () => {
    await bed.network('n', '--subnet', '10.77.0.0/24', '--internal')
    const [ann] = await Promise.all([bed.run('ann', 'n'), bed.run('bob', 'n')])
    assert.equal(await who(ann, 'bob'), `bob ${await ann.address('n')}`)
    assert(!(await pings(ann, bed.outside.ipv4)))
    assert.equal(await who(bed.outside, await ann.address('n')), undefined)
  })

  bed.it('not where inter-container traffic is switched off', async () => {
    await bed.network('n', '--subnet', '10.77.0.0/24', '--opt', 'com.docker.network.bridge.enable_icc=false')
    const [ann, bob] = await Promise.all([bed.run('ann', 'n'), bed.run('bob', 'n')])
    assert(!(await pings(ann, await bob.address('n'))))
    assert(await pings(ann, bed.outside.ipv4))
    assert.equal(await who(bed.host, await bob.address('n')), 'bob 10.77.0.1')
  })

  bed.it('with the address and the MAC they were given', async () => {
    await bed.network('n', '--subnet', '10.77.0.0/24')
    const ann = await bed.run('ann', 'n', '--ip', '10.77.0.99', '--mac-address', '02:42:00:00:00:99')
    assert.match(
      await ann.exec('ip', 'addr', 'show', 'eth0'),
      /02:42:00:00:00:99[\s\S]*inet 10\.77\.0\.99\/24/,
    )
    const bob = await bed.run('bob', 'n')
    assert.equal(await who(bob, '10.77.0.99'), `ann ${await bob.address('n')}`)
    await bob.exec('ping', '-c', '1', '10.77.0.99')
    assert.match(await bob.exec('cat', '/proc/net/arp'), /10\.77\.0\.99 .* 02:42:00:00:00:99/)
  })

  bed.it('over IPv6', async () => {
    await bed.network('n', '--subnet', '10.77.0.0/24', '--ipv6', '--subnet', 'fd00:77::/64')
    const [ann, bob] = await Promise.all([bed.run('ann', 'n'), bed.run('bob', 'n')])
    assert.equal(await who(ann, await bob.address('n', 6)), `bob ${await ann.address('n', 6)}`)
    assert(await pings(ann, bed.outside.far6))
  })

  bed.it('when a running container is connected and disconnected', async () => {
    await Promise.all([
      bed.network('n', '--subnet', '10.77.0.0/24'),
      bed.network('m', '--subnet', '10.78.0.0/24'),
    ])
    const [ann, bob] = await Promise.all([bed.run('ann', 'n'), bed.run('bob', 'm')])
    await bed.docker('network', 'connect', '--ip', '10.78.0.50', '--alias', 'visitor', 'm', 'ann')
    assert.equal(await who(ann, 'bob'), 'bob 10.78.0.50')
    assert.equal(await who(bob, 'visitor'), `ann ${await bob.address('m')}`)
    await bed.docker('network', 'disconnect', 'm', 'ann')
    assert.equal(await who(bob, '10.78.0.50'), undefined)
    assert(await pings(ann, bed.outside.ipv4))
    assert.doesNotMatch(await ann.exec('ip', 'addr'), /10\.78\.0\.50/)
  })

  bed.it('and the outside by another network when the first is taken away', async () => {
    await Promise.all([
      bed.network('n', '--subnet', '10.77.0.0/24'),
      bed.network('m', '--subnet', '10.78.0.0/24'),
    ])
    const ann = await bed.run('ann', 'n', '--publish', '8080:80')
    await bed.docker('network', 'connect', 'm', 'ann')
    assert(await pings(ann, bed.outside.ipv4))
    await bed.docker('network', 'disconnect', 'n', 'ann')
    assert.match(await ann.exec('ip', 'route'), /default via 10\.78\.0\.1/)
    assert(await pings(ann, bed.outside.ipv4))
    assert.equal(await who(bed.outside, bed.ipv4, 8080), `ann ${bed.outside.ipv4}`)
  })

  bed.it('after a stop and a start, and a restart', async () => {
    await bed.network('n', '--subnet', '10.77.0.0/24')
    const ann = await bed.run('ann', 'n')
    await bed.run('bob', 'n', '--publish', '8080:80')
    await bed.docker('stop', 'bob')
    assert.equal(await who(bed.outside, bed.ipv4, 8080), undefined)
    await bed.docker('start', 'bob')
    await bed.container('bob').serves()
    assert.equal(await who(ann, 'bob'), `bob ${await ann.address('n')}`)
    await bed.docker('restart', 'bob')
    await bed.container('bob').serves()
    assert.equal(await who(bed.outside, bed.ipv4, 8080), `bob ${bed.outside.ipv4}`)
  })

  /** The source address of this container's packets as a server outside sees it. */
  async function seenOutside(from: { exec(...argv: string[]): Promise<string> }): Promise<string> {
    const server = bed.outside.attempt([
      'timeout',
      '5',
      'socat',
      'TCP4-LISTEN:8,reuseaddr',
      'SYSTEM:echo $SOCAT_PEERADDR',
    ])
    const answer = await from.exec(
      'sh',
      '-c',
      `for i in 1 2 3 4 5 6 7 8 9; do socat -T2 TCP4:${bed.outside.ipv4}:8,retry=20,interval=0.1 - && break; done`,
    )
    await server
    return answer.trim()
  }
})
