import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { inTheWay } from '../../bin/mirror/decide.ts'
import { type Host, net, World } from './world.ts'

const names = (host: Host) => [...host.engine.values()].map(each => each.net.name).sort()
const sentences = (host: Host) => [...host.reports.values()]

describe('mirror: decisions', () => {
  let world: World
  let [a, b, c]: Host[] = []
  beforeEach(() => {
    world = new World(3)
    ;[a, b, c] = world.hosts
  })
  const each = (check: (host: Host) => void) => world.hosts.forEach(check)

  it('a network that is made on one host is on all, and goes from all', () => {
    a?.create('shop', 90)
    world.settle()
    each(host => assert.deepEqual(host.births(), a?.births()))
    each(host => assert.deepEqual(names(host), ['shop']))
    c?.remove('shop')
    world.settle()
    each(host => assert.deepEqual(names(host), []))
    each(host => assert.deepEqual(sentences(host), []))
  })

  it('a removed one that containers use stays until they are gone, and is reported', () => {
    a?.create('shop', 90)
    world.settle()
    b?.use('shop', true)
    a?.remove('shop')
    world.settle()
    assert.deepEqual(world.hosts.map(names), [[], ['shop'], []])
    assert.match(
      sentences(b as Host).join(),
      /^network shop .* was removed on another host; containers still use it/,
    )
    b?.use('shop', false)
    world.settle()
    assert.deepEqual(world.hosts.map(names), [[], [], []])
    assert.deepEqual(sentences(b as Host), [])
  })

  it('a host that was away does not bring a removed one back, not even to a host that is new', () => {
    a?.create('shop', 90)
    world.settle()
    a?.remove('shop')
    a?.look()
    b?.meet(a as Host)
    b?.look()
    a?.look()
    a?.restart()
    b?.restart()
    world.settle()
    each(host => assert.deepEqual(names(host), []))
  })

  it('its name and subnet are free for another at once', () => {
    a?.create('shop', 90)
    world.settle()
    const [old] = a?.births() ?? []
    a?.remove('shop')
    assert(a?.create('shop', 90))
    world.settle()
    each(host => assert.deepEqual(names(host), ['shop']))
    each(host => assert.notDeepEqual(host.births(), [old]))
  })

  it('was removed while the daemon was away: removed for all', () => {
    a?.create('shop', 90)
    a?.create('mail', 91)
    world.settle()
    b?.restart()
    b?.remove('shop')
    world.settle()
    each(host => assert.deepEqual(names(host), ['mail']))
  })

  it('a Docker that lost its networks gets them back, and takes none from others', () => {
    a?.create('shop', 90)
    world.settle()
    a?.reset()
    world.settle()
    each(host => assert.deepEqual(names(host), ['shop']))
    assert.equal(a?.ledger.removed.size, 0)
  })

  it('of two that were made alike the older one stays', () => {
    a?.create('shop', 90)
    b?.create('shop', 90)
    const older = a?.births()
    world.settle()
    each(host => assert.deepEqual(host.births(), older))
    each(host => assert.deepEqual(sentences(host), []))
  })

  it('of two that were made alike one with containers waits, apart from the other', () => {
    a?.create('shop', 90)
    b?.create('shop', 90)
    b?.use('shop', true)
    const [older] = a?.births() ?? []
    world.settle()
    assert.notEqual(b?.births()[0], older)
    assert.equal(c?.births()[0], older)
    assert.match(
      sentences(b as Host).join(),
      /was made on another host, too, .* containers still use it here/,
    )
    b?.use('shop', false)
    world.settle()
    each(host => assert.deepEqual(host.births(), [older]))
  })

  it('two of one name that differ both stay, and are reported until one is removed', () => {
    a?.create('shop', 90)
    b?.create('shop', 91)
    const older = a?.births()
    world.settle()
    assert.notDeepEqual(b?.births(), older)
    assert.deepEqual(c?.births(), older)
    assert.match(
      sentences(b as Host).join(),
      /^network shop \(host1-\d+, 10\.91\.0\.0\/16\) has the name of another, network shop \(host0-\d+, 10\.90\.0\.0\/16\); both stay/,
    )
    b?.remove('shop')
    world.settle()
    each(host => assert.deepEqual(host.births(), older))
    each(host => assert.deepEqual(sentences(host), []))
  })

  it('two with one subnet: each host has the one that it had, a third has the older one', () => {
    a?.create('shop', 90)
    b?.create('mail', 90)
    world.settle()
    assert.deepEqual(world.hosts.map(names), [['shop'], ['mail'], ['shop']])
    assert.match(
      sentences(b as Host).join(),
      /^network shop .* can't be here: it has the subnet 10\.90\.0\.0\/16, and so has network mail/,
    )
  })

  it('what would be in the way of one that is known is refused, naming subnet or VNI', () => {
    a?.create('shop', 90)
    a?.look()
    const known = (more: object) => {
      const others = new Map([['a', new Map([['birth', { net: net('shop', 90, 5, more) }]])]])
      const ledger = { docker: '', bound: new Map(), removed: new Set<string>() }
      return { others, ledger }
    }
    assert.match(
      inTheWay(net('', 90), known({})) ?? '',
      /^the network has the subnet 10\.90\.0\.0\/16, and so has network shop/,
    )
    assert.match(
      inTheWay(net('', 91), known({ vni: 0x800000 })) ?? '',
      /^the network has the VNI 8388608, and so has network shop/,
    )
    assert.equal(inTheWay(net('', 91), known({})), undefined)
    b?.meet(a as Host)
    assert.equal(b?.create('mail', 90), false)
  })
})

type Act = { at: number; do: string; name: string; other: number; variant: number }

function act(world: World, { at, do: what, name, other, variant }: Act): void {
  const host = world.host(at)
  const subnet = 10 * (name.charCodeAt(0) - 96) + variant
  if (what === 'create') host.create(name, subnet)
  else if (what === 'remove') host.remove(name)
  else if (what === 'use') host.use(name, true)
  else if (what === 'leave') host.use(name, false)
  else if (what === 'restart') host.restart()
  else if (what === 'reset') host.reset()
  else if (what === 'look') host.look()
  else if (world.host(other) !== host) host.meet(world.host(other))
}

const usual = [
  'create',
  'create',
  'remove',
  'use',
  'leave',
  'restart',
  'look',
  'look',
  'look',
  'meet',
  'meet',
  'meet',
]

/** Hosts that don't meet are in different parts of the cluster. */
const acts = (variants: number, also: string[] = []) =>
  fc.array(
    fc.record({
      at: fc.nat(3),
      do: fc.constantFrom(...usual, ...also),
      name: fc.constantFrom('a', 'b'),
      other: fc.nat(3),
      variant: fc.nat(variants - 1),
    }),
    { maxLength: 80 },
  )

function lived(all: Act[]): World {
  const world = new World(4)
  for (const each of all) act(world, each)
  for (const host of world.hosts) for (const name of ['a', 'b']) host.use(name, false)
  world.settle()
  return world
}

function removedOnesAreGone({ hosts, removed }: World): void {
  for (const host of hosts) for (const birth of host.births()) assert(!removed.has(birth), `${birth} is back`)
}

describe('mirror: any order of events, partitions and restarts', () => {
  const check = (variants: number, also: string[], property: (world: World) => void) =>
    fc.assert(
      fc.property(acts(variants, also), all => property(lived(all))),
      { numRuns: 1000 },
    )

  it('ends with the same networks everywhere and nothing to report', () => {
    check(1, [], world => {
      removedOnesAreGone(world)
      for (const host of world.hosts) assert.deepEqual(host.births(), world.host(0).births())
      for (const host of world.hosts) assert.deepEqual(sentences(host), [])
      const removed = new Set([...world.removed].map(birth => world.born.get(birth)?.name))
      const kept = [...world.born.values()].map(each => each.name).filter(name => !removed.has(name))
      for (const name of kept) assert(names(world.host(0)).includes(name), `${name} is lost`)
    })
  })

  it('takes from nobody what differs, and reports it', () => {
    check(2, [], world => {
      removedOnesAreGone(world)
      const all = world.hosts.map(host => host.births().join())
      if (new Set(all).size > 1) assert(world.hosts.some(host => host.reports.size > 0))
      for (const host of world.hosts)
        for (const birth of host.ledger.removed)
          if (!world.removed.has(birth)) {
            const { name, ipam } = world.born.get(birth) as ReturnType<typeof net>
            const alike = [...world.born].filter(
              ([other, each]) =>
                other !== birth &&
                each.name === name &&
                each.ipam.subnets[0]?.subnet === ipam.subnets[0]?.subnet,
            )
            assert(alike.length > 0, `${birth} was removed by nobody`)
          }
    })
  })

  it('survives Dockers that lose their networks', () => {
    check(1, ['reset'], world => {
      for (const host of world.hosts) assert.deepEqual(host.births(), world.host(0).births())
    })
  })
})
