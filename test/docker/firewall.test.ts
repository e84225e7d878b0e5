import assert from 'node:assert/strict'
import type { Iptables } from '../bed/holder.ts'
import { eventually } from '../bed/until.ts'
import { type Container, closed, driver, onDocker, pings, who } from './support.ts'

/** Milliseconds in which tsnetd has noticed that rules are gone: iptables-legacy tells nobody, so it is asked. */
const HEALED = 30_000

for (const iptables of ['nft', 'legacy'] satisfies Iptables[])
  onDocker(
    `beside iptables-${iptables}`,
    bed => {
      let ann: Container
      let bob: Container

      bed.cast(async () => {
        await bed.network('n', { subnets: ['10.77.0.0/24', 'fd00:77::/64'] })
        ann = await bed.run('ann', 'n', { ip: '10.77.0.10', ip6: 'fd00:77::10', publish: ['8080:80'] })
        bob = await bed.run('bob', 'n', { ip: '10.77.0.11', ip6: 'fd00:77::11' })
      })

      /** Neighbours, the outside in both directions, and the way from a container to its own port. */
      async function works(): Promise<void> {
        const [there, far4, far6, in4, in6, back] = await Promise.all([
          who(bob, '10.77.0.10'),
          pings(bob, bed.outside.far4),
          pings(bob, bed.outside.far6),
          who(bed.outside, bed.ipv4, 8080),
          who(bed.outside, bed.ipv6, 8080),
          who(ann, bed.ipv4, 8080),
        ])
        assert.deepEqual(
          { there, far4, far6, in4, in6, back: back?.split(' ')[0] },
          {
            there: 'ann 10.77.0.11',
            far4: true,
            far6: true,
            in4: `ann ${bed.outside.ipv4}`,
            in6: `ann ${bed.outside.ipv6}`,
            back: 'ann',
          },
        )
      }

      for (const value of ['1', '0'])
        bed.it(`with FORWARD dropping and bridge-nf-call-iptables ${value}, everything works`, async () => {
          await bed.host.exec('iptables', '-P', 'FORWARD', 'DROP')
          await bed.host.exec('ip6tables', '-P', 'FORWARD', 'DROP')
          const keys = ['iptables', 'ip6tables'].map(name => `net.bridge.bridge-nf-call-${name}`)
          const before = await bed.host.exec('sysctl', '--values', keys[0] ?? '')
          for (const key of keys) await bed.host.exec('sysctl', '-qw', `${key}=${value}`)
          try {
            await works()
          } finally {
            for (const key of keys) await bed.host.exec('sysctl', '-qw', `${key}=${before}`)
          }
        })

      bed.it('rules in DOCKER-USER hold for both directions', async () => {
        const rules = [
          ['-s', '10.77.0.0/24', '-d', bed.outside.far4, '-j', 'DROP'],
          ['-i', 'eth0', '-p', 'tcp', '--dport', '80', '-j', 'DROP'],
        ]
        for (const rule of rules) await bed.host.exec('iptables', '-I', 'DOCKER-USER', ...rule)
        try {
          assert(!(await pings(bob, bed.outside.far4)))
          assert(await closed(bed.outside, bed.ipv4, 8080))
          assert(await pings(bob, bed.outside.ipv4))
        } finally {
          for (const rule of rules) await bed.host.exec('iptables', '-D', 'DOCKER-USER', ...rule)
        }
        await works()
      })

      bed.it("the engine's own networks and ours meet by published ports alone", async () => {
        await bed.network('theirs', { driver: 'bridge', subnets: ['10.90.0.0/24'] })
        const [cat, dan] = await Promise.all([
          bed.run('cat', 'bridge', { publish: ['8081:80'] }),
          bed.run('dan', 'theirs', { publish: ['8082:80'] }),
        ])
        const [catAt, danAt] = await Promise.all([cat.address('bridge'), dan.address('theirs')])
        const [ports, secrets] = await Promise.all([
          Promise.all([
            who(bob, bed.ipv4, 8081),
            who(bob, bed.ipv4, 8082),
            who(cat, bed.ipv4, 8080),
            who(dan, bed.ipv4, 8080),
          ]),
          Promise.all([
            who(bob, catAt, 80, 1),
            who(bob, danAt, 80, 1),
            who(cat, '10.77.0.10', 80, 1),
            who(dan, '10.77.0.10', 80, 1),
          ]),
        ])
        assert.deepEqual(
          ports.map(answer => answer?.split(' ')[0]),
          ['cat', 'dan', 'ann', 'ann'],
        )
        assert.deepEqual(secrets, Array(4).fill(undefined))
      })

      if (driver === 'tsnet') {
        // The engine writes its own rules at its start alone: they stay away.
        const spoils = { spoils: ['nft', 'legacy'] }

        bed.it('our table is healed after it was deleted', async () => {
          await bed.host.exec('nft', 'delete', 'table', 'inet', 'tsnet')
          await eventually(works, HEALED)
        })

        bed.it(
          'FORWARD is healed after iptables -F',
          async () => {
            for (const family of ['iptables', 'ip6tables']) {
              await bed.host.exec(family, '-P', 'FORWARD', 'DROP')
              await bed.host.exec(family, '-F', 'FORWARD')
            }
            await eventually(works, HEALED)
          },
          spoils,
        )

        bed.it(
          'everything is healed after nft flush ruleset',
          async () => {
            await bed.host.exec('nft', 'flush', 'ruleset')
            await eventually(works, HEALED)
          },
          spoils,
        )
      }
    },
    { iptables, own: true },
  )

if (driver === 'tsnet')
  onDocker(
    'a host that was no router',
    bed => {
      bed.it('forwards for containers and for nobody else', async () => {
        await bed.network('n', { subnets: ['10.77.0.0/24', 'fd00:77::/64'] })
        const ann = await bed.run('ann', 'n', { publish: ['8080:80'] })
        const values = await bed.host.exec(
          'sysctl',
          '--values',
          'net.ipv4.ip_forward',
          'net.ipv6.conf.all.forwarding',
        )
        assert.equal(values, '1\n1')
        for (const iptables of ['iptables', 'ip6tables'])
          assert.match(await bed.host.exec(iptables, '-S', 'FORWARD'), /^-P FORWARD DROP$/m)
        assert(await pings(ann, bed.outside.far4))
        assert(await pings(ann, bed.outside.far6))
        assert.equal(await who(bed.outside, bed.ipv4, 8080), `ann ${bed.outside.ipv4}`)
      })
    },
    {
      daemonJson: { 'ip-forward': false },
      prepare: async host => {
        for (const key of ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding'])
          await host.exec('sysctl', '-qw', `${key}=0`)
      },
    },
  )
