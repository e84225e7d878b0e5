import assert from 'node:assert/strict'
import type { Kernel, Outcome, Scope } from '../../core/faces.ts'
import { line } from '../../core/lines.ts'
import {
  type AcceptRow,
  type ChainRow,
  type ElementRow,
  EVERYBODY,
  type LinkRow,
  type PortRow,
  type Row,
  type SetRow,
  type ShortcutRow,
  type Step,
  type Verb,
} from '../../core/rows.ts'

/** A namespace that outlives the kernels opened on it: a second `open` is the daemon after kill -9. */
export type Bed = {
  open(): Promise<Kernel>
  /** Deletes a link behind the kernel's back. */
  lose(link: string): Promise<void>
  /** `nft flush ruleset`. */
  flush(): Promise<void>
  /** Somebody else's bridge. */
  foreignBridge(name: string): Promise<void>
  foreignVeth(name: string): Promise<void>
  foreignAddress(link: string, address: string): Promise<void>
  /** Whether a link is there, whoever made it. */
  hasLink(name: string): Promise<boolean>
  /** Path of another namespace, a container's. */
  container(): Promise<string>
  /** A machine with this address on the LAN behind link `lan0`, which comes with the first one. Answers its MAC. */
  neighbour(address: string): Promise<string>
  /** What that LAN was told of an address since `neighbour`: its MAC. */
  heard(address: string): Promise<string | undefined>
  /** Why this kernel can't make links of a type; undefined when it can. */
  lacks(type: LinkRow['type']): string | undefined
  /** Brings up somebody else's FORWARD chains, one of each kind. */
  firewalls(): Promise<void>
  dispose(): Promise<void>
}

export const bridge: LinkRow = { kind: 'link', name: 'tsb-1', type: 'bridge', up: true, mtu: 1400 }
export const port: LinkRow = {
  kind: 'link',
  name: 'tsv-1',
  type: 'veth',
  up: true,
  mtu: 1400,
  master: 'tsb-1',
  hairpin: true,
  isolated: false,
  peer: { name: 'tsc-1', mac: '02:42:0a:4d:00:02', mtu: 1400 },
}
const { peer: _, ...portPresent } = port
const gateway: Row = { kind: 'address', link: 'tsb-1', address: '10.77.0.1/24' }
const gateway6: Row = { kind: 'address', link: 'tsb-1', address: 'fd00:77::1/64' }
const localnet: Row = { kind: 'sysctl', key: 'net/ipv4/conf/tsb-1/route_localnet', value: '1' }
export const bridges: SetRow = { kind: 'set', name: 'bridges', type: ['ifname'] }
export const ports: SetRow = {
  kind: 'set',
  name: 'ports4',
  type: ['ipv4_addr', 'inet_proto', 'inet_service'],
  value: ['ipv4_addr', 'inet_service'],
}
const masq: SetRow = { kind: 'set', name: 'masq4', type: ['ipv4_addr'], interval: true }
const subnets: SetRow = { kind: 'set', name: 'subnets6', type: ['ipv6_addr', 'ifname'], interval: true }
const ingress: SetRow = { kind: 'set', name: 'ingress', type: ['ifname'], value: 'verdict' }
export const open: ChainRow = {
  kind: 'chain',
  name: 'open',
  rules: ['ct state established,related accept', 'drop'],
}
export const forward: ChainRow = {
  kind: 'chain',
  name: 'forward',
  hook: 'type filter hook forward priority filter - 5',
  rules: ['iifname @bridges accept', 'oifname vmap @ingress', 'ip daddr 10.9.9.9 jump open'],
}
export const tunnel: LinkRow = {
  kind: 'link',
  name: 'tsx-1',
  type: 'vxlan',
  up: true,
  mtu: 1400,
  vni: 4711,
  udpPort: 4790,
  local: '10.9.0.1',
  inheritDf: true,
  master: 'tsb-1',
  isolated: true,
  suppress: true,
  learning: false,
  locked: true,
  flood: false,
}
const tunnel6: LinkRow = { ...tunnel, name: 'tsy-1', local: 'fd09::1' }
const vnis: SetRow = { kind: 'set', name: 'vnis', type: ['inet_service', 'vni'] }
const far: Row = { kind: 'fdb', link: 'tsx-1', mac: '02:42:0a:4d:00:05', to: '10.9.0.7' }
const far6: Row = { kind: 'fdb', link: 'tsy-1', mac: '02:42:0a:4d:00:06', to: 'fd09::7' }
const everybody = (to: string): Row => ({ kind: 'fdb', link: 'tsx-1', mac: EVERYBODY, to })
const near: Row = { kind: 'neighbour', link: 'tsb-1', address: '10.77.0.5', mac: '02:42:0a:4d:00:05' }
const near6: Row = { kind: 'neighbour', link: 'tsb-1', address: 'fd00:77::5', mac: '02:42:0a:4d:00:05' }
const element = (set: string, key: string[], value?: string[]): ElementRow =>
  value ? { kind: 'element', set, key, value } : { kind: 'element', set, key }

const shortcut: ShortcutRow = {
  kind: 'shortcut',
  link: 'tsv-1',
  bridge: 'tsb-1',
  mac: '02:42:0a:4d:00:02',
}

const ground: Row[] = [bridges, ports, masq, subnets, ingress, open, forward]

const step = (verb: Verb, row: Row, was = row): Step =>
  verb === 'add' ? { verb, row, reason: 'test' } : { verb, row, was, reason: 'test' }
export const adds = (...rows: Row[]): Step[] => rows.map(row => step('add', row))
const codes = (outcomes: Outcome[]) => outcomes.map(outcome => (outcome.ok ? 'ok' : outcome.error.code))

/** Every promise that `Kernel` makes, against a fresh bed for each. */
export function suite(name: string, factory: () => Promise<Bed>): void {
  describe(`kernel contract: ${name}`, () => {
    let bed: Bed
    let kernel: Kernel

    beforeEach(async () => {
      bed = await factory()
      kernel = await bed.open()
    })
    afterEach(async () => {
      await kernel?.close()
      await bed?.dispose()
    })

    const apply = async (...steps: Step[]) => codes(await kernel.apply(steps))
    const add = async (...rows: Row[]) =>
      assert.deepEqual(
        await apply(...adds(...rows)),
        rows.map(() => 'ok'),
      )
    const lines = async (scope: Scope) => (await kernel.read(scope)).map(line).sort()
    const look = async (...rows: Row[]) => kernel.read({ owned: false, rows })
    const owned = () => lines({ owned: true, rows: [] })

    /** The fields that were asked for, as they are read. */
    async function assertPresent(...rows: Row[]) {
      for (const row of rows) {
        const [found] = await look(row)
        assert.ok(found, `absent: ${line(row)}`)
        const shown = Object.fromEntries(Object.keys(row).map(name => [name, (found as never)[name]]))
        const { peer: _, ...asked } = row as LinkRow
        assert.deepEqual({ ...shown, peer: undefined }, { ...asked, peer: undefined })
      }
    }
    const assertAbsent = async (...rows: Row[]) => assert.deepEqual((await look(...rows)).map(line), [])

    describe('links', () => {
      it('makes a bridge and a veth that is its port, in one go', async () => {
        await add(bridge, port)
        await assertPresent(bridge, port)
        assert.equal(await bed.hasLink('tsc-1'), true)
      })

      it('does not name the container end as a row of its own', async () => {
        await add(bridge, port)
        const links = (await kernel.read({ owned: true, rows: [] })).filter(row => row.kind === 'link')
        assert.deepEqual(links.map(({ name }) => name).sort(), ['tsb-1', 'tsv-1'])
      })

      it('says every field that a row can want', async () => {
        await add(bridge, port)
        const [found] = await look(port)
        const { mac, ...rest } = found as LinkRow
        assert.match(mac ?? '', /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/)
        assert.deepEqual(rest, portPresent)
      })

      it('changes flags, MTU, MAC and master in place', async () => {
        const other: LinkRow = { ...bridge, name: 'tsb-2' }
        await add(bridge, other, port)
        const changed = {
          ...port,
          master: 'tsb-2',
          mtu: 1300,
          mac: '02:42:00:00:00:09',
          hairpin: false,
          isolated: true,
        }
        assert.deepEqual(await apply(step('set', changed, port)), ['ok'])
        await assertPresent(changed)
        assert.deepEqual(await apply(step('set', { ...changed, up: false }, changed)), ['ok'])
        await assertPresent({ ...changed, up: false })
      })

      it('deletes both ends of a veth, and is content when there is nothing to delete', async () => {
        await add(bridge, port)
        assert.deepEqual(await apply(step('delete', port)), ['ok'])
        await assertAbsent(port)
        assert.deepEqual(await apply(step('delete', port)), ['ok'])
      })

      it('drops what hangs on a bridge that goes, and frees its ports', async () => {
        await add(bridge, port, gateway, gateway6, localnet)
        assert.deepEqual(await apply(step('delete', bridge)), ['ok'])
        await assertAbsent(bridge, gateway, gateway6, localnet)
        const [left] = await look(port)
        assert.equal((left as LinkRow).master, undefined)
      })

      it('drops what hangs on a link that is replaced', async () => {
        await add(bridge, gateway)
        assert.deepEqual(await apply(step('replace', { ...bridge, mtu: 1300 }, bridge)), ['ok'])
        await assertPresent({ ...bridge, mtu: 1300 })
        await assertAbsent(gateway)
      })

      it('gives a name again at once', async () => {
        await add(bridge, port)
        assert.deepEqual(await apply(step('delete', port), step('delete', bridge)), ['ok', 'ok'])
        await add(bridge, port)
        await assertPresent(bridge, port)
      })

      it('notices that a link was lost', async () => {
        await add(bridge, port)
        await bed.lose('tsc-1')
        await assertAbsent(port)
      })

      it('names the errno', async () => {
        await add(bridge, port)
        assert.deepEqual(await apply(...adds(bridge)), ['EEXIST'])
        assert.deepEqual(await apply(...adds({ ...port, name: 'tsv-2', peer: { name: 'tsc-1' } })), [
          'EEXIST',
        ])
        assert.deepEqual(
          await apply(...adds({ ...port, name: 'tsv-3', peer: { name: 'tsc-3' }, master: 'tsb-9' })),
          ['ENODEV'],
        )
        assert.deepEqual(await apply(step('set', { ...bridge, name: 'tsb-8' })), ['ENODEV'])
        assert.deepEqual(await apply(...adds({ ...bridge, name: 'tsb-a-name-too-long' })), ['EINVAL'])
      })
    })

    describe('ownership', () => {
      it('adopts a bridge that somebody else made, and gives it back', async () => {
        const theirs: LinkRow = { ...bridge, name: 'br0' }
        await bed.foreignBridge('br0')
        await bed.foreignAddress('br0', '10.99.0.1/24')
        await assertAbsent(theirs)
        await add(theirs, { ...gateway, link: 'br0' } as Row)
        await assertPresent({ ...theirs, adopted: true })
        assert.deepEqual(
          (await owned()).filter(each => each.startsWith('address')),
          ['address 10.77.0.1/24 dev br0'],
        )
        assert.deepEqual(await apply(step('delete', { ...theirs, adopted: true })), ['ok'])
        await assertAbsent(theirs)
        assert.equal(await bed.hasLink('br0'), true)
      })

      it('knows a bridge of the user’s name again', async () => {
        const named: LinkRow = { ...bridge, name: 'lan0' }
        await add(named)
        const [found] = await look(named)
        assert.equal((found as LinkRow).adopted, undefined)
        assert.deepEqual(await apply(step('delete', named)), ['ok'])
        assert.equal(await bed.hasLink('lan0'), false)
      })

      it('neither shows nor touches somebody else’s link', async () => {
        await bed.foreignVeth('eth7')
        const theirs: LinkRow = { kind: 'link', name: 'eth7', type: 'veth', up: true }
        await assertAbsent(theirs)
        assert.deepEqual(await apply(step('delete', theirs), ...adds(theirs)), ['EPERM', 'EEXIST'])
        assert.equal(await bed.hasLink('eth7'), true)
        assert.deepEqual(await owned(), [])
      })

      it('reads after a crash what it would have read before', async () => {
        await add(...ground, bridge, port, gateway, gateway6, element('bridges', ['tsb-1']))
        const before = await lines({ owned: true, rows: ground })
        const second = await bed.open()
        const after = (await second.read({ owned: true, rows: ground })).map(line).sort()
        await second.close()
        assert.deepEqual(after, before)
        assert.equal(after.length, ground.length + 5)
      })
    })

    describe('addresses and sysctls', () => {
      it('sets both families', async () => {
        await add(bridge, gateway, gateway6, localnet)
        await assertPresent(gateway, gateway6, localnet)
        assert.deepEqual(await apply(step('delete', gateway), step('delete', gateway6)), ['ok', 'ok'])
        await assertAbsent(gateway, gateway6)
        assert.deepEqual(await apply(step('delete', gateway)), ['ok'])
      })

      it('names the errno', async () => {
        await add(bridge, gateway)
        const elsewhere = { ...gateway, link: 'tsb-9' } as Row
        const bad = { ...gateway, address: '10.77.0.300/24' } as Row
        assert.deepEqual(await apply(...adds(gateway, elsewhere, bad)), ['EEXIST', 'ENODEV', 'EINVAL'])
        const nowhere: Row = { kind: 'sysctl', key: 'net/ipv4/conf/tsb-9/route_localnet', value: '1' }
        assert.deepEqual(await apply(step('set', nowhere), step('set', { ...localnet, value: 'x' } as Row)), [
          'ENOENT',
          'EINVAL',
        ])
      })

      it('reads a sysctl whatever its value', async () => {
        await add(bridge)
        assert.deepEqual(await look(localnet), [{ ...localnet, value: '0' }])
        await assertAbsent({ kind: 'sysctl', key: 'net/ipv4/conf/tsb-9/route_localnet', value: '1' })
      })
    })

    describe('tunnels', () => {
      it('are made as ports of a bridge, one for each family', async () => {
        await add(bridge, tunnel, tunnel6)
        await assertPresent(tunnel, tunnel6)
      })

      it('change their source address and settings in place', async () => {
        await add(bridge, tunnel, far)
        const changed = {
          ...tunnel,
          local: '10.9.0.2',
          flood: true,
          locked: false,
          mtu: 1300,
          inheritDf: false,
        }
        assert.deepEqual(await apply(step('set', changed, tunnel)), ['ok'])
        await assertPresent(changed, far)
      })

      it('lose what hangs on them when they are replaced', async () => {
        await add(bridge, tunnel, far, near)
        assert.deepEqual(await apply(step('replace', { ...tunnel, vni: 4712 }, tunnel)), ['ok'])
        await assertPresent({ ...tunnel, vni: 4712 }, near)
        await assertAbsent(far)
      })

      it('know MACs, everybody and neighbours, read by key and as a whole', async () => {
        const all = [far, far6, everybody('10.9.0.7'), everybody('10.9.0.8'), near, near6]
        await add(bridge, tunnel, tunnel6, ...all)
        await assertPresent(...all)
        const shown = (await owned()).filter(each => /^(fdb|neighbour)/.test(each))
        assert.deepEqual(shown, all.map(line).sort())
        const gone = all.map(row => step('delete', row))
        assert.deepEqual(
          await apply(...gone),
          all.map(() => 'ok'),
        )
        await assertAbsent(...all)
        assert.deepEqual(
          await apply(...gone),
          all.map(() => 'ok'),
        )
      })

      it('tell one destination of everybody from another', async () => {
        await add(bridge, tunnel, everybody('10.9.0.7'), everybody('10.9.0.8'))
        assert.deepEqual(await apply(step('delete', everybody('10.9.0.7'))), ['ok'])
        await assertAbsent(everybody('10.9.0.7'))
        await assertPresent(everybody('10.9.0.8'))
      })

      it('move a MAC and an address, and are content when they are there already', async () => {
        const moved = { ...far, to: '10.9.0.8' } as Row
        const other = { ...near, mac: '02:42:0a:4d:00:09' } as Row
        await add(bridge, tunnel, far, near)
        assert.deepEqual(await look(moved), [far])
        assert.deepEqual(await apply(step('set', moved, far), step('set', other, near)), ['ok', 'ok'])
        await assertPresent(moved, other)
        await add(moved, other)
      })

      it('read many as they read few', async () => {
        const many = Array.from({ length: 200 }, (_, i): Row[] => [
          {
            kind: 'fdb',
            link: 'tsx-1',
            mac: `02:42:00:00:01:${(i + 16).toString(16)}`.slice(0, 17),
            to: '10.9.0.7',
          },
          { kind: 'neighbour', link: 'tsb-1', address: `10.77.1.${i}`, mac: '02:42:00:00:00:01' },
        ]).flat()
        await add(bridge, tunnel, far, near, ...many)
        assert.deepEqual((await look(...many)).map(line).sort(), many.map(line).sort())
        assert.equal((await owned()).filter(each => /^(fdb|neighbour)/.test(each)).length, many.length + 2)
      })

      it('names the errno', async () => {
        await add(bridge, tunnel)
        assert.deepEqual(
          await apply(
            ...adds(
              { ...far, link: 'tsx-9' } as Row,
              { ...far, to: '10.9.0.300' } as Row,
              { ...far, mac: '02:42' } as Row,
              { ...near, link: 'tsb-9' } as Row,
              { ...near, address: 'nowhere' } as Row,
              far,
              near,
            ),
          ),
          ['ENODEV', 'EINVAL', 'EINVAL', 'ENODEV', 'EINVAL', 'ok', 'ok'],
        )
      })

      it('are told by port and VNI in the filter', async () => {
        const rule: ChainRow = {
          kind: 'chain',
          name: 'underlay',
          hook: 'type filter hook input priority filter - 5',
          rules: ['udp dport . @th,96,24 @vnis drop'],
        }
        await add(vnis, rule, element('vnis', ['4789', '16777215']), element('vnis', ['4790', '1']))
        await assertPresent(vnis, rule, element('vnis', ['4789', '16777215']), element('vnis', ['4790', '1']))
      })
    })

    describe('routes', () => {
      const route: Row = { kind: 'route', to: '10.9.0.0/24', link: 'tsb-1', via: '10.77.0.9' }
      const six: Row = { kind: 'route', to: 'fd09::/64', link: 'tsb-1', via: 'fd00:77::9' }

      it('are read by key and as a whole, moved and deleted', async () => {
        await add(bridge, gateway, gateway6, route, six)
        await assertPresent(route, six)
        assert.deepEqual(
          (await owned()).filter(each => each.startsWith('route')),
          [route, six].map(line).sort(),
        )
        const moved = { ...route, via: '10.77.0.8', src: '10.77.0.1' } as Row
        assert.deepEqual(await apply(step('set', moved, route)), ['ok'])
        await assertPresent(moved)
        assert.deepEqual(await apply(step('delete', moved), step('delete', six), step('delete', six)), [
          'ok',
          'ok',
          'ok',
        ])
        await assertAbsent(route, six)
      })

      it('name the errno, and go with their link', async () => {
        assert.deepEqual(await apply(step('add', route)), ['ENODEV'])
        await add(bridge, gateway, route)
        await apply(step('delete', bridge))
        await assertAbsent(route)
      })
    })

    describe('links inside of a container', () => {
      const mac = '02:42:0a:4d:00:02'
      const inside = async (): Promise<LinkRow> => ({
        ...port,
        peer: {
          ...{ name: 'eth0', mac, mtu: 1400 },
          inside: {
            namespace: await bed.container(),
            addresses: ['10.77.0.2/24', 'fd00:77::2/64'],
            routes: [
              { to: '0.0.0.0/0', via: '10.77.0.1' },
              { to: '::/0', via: 'fd00:77::1' },
              { to: '192.0.2.0/24' },
            ],
          },
        },
      })

      it('are born with all they need', async () => {
        const row = await inside()
        await add(bridge, row)
        const { namespace = '', addresses = [], routes = [] } = row.peer?.inside ?? {}
        const found = await kernel.look(namespace, 'eth0')
        assert.deepEqual(
          { ...found, routes: found?.routes.map(each => JSON.stringify(each)).sort() },
          {
            ...{ mac, mtu: 1400, up: true, addresses },
            routes: routes.map(each => JSON.stringify(each)).sort(),
          },
        )
        assert.equal(await kernel.look(namespace, 'eth1'), undefined)
      })

      it('refuse a name that is taken, and a namespace that is none', async () => {
        const row = await inside()
        await add(bridge, row)
        assert.deepEqual(await apply(step('add', { ...row, name: 'tsv-2' })), ['EEXIST'])
      })

      it('go out of sight at once, and only those of the MAC', async () => {
        const row = await inside()
        await add(bridge, row)
        const { namespace = '' } = row.peer?.inside ?? {}
        await kernel.retire(namespace, 'eth0', '02:00:00:00:00:01')
        assert.ok(await kernel.look(namespace, 'eth0'))
        await kernel.retire(namespace, 'eth0', mac)
        assert.equal(await kernel.look(namespace, 'eth0'), undefined)
        await kernel.retire(namespace, 'eth0', mac)
        await kernel.retire('/run/netns/not-there', 'eth0', mac)
        assert.equal(await kernel.look('/run/netns/not-there', 'eth0'), undefined)
      })
    })

    describe('chains and sets', () => {
      it('makes all at once, whatever the order', async () => {
        await add(forward, open, ingress, subnets, masq, ports, bridges)
        await assertPresent(...ground)
      })

      it('shows rules and hook of another text as differing, and corrects them', async () => {
        await add(...ground)
        for (const row of [
          { ...open, rules: ['drop'] },
          { ...forward, rules: [...forward.rules, 'drop'] },
          { ...forward, hook: 'type filter hook forward priority filter - 6' },
        ]) {
          const [found] = await look(row)
          assert.notDeepEqual(found, row)
          assert.deepEqual(await apply(step('set', row, found ?? row)), ['ok'])
          await assertPresent(row)
        }
      })

      it('keeps elements when rules change', async () => {
        await add(...ground, element('bridges', ['tsb-1']), element('ingress', ['tsb-1'], ['jump open']))
        assert.deepEqual(await apply(step('set', { ...open, rules: ['accept'] }, open)), ['ok'])
        await assertPresent(element('bridges', ['tsb-1']), element('ingress', ['tsb-1'], ['jump open']))
      })

      it('replaces a set under the rules that use it, and empties it', async () => {
        await add(...ground, element('bridges', ['tsb-1']), element('masq4', ['10.77.0.0/24']))
        const wider: SetRow = { ...masq, value: ['ipv4_addr'] }
        const same: SetRow = { ...bridges, interval: false }
        assert.deepEqual(await apply(step('replace', same, bridges), step('replace', wider, masq)), [
          'ok',
          'ok',
        ])
        await assertPresent(...ground.filter(row => row !== masq), wider)
        await assertAbsent(element('bridges', ['tsb-1']), element('masq4', ['10.77.0.0/24']))
      })

      it('deletes what nothing uses', async () => {
        await add(...ground, element('bridges', ['tsb-1']))
        assert.deepEqual(await apply(step('delete', bridges)), ['EBUSY'])
        assert.deepEqual(await apply(step('delete', open)), ['EBUSY'])
        const gone = ground.map(row => step('delete', row))
        assert.deepEqual(
          await apply(...gone),
          gone.map(() => 'ok'),
        )
        await assertAbsent(...ground, element('bridges', ['tsb-1']))
        assert.deepEqual(
          await apply(...gone),
          gone.map(() => 'ok'),
        )
      })

      it('deletes a chain together with the verdict that leads to it', async () => {
        const away: ChainRow = { kind: 'chain', name: 'away', rules: ['drop'] }
        const verdict = element('ingress', ['tsb-1'], ['jump away'])
        await add(...ground, away, verdict)
        assert.deepEqual(await apply(step('delete', away)), ['EBUSY'])
        assert.deepEqual(await apply(step('delete', away), step('delete', verdict)), ['ok', 'ok'])
        await assertAbsent(away, verdict)
      })

      it('names the errno, and makes the others', async () => {
        const lonely: ChainRow = { kind: 'chain', name: 'lonely', rules: ['iifname @nobody accept'] }
        assert.deepEqual(await apply(...adds(lonely, bridges, open)), ['ENOENT', 'ok', 'ok'])
        await assertPresent(bridges, open)
        await assertAbsent(lonely)
        assert.deepEqual(await apply(...adds(bridges, open)), ['EEXIST', 'EEXIST'])
      })

      it('notices a flush, and mends it', async () => {
        await add(...ground, element('bridges', ['tsb-1']))
        await bed.flush()
        await assertAbsent(...ground, element('bridges', ['tsb-1']))
        assert.deepEqual(await owned(), [])
        await add(...ground, element('bridges', ['tsb-1']))
        await assertPresent(...ground, element('bridges', ['tsb-1']))
      })
    })

    describe('elements', () => {
      const all = [
        element('bridges', ['tsb-1']),
        element('bridges', ['tsb-2']),
        element('ports4', ['10.1.1.1', 'tcp', '80'], ['10.77.0.2', '8080']),
        element('ports4', ['10.1.1.1', 'udp', '80'], ['10.77.0.2', '8080']),
        element('masq4', ['10.77.0.0/24']),
        element('masq4', ['10.77.1.0/24']),
        element('masq4', ['192.168.0.7']),
        element('subnets6', ['fd00:77::/64', 'tsb-1']),
        element('ingress', ['tsb-1'], ['jump open']),
        element('ingress', ['tsb-2'], ['drop']),
      ]

      it('are added, read by key and as a whole, and deleted', async () => {
        await add(...ground, ...all)
        await assertPresent(...all)
        const shown = (await owned()).filter(each => each.startsWith('element'))
        assert.deepEqual(shown, all.map(line).sort())
        assert.deepEqual(
          await apply(...all.map(row => step('delete', row))),
          all.map(() => 'ok'),
        )
        await assertAbsent(...all)
        assert.deepEqual(
          await apply(...all.map(row => step('delete', row))),
          all.map(() => 'ok'),
        )
      })

      it('deletes one of two neighbouring intervals', async () => {
        await add(...ground, ...all)
        assert.deepEqual(await apply(step('delete', element('masq4', ['10.77.0.0/24']))), ['ok'])
        await assertAbsent(element('masq4', ['10.77.0.0/24']))
        await assertPresent(element('masq4', ['10.77.1.0/24']), element('masq4', ['192.168.0.7']))
      })

      it('shows and changes a value', async () => {
        await add(...ground, ...all)
        const moved = element('ports4', ['10.1.1.1', 'tcp', '80'], ['10.77.0.3', '8080'])
        const closed = element('ingress', ['tsb-1'], ['drop'])
        assert.notDeepEqual(await look(moved), [moved])
        assert.deepEqual(await apply(step('set', moved, all[2]), step('set', closed, all[8])), ['ok', 'ok'])
        await assertPresent(moved, closed)
      })

      it('moves from one key to another in one go', async () => {
        await add(...ground, ...all)
        const moved = element('ports4', ['10.1.1.2', 'tcp', '80'], ['10.77.0.2', '8080'])
        assert.deepEqual(await apply(...adds(moved), step('delete', all[2] as Row)), ['ok', 'ok'])
        await assertPresent(moved)
        await assertAbsent(all[2] as Row)
      })

      it('names the errno of the guilty ones, and adds the others', async () => {
        await add(...ground, ...all)
        const outcomes = await apply(
          ...adds(
            element('bridges', ['tsb-1']),
            element('nowhere', ['tsb-1']),
            element('bridges', ['tsb-3']),
            element('ports4', ['10.1.1.1', 'tcp', '80'], ['10.77.0.9', '80']),
            element('ports4', ['10.1.1.1', 'tcp'], ['10.77.0.9', '80']),
            element('ports4', ['10.1.1.1', 'tcp', '81']),
            element('ingress', ['tsb-4'], ['jump nowhere']),
            element('bridges', ['tsb-4']),
          ),
        )
        assert.deepEqual(outcomes, ['EEXIST', 'ENOENT', 'ok', 'EEXIST', 'EINVAL', 'EINVAL', 'ENOENT', 'ok'])
        await assertPresent(element('bridges', ['tsb-3']), element('bridges', ['tsb-4']), all[2] as Row)
      })
    })

    describe('ports', () => {
      const web: PortRow = { kind: 'port', proto: 'tcp', address: '127.0.0.1', port: 8080 }

      it('are held until they are deleted', async () => {
        const rows: PortRow[] = [
          web,
          { ...web, proto: 'udp' },
          { ...web, proto: 'sctp' },
          { ...web, address: '::1' },
          { ...web, address: '0.0.0.0', port: 8081 },
          { ...web, address: '::', port: 8081 },
        ]
        await add(...rows)
        await assertPresent(...rows)
        assert.deepEqual(await apply(...adds(web)), ['EADDRINUSE'])
        assert.deepEqual(await apply(step('delete', web), ...adds(web)), ['ok', 'ok'])
      })

      it('clash with those of somebody else and with the wildcard', async () => {
        const second = await bed.open()
        await second.apply(adds(web))
        assert.deepEqual(await apply(...adds(web, { ...web, address: '0.0.0.0' })), [
          'EADDRINUSE',
          'EADDRINUSE',
        ])
        await assertAbsent(web)
        await second.close()
        await add(web)
      })
    })

    describe('shortcuts', () => {
      beforeEach(async function () {
        if (!(await kernel.facts()).shortcut) this.skip()
        await add(bridge, port)
      })

      it('are there for who asks, for the next daemon and among what is owned', async () => {
        await assertAbsent(shortcut)
        await add(shortcut)
        await assertPresent(shortcut)
        await kernel.close()
        kernel = await bed.open()
        await assertPresent(shortcut)
        assert.ok((await owned()).includes(line(shortcut)))
      })

      it('lead to another MAC', async () => {
        const other = { ...shortcut, mac: '02:42:0a:4d:00:03' }
        await add(shortcut)
        assert.deepEqual(await apply(step('set', other, shortcut)), ['ok'])
        await assertPresent(other)
        assert.equal((await owned()).filter(each => each.startsWith('shortcut')).length, 1)
      })

      it('are taken away alone and with their link, twice', async () => {
        await add(shortcut)
        assert.deepEqual(await apply(step('delete', shortcut), step('delete', shortcut)), ['ok', 'ok'])
        await assertAbsent(shortcut)
        await assertPresent(port)
        await add(shortcut)
        assert.deepEqual(await apply(step('delete', shortcut), step('delete', port)), ['ok', 'ok'])
        await assertAbsent(shortcut, port)
      })

      it('go with a link that dies', async () => {
        await add(shortcut)
        await bed.lose('tsv-1')
        await assertAbsent(shortcut)
        assert.ok(!(await owned()).some(each => each.startsWith('shortcut')))
      })

      it('fail no step: frames take the bridge', async () => {
        assert.deepEqual(await apply(...adds({ ...shortcut, link: 'tsv-9' })), ['ok'])
        await assertAbsent({ ...shortcut, link: 'tsv-9' })
      })
    })

    it('accepts our bridges in every backend that is there', async () => {
      await bed.firewalls()
      const { accept } = await kernel.facts()
      assert.equal(accept.length, 4)
      await assertAbsent(...accept)
      await add(...accept)
      await assertPresent(...accept)
      assert.deepEqual(
        (await owned()).filter(each => each.startsWith('accept')),
        accept.map(line).sort(),
      )
      assert.deepEqual(
        await apply(...(accept as AcceptRow[]).map(row => step('delete', row))),
        accept.map(() => 'ok'),
      )
      await assertAbsent(...accept)
    })

    it('goes on after a step that fails', async () => {
      const bad = { ...gateway, link: 'tsb-9' } as Row
      assert.deepEqual(await apply(...adds(...ground, bad, bridge, gateway, element('bridges', ['tsb-1']))), [
        ...ground.map(() => 'ok'),
        'ENODEV',
        'ok',
        'ok',
        'ok',
      ])
      await assertPresent(bridge, gateway, element('bridges', ['tsb-1']))
    })

    it('reads the same after the same plan was applied twice', async () => {
      const plan = adds(...ground, bridge, port, gateway, gateway6, localnet, element('bridges', ['tsb-1']))
      await kernel.apply(plan)
      const once = await owned()
      await kernel.apply(plan)
      assert.deepEqual(await owned(), once)
    })

    it('says each row once', async () => {
      await add(...ground, bridge, port, gateway, element('masq4', ['10.77.0.0/24']))
      const rows = await lines({ owned: true, rows: [...ground, bridge, port, gateway] })
      assert.equal(new Set(rows).size, rows.length)
      assert.equal(rows.length, ground.length + 4)
    })
  })
}
