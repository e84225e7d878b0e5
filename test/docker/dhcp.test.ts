import assert from 'node:assert/strict'
import { until } from '../bed/until.ts'
import { forgetServers, type Server, startServer } from '../dhcp/server.ts'
import { type Bed, type Container, onDocker, pings, who } from './support.ts'

const kept = '02:11:22:33:44:55'

const network = (bed: Bed, { subnet = '10.250.0.0/24', link = 'eth0' } = {}) =>
  bed.network('lan', {
    subnets: [subnet],
    opt: { mode: 'macvlan', parent: 'eth0' },
    ipam: 'tsnet',
    ipamOpt: { dhcp: link },
  })

const macOf = async (container: Container) =>
  (await container.exec('cat', '/sys/class/net/eth0/address')).trim()

const title = 'addresses of the LAN’s DHCP server'

onDocker(
  title,
  bed => {
    let server: Server

    const serve = async (range = '10.250.0.128,10.250.0.159') => {
      const { namespace } = bed.outside
      const options = [`--dhcp-host=${kept},10.250.0.177`]
      server = await startServer({ namespace, link: 'eth0', range, options })
    }

    beforeEach(() => serve())
    afterEach(async () => {
      await server.stop()
      forgetServers()
    })

    bed.it('are the containers’ own, under their MACs, until they stop', async () => {
      await network(bed)
      const [ann, bob] = await Promise.all([bed.run('ann', 'lan'), bed.run('bob', 'lan')])
      const addresses = [await ann.address('lan'), await bob.address('lan')]
      for (const address of addresses) assert.match(address, /^10\.250\.0\.1[2-5]\d$/)
      const macs = [await macOf(ann), await macOf(bob)]
      assert.deepEqual(server.leases(), Object.fromEntries(macs.map((mac, i) => [mac, addresses[i]])))
      assert.equal(await who(bed.outside, addresses[0] as string), `ann ${bed.outside.ipv4}`)
      assert.equal(await who(ann, addresses[1] as string), `bob ${addresses[0]}`)
      assert(await pings(ann, bed.outside.far4), 'by the router that the server names')
      await bed.host.api.getContainer('ann').remove({ force: true })
      await until('the lease to be given back', () => !server.leases()[macs[0] as string])
      assert.equal(server.leases()[macs[1] as string], addresses[1])
    })

    bed.it('are what the server keeps for a MAC, at each start', async () => {
      await network(bed)
      const ann = await bed.run('ann', 'lan', { mac: kept })
      assert.equal(await ann.address('lan'), '10.250.0.177')
      await bed.host.api.getContainer('ann').restart({ t: 0 })
      await ann.serves()
      assert.equal(await ann.address('lan'), '10.250.0.177')
      assert.equal(await who(bed.outside, '10.250.0.177'), `ann ${bed.outside.ipv4}`)
    })

    bed.it('are asked for again by the next tsnetd, and a refusal names the address', async () => {
      await network(bed)
      const ann = await bed.run('ann', 'lan')
      const address = await ann.address('lan')
      await bed.host.tsnetd.kill()
      await bed.host.tsnetd.start(bed.host.holder)
      const asked = new RegExp(`DHCPACK\\(eth0\\) ${address.replaceAll('.', '\\.')} `, 'g')
      await until('the lease to be confirmed', () => (server.log().match(asked)?.length ?? 0) === 2)
      assert.equal(server.log().match(/DHCPDISCOVER/g)?.length, 2, 'the network’s and the container’s')
      await server.stop()
      forgetServers()
      await serve('10.250.0.200,10.250.0.209')
      await bed.host.tsnetd.kill()
      await bed.host.tsnetd.start(bed.host.holder)
      const sentence = `${address}: the DHCP server 10.250.0.254 on eth0 refuses to renew its lease`
      await until('the refusal to be told', async () => (await bed.host.logs()).includes(sentence))
      assert.equal(await who(bed.outside, address), `ann ${bed.outside.ipv4}`)
    })

    bed.it('are refused in a sentence where there are none', async () => {
      await assert.rejects(
        network(bed, { subnet: '10.9.0.0/24' }),
        /the DHCP server on eth0 gives 10\.250\.0\.1\d\d, which is not inside subnet 10\.9\.0\.0\/24/,
      )
      await assert.rejects(network(bed, { link: 'eth7' }), /dhcp=eth7: this host has no link of that name/)
    })
  },
  { tsnetEnv: { TSNET_DHCP: 'on' } },
)
