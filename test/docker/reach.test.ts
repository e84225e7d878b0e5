import assert from 'node:assert/strict'
import { onDocker, pings, who, whoByDatagram } from './support.ts'

onDocker('containers reach each other', bed => {
  bed.it('by name, by alias and by address', async () => {
    await bed.network('n', '--subnet', '10.77.0.0/24')
    const [a, b] = await Promise.all([bed.run('a', 'n'), bed.run('b', 'n', '--network-alias', 'bee')])
    assert.equal(await who(a, 'b'), `b ${await a.address('n')}`)
    assert.equal(await who(a, 'bee'), `b ${await a.address('n')}`)
    assert.equal(await who(b, await a.address('n')), `a ${await b.address('n')}`)
    assert(await whoByDatagram(a, await b.address('n')))
  })

  bed.it('and the outside, which sees the host', async () => {
    await bed.network('n', '--subnet', '10.77.0.0/24')
    const a = await bed.run('a', 'n')
    assert(await pings(a, bed.outside.far4))
    assert.equal(await seenOutside(a), bed.ipv4)
  })

  bed.it('and are reached by their host', async () => {
    await bed.network('n', '--subnet', '10.77.0.0/24')
    const a = await bed.run('a', 'n')
    assert.equal(await who(bed.host.place, await a.address('n')), 'a 10.77.0.1')
  })

  bed.it('but not over the border of a network', async () => {
    await Promise.all([bed.network('n', '--subnet', '10.77.0.0/24'), bed.network('m', '--subnet', '10.78.0.0/24')])
    const [a, b] = await Promise.all([bed.run('a', 'n'), bed.run('b', 'm')])
    assert(!(await pings(a, await b.address('m'))))
    assert.equal(await who(b, await a.address('n')), undefined)
  })

  bed.it('without a way out of an internal network', async () => {
    await bed.network('n', '--subnet', '10.77.0.0/24', '--internal')
    const [a, b] = await Promise.all([bed.run('a', 'n'), bed.run('b', 'n')])
    assert.equal(await who(a, 'b'), `b ${await a.address('n')}`)
    assert(!(await pings(a, bed.outside.ipv4)))
    assert.equal(await who(bed.outside, await a.address('n')), undefined)
  })

  bed.it('not where inter-container traffic is switched off', async () => {
    await bed.network('n', '--subnet', '10.77.0.0/24', '--opt', 'com.docker.network.bridge.enable_icc=false')
    const [a, b] = await Promise.all([bed.run('a', 'n'), bed.run('b', 'n')])
    assert(!(await pings(a, await b.address('n'))))
    assert(await pings(a, bed.outside.ipv4))
    assert.equal(await who(bed.host.place, await b.address('n')), 'b 10.77.0.1')
  })

  bed.it('with the address and the MAC they were given', async () => {
    await bed.network('n', '--subnet', '10.77.0.0/24')
    const a = await bed.run('a', 'n', '--ip', '10.77.0.99', '--mac-address', '02:42:00:00:00:99')
    assert.match(await a.exec('ip', 'addr', 'show', 'eth0'), /02:42:00:00:00:99[\s\S]*inet 10\.77\.0\.99\/24/)
    const b = await bed.run('b', 'n')
    assert.equal(await who(b, '10.77.0.99'), `a ${await b.address('n')}`)
    await b.exec('ping', '-c', '1', '10.77.0.99')
    assert.match(await b.exec('cat', '/proc/net/arp'), /10\.77\.0\.99 .* 02:42:00:00:00:99/)
  })

  bed.it('over IPv6', async () => {
    await bed.network('n', '--subnet', '10.77.0.0/24', '--ipv6', '--subnet', 'fd00:77::/64')
    const [a, b] = await Promise.all([bed.run('a', 'n'), bed.run('b', 'n')])
    assert.equal(await who(a, await b.address('n', 6)), `b ${await a.address('n', 6)}`)
    assert(await pings(a, bed.outside.far6))
  })

  bed.it('when a running container is connected and disconnected', async () => {
    await Promise.all([bed.network('n', '--subnet', '10.77.0.0/24'), bed.network('m', '--subnet', '10.78.0.0/24')])
    const [a, b] = await Promise.all([bed.run('a', 'n'), bed.run('b', 'm')])
    await bed.docker('network', 'connect', '--ip', '10.78.0.50', '--alias', 'visitor', 'm', 'a')
    assert.equal(await who(a, 'b'), 'b 10.78.0.50')
    assert.equal(await who(b, 'visitor'), `a ${await b.address('m')}`)
    await bed.docker('network', 'disconnect', 'm', 'a')
    assert.equal(await who(b, '10.78.0.50'), undefined)
    assert(await pings(a, bed.outside.ipv4))
    assert.doesNotMatch(await a.exec('ip', 'addr'), /10\.78\.0\.50/)
  })

  bed.it('and the outside by another network when the first is taken away', async () => {
    await Promise.all([bed.network('n', '--subnet', '10.77.0.0/24'), bed.network('m', '--subnet', '10.78.0.0/24')])
    const a = await bed.run('a', 'n', '--publish', '8080:80')
    await bed.docker('network', 'connect', 'm', 'a')
    assert(await pings(a, bed.outside.ipv4))
    await bed.docker('network', 'disconnect', 'n', 'a')
    assert.match(await a.exec('ip', 'route'), /default via 10\.78\.0\.1/)
    assert(await pings(a, bed.outside.ipv4))
    assert.equal(await who(bed.outside, bed.ipv4, 8080), `a ${bed.outside.ipv4}`)
  })

  bed.it('after a stop and a start, and a restart', async () => {
    await bed.network('n', '--subnet', '10.77.0.0/24')
    const a = await bed.run('a', 'n')
    await bed.run('b', 'n', '--publish', '8080:80')
    await bed.docker('stop', 'b')
    assert.equal(await who(bed.outside, bed.ipv4, 8080), undefined)
    await bed.docker('start', 'b')
    await bed.container('b').serves()
    assert.equal(await who(a, 'b'), `b ${await a.address('n')}`)
    await bed.docker('restart', 'b')
    await bed.container('b').serves()
    assert.equal(await who(bed.outside, bed.ipv4, 8080), `b ${bed.outside.ipv4}`)
  })

  /** The source address of this container's packets as a server outside sees it. */
  async function seenOutside(from: { exec(...argv: string[]): Promise<string> }): Promise<string> {
    const server = bed.outside.attempt(['timeout', '5', 'socat', 'TCP4-LISTEN:8,reuseaddr', 'SYSTEM:echo $SOCAT_PEERADDR'])
    const answer = await from.exec('sh', '-c', `for i in 1 2 3 4 5 6 7 8 9; do socat -T2 TCP4:${bed.outside.ipv4}:8,retry=20,interval=0.1 - && break; done`)
    await server
    return answer.trim()
  }
})
