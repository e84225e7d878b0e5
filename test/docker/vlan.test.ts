import assert from 'node:assert/strict'
import { eventually, until } from '../bed/until.ts'
import { lacks } from '../kernel/bed.ts'
import { again } from './again.ts'
import { facts, pair, plain } from './lan.ts'
import { type Bed, driver, onDocker, pings } from './support.ts'

const reason = lacks('ipvlan') ?? lacks('vlan')

;(reason ? describe.skip : describe)(`with VLANs as parents${reason ? `: ${reason}` : ''}`, () => {
  onDocker('VLANs', suite, { ...plain, engines: ['20.10'] })
})

function suite(bed: Bed): void {
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

  for (const mode of ['macvlan', 'ipvlan'])
    bed.it(`a ${mode} container on a VLAN is there again when dockerd is killed or restarted`, async () => {
      await behindVlan(bed, 'eth0', async () => {
        await onVlan(bed, 'n', mode)
        const ann = await bed.run('ann', 'n', { restart: 'always' })
        for (const end of ['stop', 'kill'] as const) {
          await again([ann], async () => {
            await bed.host.dockerd[end]()
            await bed.host.dockerd.start(bed.host.holder)
          })
          assert(await pings(ann, '10.254.0.1'))
        }
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

  // What Docker makes for itself is another after a boot: nothing comes after it.
  it('containers on a VLAN are there again after a power cut', async () => {
    await behindVlan(bed, 'eth0', async () => {
      await onVlan(bed, 'n', 'ipvlan')
      const ann = await bed.run('ann', 'n', { restart: 'always' })
      await again([ann], () => bed.host.reboot())
      assert(await pings(ann, '10.254.0.1'))
      await bed.clear()
      await gone(bed, 'eth0.10')
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
