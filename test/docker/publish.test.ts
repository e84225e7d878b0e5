import assert from 'node:assert/strict'
import { until } from '../bed/until.ts'
import { datagram, Ear, type Ends, sctpInit, send } from './frames.ts'
import { type Container, closed, driver, onDocker, type Place, tcp, who, whoByDatagram } from './support.ts'

const bridge = 'br-front'

onDocker('a published port', bed => {
  let neighbour: Container
  let stranger: Container
  let foreigner: Container

  bed.cast(async () => {
    const subnets = ['10.77.0.0/24', 'fd00:77::/64']
    await bed.network('front', { subnets, opt: { 'com.docker.network.bridge.name': bridge } })
    await bed.network('other', { subnets: ['10.78.0.0/24', 'fd00:78::/64'] })
    ;[neighbour, stranger, foreigner] = await Promise.all([
      bed.run('neighbour', 'front', { ip: '10.77.0.10', ip6: 'fd00:77::10' }),
      bed.run('stranger', 'other', { ip: '10.78.0.10', ip6: 'fd00:78::10' }),
      bed.run('foreigner', 'bridge'),
    ])
  })

  bed.it('answers TCP and UDP, over IPv4 and IPv6, wherever one asks from', async () => {
    const web = await bed.run('web', 'front', { publish: ['8080:80', '8053:9/udp'] })
    const host = [bed.ipv4, bed.ipv6]
    const asks: [name: string, from: Place, at: string[]][] = [
      ['outside', bed.outside, host],
      ['the host', bed.host, [...host, '127.0.0.1', '10.77.0.1', 'fd00:77::1']],
      ['the container itself', web, host],
      ['a neighbour', neighbour, [...host, '10.77.0.1']],
      ['a container of another network', stranger, host],
      ["a container of Docker's bridge", foreigner, [bed.ipv4]],
    ]
    for (const [name, from, at] of asks) {
      const answers = at.flatMap(address => [who(from, address, 8080), whoByDatagram(from, address, 8053)])
      const hosts = (await Promise.all(answers)).map(answer => answer?.split(' ')[0])
      assert.deepEqual(hosts, Array(2 * at.length).fill('web'), `asked from ${name} at ${at}`)
    }
    assert.equal(await who(bed.outside, bed.ipv4, 8080), `web ${bed.outside.ipv4}`)
    assert.equal(await who(bed.outside, bed.ipv6, 8080), `web ${bed.outside.ipv6}`)
    assert.equal(await whoByDatagram(bed.outside, bed.ipv4, 8053), `web ${bed.outside.ipv4}`)
    if (driver === 'tsnet') assert.equal(await who(stranger, bed.ipv4, 8080), 'web 10.78.0.10')
  })

  bed.it('passes SCTP', async () => {
    const web = await bed.run('web', 'front', { publish: ['8090:5000/sctp'] })
    const ear = new Ear(web, 'ip 132')
    const [from, to] = [await outsideEnds(4000), await hostEnds(8090)]
    // Source and destination port, then the tag, which is 0 in an INIT.
    const sign = Buffer.from([4000 >> 8, 4000 & 255, 5000 >> 8, 5000 & 255, 0, 0, 0, 0])
    await ear.hears(sign, () => send(bed.outside, sctpInit(from, to)))
    await ear.close()
  })

  bed.it('answers at the host address that it was given, and at no other', async () => {
    await bed.run('web', 'front', {
      publish: ['127.0.0.1:8080:80', `${bed.ipv4}:8081:80`, `[${bed.ipv6}]:8082:80`],
    })
    assert.match((await who(bed.host, '127.0.0.1', 8080)) ?? '', /^web /)
    assert.match((await who(bed.outside, bed.ipv4, 8081)) ?? '', /^web /)
    assert.match((await who(bed.outside, bed.ipv6, 8082)) ?? '', /^web /)
    const others: Promise<boolean>[] = [
      closed(bed.outside, bed.ipv4, 8080),
      closed(bed.outside, bed.ipv6, 8080),
      closed(stranger, bed.ipv4, 8080),
      closed(bed.host, '127.0.0.1', 8081),
      closed(bed.outside, bed.ipv4, 8082),
    ]
    assert.deepEqual(await Promise.all(others), Array(others.length).fill(true))
  })

  bed.it('is one of a range, or any that is free, when no single one is named', async () => {
    const range = { publish: ['8000-8001:80'] }
    await bed.run('first', 'front', range)
    await bed.run('second', 'front', range)
    const answers = await Promise.all([8000, 8001].map(port => who(bed.outside, bed.ipv4, port)))
    assert.deepEqual(answers, [`first ${bed.outside.ipv4}`, `second ${bed.outside.ipv4}`])
    if (driver === 'tsnet')
      await assert.rejects(
        bed.run('third', 'front', range),
        /no tcp port from 8000 to 8001 is free at 0\.0\.0\.0 and ::/,
      )
    const any = await bed.run('fourth', 'front', { publish: ['80'] })
    assert.equal(await who(bed.outside, bed.ipv4, await chosen(any)), `fourth ${bed.outside.ipv4}`)
  })

  bed.it('comes in ranges, each port with its own', async () => {
    const ports = ['--publish', '8010-8012:79-81', '--publish', '8020-8021:79-80']
    await bed.docker('run', '-d', '--name', 'web', '--hostname', 'web', '--network', 'front', ...ports, 'box')
    await bed.container('web').serves()
    const answers = [8010, 8011, 8012, 8020, 8021].map(port => who(bed.outside, bed.ipv4, port, 2))
    const web = `web ${bed.outside.ipv4}`
    assert.deepEqual(await Promise.all(answers), [undefined, web, undefined, undefined, web])
  })

  bed.it('is refused with a sentence when another container or a program of the host has it', async () => {
    const taken =
      /port is already allocated|port 8080\/tcp at 0\.0\.0\.0 and :: is already taken|address already in use/
    const web = await bed.run('web', 'front', { publish: ['8080:80'] })
    await assert.rejects(bed.run('late', 'other', { publish: ['8080:80'] }), taken)
    await bed.host.api.getContainer('web').stop()
    const program = await occupied(8080)
    try {
      await assert.rejects(bed.host.api.getContainer('web').start(), taken)
    } finally {
      await program.end()
    }
    await bed.host.api.getContainer('web').start()
    await web.serves()
    assert.equal(await who(bed.outside, bed.ipv4, 8080), `web ${bed.outside.ipv4}`)
    const { stderr } = await bed.host.attempt(['timeout', '3', 'socat', '-u', 'TCP4-LISTEN:8080', '-'])
    assert.match(stderr, /Address already in use/)
  })

  bed.it('is the only one that is open, even to who knows the way to the container', async () => {
    await bed.run('web', 'front', { publish: ['8080:80'], ip: '10.77.0.20', ip6: 'fd00:77::20' })
    await bed.routed('10.77.0.0/24', () =>
      bed.routed('fd00:77::/64', async () => {
        const tries = [
          who(bed.outside, '10.77.0.20', 7, 1),
          who(bed.outside, '10.77.0.20', 80, 1),
          whoByDatagram(bed.outside, '10.77.0.20', 9, 1),
          who(bed.outside, 'fd00:77::20', 80, 1),
          who(stranger, '10.77.0.20', 80, 1),
          who(stranger, 'fd00:77::20', 80, 1),
        ]
        assert.deepEqual(await Promise.all(tries), Array(tries.length).fill(undefined))
      }),
    )
  })

  bed.it('at 127.0.0.1 is for the host alone, whatever its neighbours and containers send', async () => {
    const web = await bed.run('web', 'front', { publish: ['127.0.0.1:8053:53/udp', '8054:53/udp'] })
    const ear = new Ear(web, 'udp 53')
    await deaf(ear, bed.outside, await outsideEnds(4000), [await hostEnds(8053), await hostEnds(8054)])
    const gateway = { ...(await linkEnds(bridge)), ip: '10.77.0.1' }
    const near = { mac: await macOf(neighbour), ip: '10.77.0.10', port: 4000 }
    const ports = [8053, 8054].map(port => ({ ...gateway, port })) as [Ends, Ends]
    await deaf(ear, neighbour, near, ports)
    await ear.close()
  })

  bed.it("leaves the host's own loopback services to the host", async () => {
    await bed.run('web', 'front', { publish: ['8080:80'] })
    const ear = new Ear(bed.host, 'udp 9999')
    const here = await hostEnds(9999)
    // As kube-proxy sets it; without it the kernel itself would drop what comes from outside.
    await bed.host.exec('sysctl', '-qw', 'net.ipv4.conf.eth0.route_localnet=1')
    await deaf(ear, bed.outside, await outsideEnds(4000), [here, here])
    await bed.host.exec('sysctl', '-qw', 'net.ipv4.conf.eth0.route_localnet=0')
    const gateway = { ...(await linkEnds(bridge)), ip: '10.77.0.1', port: 9999 }
    const near = { mac: await macOf(neighbour), ip: '10.77.0.10', port: 4000 }
    await deaf(ear, neighbour, near, [gateway, gateway])
    await ear.close()
  })

  bed.it('refuses ::1 at once, so that clients go on to 127.0.0.1', async () => {
    await bed.run('web', 'front', { publish: ['8080:80'] })
    const { stderr } = await bed.host.attempt(['timeout', '3', 'socat', '-u', tcp('::1', 8080), '-'])
    if (driver === 'tsnet') assert.match(stderr, /Connection refused/)
    assert.match((await who(bed.host, 'localhost', 8080)) ?? '', /^web /)
  })

  /** What is sent to 127.0.0.1 stays unheard between two datagrams that go to a proper address and are heard. */
  async function deaf(ear: Ear, sender: Place, from: Ends, [loopback, proper]: [Ends, Ends]): Promise<void> {
    const say = (to: Ends, text: string) => send(sender, datagram(from, to, text))
    const mark = `${from.mac}`
    await ear.hears(`${mark} begins`, () => say(proper, `${mark} begins`))
    await say({ ...loopback, ip: '127.0.0.1' }, 'crafted')
    await say({ ...loopback, ip: '127.0.0.1' }, 'crafted again')
    await ear.hears(`${mark} ends`, () => say(proper, `${mark} ends`))
    assert(!ear.heard.includes('crafted'), `127.0.0.1:${loopback.port} was reached from ${mark}`)
  }

  const hostEnds = async (port: number): Promise<Ends> => ({
    ...(await linkEnds('eth0')),
    ip: bed.ipv4,
    port,
  })

  async function outsideEnds(port: number): Promise<Ends> {
    const [link] = JSON.parse(await bed.outside.exec('ip', '-j', 'link', 'show', 'eth0'))
    return { mac: link.address, ip: bed.outside.ipv4, port }
  }

  async function linkEnds(name: string): Promise<Ends> {
    const [link] = JSON.parse(await bed.host.exec('ip', '-j', 'link', 'show', name))
    return { mac: link.address, ip: '', port: 0 }
  }

  async function macOf(container: Container): Promise<string> {
    return (await container.exec('cat', '/sys/class/net/eth0/address')).trim()
  }

  /** The host port that was chosen: Docker doesn't show those of other drivers than its own. */
  async function chosen(container: Container): Promise<number> {
    if (driver !== 'tsnet')
      return Number((await container.inspect()).NetworkSettings.Ports['80/tcp']?.[0]?.HostPort)
    const map = await bed.host.exec('nft', 'list', 'map', 'inet', 'tsnet', 'any4')
    const port = new RegExp(`tcp \\. (\\d+) : ${await container.address('front')} \\. 80`).exec(map)?.[1]
    return Number(port)
  }

  /** A program of the host that listens at a port. */
  async function occupied(port: number): Promise<{ end(): Promise<void> }> {
    const ended = bed.host.attempt(['timeout', '60', 'socat', '-u', `TCP4-LISTEN:${port}`, '-'])
    const hex = port.toString(16).toUpperCase().padStart(4, '0')
    await until(`a program at port ${port}`, async () =>
      (await bed.host.exec('cat', '/proc/net/tcp')).includes(`:${hex} 00000000:0000 0A`),
    )
    return {
      async end() {
        // It serves one connection.
        await bed.host.attempt(['timeout', '3', 'socat', '-u', '/dev/null', tcp('127.0.0.1', port)])
        await ended
      },
    }
  }
})
