import assert from 'node:assert/strict'
import { type Bed, driver, type NetworkOptions, onDocker, pings, who } from './support.ts'

/** The network that host and machine outside share: containers live there beside them. */
const lan = {
  Subnet: '10.250.0.0/24',
  Gateway: '10.250.0.254',
  IPRange: '10.250.0.64/27',
  AuxiliaryAddresses: { host: '10.250.0.90' },
}
const lan6 = { Subnet: 'fd00:250::/64', Gateway: 'fd00:250::fe', IPRange: 'fd00:250::64:0/112' }

/** `TSNET_DRIVER=macvlan` runs what both can do on Docker's own driver. */
const network = (bed: Bed, name: string, { opt = {}, ...rest }: NetworkOptions = {}) =>
  bed.network(name, {
    subnets: [lan, lan6],
    ...rest,
    opt: { ...(driver === 'tsnet' && { mode: 'macvlan' }), parent: 'eth0', ...opt },
  })

onDocker('macvlan', bed => {
  bed.it('reach each other, the router and what is behind it, in both families', async () => {
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
})
