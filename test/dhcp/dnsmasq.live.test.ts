import assert from 'node:assert/strict'
import { Frames } from '@tsnet/netlink'
import { Agent, type Client, filter, type Happening } from '../../dhcp/index.ts'
import { addNamespace, deleteNamespace, inNamespace, netnsPath, ownName } from '../bed/namespace.ts'
import { eventually, until } from '../bed/until.ts'
import { obstacle } from '../kernel/bed.ts'
import { forgetServers, type Server, startServer } from './server.ts'

const reason = obstacle()
const web: Client = { mac: '02:42:0a:4d:00:07', hostname: 'web' }
const [host, lan] = [ownName('dhcp-host'), ownName('dhcp-lan')]

;(reason ? describe.skip : describe)(`DHCP client and dnsmasq${reason ? `: ${reason}` : ''}`, () => {
  let server: Server | undefined
  let agent: Agent
  let happened: Happening[]
  /** Milliseconds that the client's clock has jumped. */
  let ahead = 0

  before(async () => {
    await addNamespace(host)
    await addNamespace(lan)
    await inNamespace(host, 'ip', 'link', 'add', 'par', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', lan)
    await inNamespace(host, 'ip', 'link', 'set', 'par', 'up')
    await inNamespace(lan, 'ip', 'link', 'set', 'eth0', 'up')
    await inNamespace(lan, 'ip', 'address', 'add', '10.77.0.1/24', 'dev', 'eth0')
  })
  after(async () => {
    await deleteNamespace(host)
    await deleteNamespace(lan)
  })
  beforeEach(() => {
    agent = newAgent()
  })
  afterEach(async () => {
    agent.close()
    await server?.stop()
    server = undefined
    forgetServers()
  })

  function newAgent(): Agent {
    happened = []
    ahead = 0
    return new Agent({
      open: (_, hear) =>
        new Frames({ index: index(), protocol: 3, filter, namespace: netnsPath(host) }, hear),
      happened: (_link, _client, happening) => happened.push(happening),
      now: () => Date.now() + ahead,
      random: Math.random,
      patience: 3000,
      glance: 50,
    })
  }

  let known: number | undefined
  before(async () => {
    const shown = await inNamespace(host, 'ip', '-o', 'link', 'show', 'par')
    known = Number(shown.split(':')[0])
  })
  const index = () => known as number

  const serve = async (range: string, ...options: string[]) => {
    server = await startServer({ namespace: lan, link: 'eth0', range, options })
    return server
  }

  it('is granted an address with router and times, under its MAC and name', async () => {
    const { leases, log } = await serve('10.77.0.50,10.77.0.59')
    const lease = await agent.acquire('par', web)
    assert.match(lease.address, /^10\.77\.0\.5\d$/)
    assert.deepEqual([lease.length, lease.router, lease.server], [24, '10.77.0.1', '10.77.0.1'])
    assert.deepEqual(leases(), { [web.mac]: lease.address })
    await eventually(() => assert.match(log(), /DHCPACK\(eth0\) 10\.77\.0\.5\d 02:42:0a:4d:00:07 web/))
    assert.deepEqual(await agent.acquire('par', web), lease, 'asked for twice')
  })

  it('has the address that is kept for its MAC, or the one that it wants', async () => {
    await serve('10.77.0.50,10.77.0.59', `--dhcp-host=${web.mac},10.77.0.77`)
    assert.equal((await agent.acquire('par', web)).address, '10.77.0.77')
    const other = { mac: '02:42:0a:4d:00:08' }
    assert.equal((await agent.acquire('par', other, '10.77.0.55')).address, '10.77.0.55')
    await assert.rejects(agent.acquire('par', { mac: '02:42:0a:4d:00:09' }, '10.77.0.55'), {
      message: /^the DHCP server on par offers 10\.77\.0\.5\d and not 10\.77\.0\.55$/,
    })
  })

  it('inquires without taking', async () => {
    const { leases } = await serve('10.77.0.50,10.77.0.59')
    assert.equal((await agent.inquire('par', '02:74:00:00:00:01')).router, '10.77.0.1')
    assert.deepEqual(leases(), {})
  })

  it('renews by a frame to the server alone, and hears the answer though it is the container’s', async () => {
    const { log } = await serve('10.77.0.50,10.77.0.59')
    const { address } = await agent.acquire('par', web)
    await inNamespace(
      host,
      ...['ip', 'link', 'add', 'name', 'web', 'link', 'par', 'address', web.mac, 'type', 'macvlan'],
    )
    await inNamespace(host, 'ip', 'address', 'add', `${address}/24`, 'dev', 'web')
    await inNamespace(host, 'ip', 'link', 'set', 'web', 'up')
    ahead = 61_000
    await until('a renewal', () => happened.some(({ type }) => type === 'renewed'))
    await inNamespace(host, 'ip', 'link', 'del', 'web')
    await eventually(() => assert.deepEqual(questions(log()), ['DISCOVER', 'REQUEST', 'REQUEST']))
  })

  it('goes on with its lease after a restart', async () => {
    const { log } = await serve('10.77.0.50,10.77.0.59')
    const lease = await agent.acquire('par', web)
    agent.close()
    agent = newAgent()
    agent.resume('par', web, lease)
    await until('the lease to be confirmed', () => happened.some(({ type }) => type === 'renewed'))
    await eventually(() => assert.deepEqual(questions(log()), ['DISCOVER', 'REQUEST', 'REQUEST']))
  })

  it('tells when a server refuses what it has, after a restart', async () => {
    await serve('10.77.0.50,10.77.0.59')
    const lease = await agent.acquire('par', web)
    agent.close()
    await server?.stop()
    forgetServers()
    await serve('10.77.0.80,10.77.0.89')
    agent = newAgent()
    agent.resume('par', web, lease)
    await until('the refusal', () => happened.some(({ type }) => type === 'lost'))
    assert.deepEqual(
      { ...happened[0], lease: undefined, words: undefined },
      {
        ...{ type: 'lost', why: 'refused' },
        ...{ lease: undefined, words: undefined },
      },
    )
  })

  it('gives back what it had', async () => {
    const { leases, log } = await serve('10.77.0.50,10.77.0.59')
    const { address } = await agent.acquire('par', web)
    agent.release('par', web, '10.77.0.9')
    assert.deepEqual(leases(), { [web.mac]: address }, 'what it has not got')
    agent.release('par', web, address)
    await until('the release', () => /DHCPRELEASE/.test(log()))
    await until('the lease to be gone', () => Object.keys(leases()).length === 0)
  })

  it('says that nobody answers', async () => {
    await assert.rejects(agent.acquire('par', web), { message: 'no DHCP server answered on par within 3 s' })
  })
})

/** What clients asked, in order. */
const questions = (log: string) =>
  [...log.matchAll(/DHCP(DISCOVER|REQUEST)/g)].map(([, question]) => question)
