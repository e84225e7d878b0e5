import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { netnsPath } from '../bed/namespace.ts'
import { eventually, until } from '../bed/until.ts'
import { type Container, type Host, Lab } from './lab.ts'

const words = (text: string) => text.split(' ')
const MB = 1 << 20

/** Two hosts in subnets of their own; between their routers a link of 1400 bytes. */
const uid = process.getuid?.()
;(uid === 0 ? describe : describe.skip)('a narrow path between hosts', function () {
  this.timeout(60_000)
  let lab: Lab
  let a: Host
  let b: Host
  const programs: ChildProcess[] = []

  before(async () => {
    lab = await Lab.built()
    a = await lab.host('a', { ipv4: '10.9.1.1' })
    b = await lab.host('b', { ipv4: '10.9.2.2' })
    const [one, two] = [await lab.plug('r1', '10.9.1.254/24'), await lab.plug('r2', '10.9.2.254/24')]
    const ends = `mtu 1400 type veth peer name mid mtu 1400 netns ${two.namespace}`
    await one.run(...words(`ip link add name mid ${ends}`))
    for (const [router, number, subnet] of [
      [one, 1, '10.9.2.0/24'],
      [two, 2, '10.9.1.0/24'],
    ] as const) {
      await router.run(...words(`ip address add 10.9.3.${number}/24 dev mid`))
      await router.run(...words('ip link set mid up'))
      await router.run(...words(`ip route add ${subnet} via 10.9.3.${3 - number}`))
      await router.run(...words('sysctl -qw net.ipv4.ip_forward=1'))
    }
    await a.run(...words('ip route add default via 10.9.1.254'))
    await b.run(...words('ip route add default via 10.9.2.254'))
  })

  after(async () => {
    for (const program of programs) program.kill('SIGKILL')
    await lab?.stop()
  })

  async function pair(network: string, subnet: number, option: Record<string, string>) {
    const pool = `10.9${subnet}.0.0/16`
    const gateway = `10.9${subnet}.0.1/16`
    await lab.network({ name: network, words: option, ipv4: [{ pool, gateway, aux: {} }] })
    const to = `10.9${subnet}.1.2`
    const from = await lab.container(a, network, `f${subnet}`, { ipv4: `10.9${subnet}.0.2/16` })
    const server = await lab.container(b, network, `t${subnet}`, { ipv4: `${to}/16` })
    return { from, server, to }
  }

  /** Sends a megabyte by TCP; answers how much arrived. */
  async function transfer(from: Container, server: Container, to: string): Promise<number> {
    const enter = ['--pdeathsig=KILL', 'nsenter', `--net=${netnsPath(server.namespace)}`]
    const listen = ['socat', '-u', 'TCP-LISTEN:700,reuseaddr', 'SYSTEM:wc -c 1>&2']
    const listener = spawn('setpriv', [...enter, ...listen], { stdio: ['ignore', 'ignore', 'pipe'] })
    programs.push(listener)
    let heard = ''
    listener.stderr?.on('data', part => {
      heard += part
    })
    await until('the listener', () => server.run('ss', '-Hlt', 'sport = 700'))
    await from.run('sh', '-c', `head -c ${MB} /dev/zero | socat -u - TCP:${to}:700`)
    await until('the count', async () => /\d+\n/.test(heard))
    return Number(/(\d+)\n/.exec(heard)?.[1])
  }

  const learnt = async (from: Container, to: string) =>
    / mtu (\d+)/.exec(await from.run('ip', 'route', 'get', to))?.[1]

  // Before the host knows: what it has learnt by one network it tells those of the others, too.
  it('is found out by nobody where packets may be cut', async () => {
    const { from, server, to } = await pair('cut', 1, { path_mtu: 'fragment' })
    assert.equal(await transfer(from, server, to), MB)
    assert.equal(await learnt(from, to), undefined)
    await eventually(async () => void (await from.run(...words(`busybox ping -c 1 -W 1 -s 1400 ${to}`))))
  })

  it('is learnt by the container that sends', async () => {
    const { from, server, to } = await pair('shop', 0, {})
    assert.equal(await transfer(from, server, to), MB)
    assert.equal(await learnt(from, to), '1350')
    await eventually(async () => void (await from.run(...words(`busybox ping -c 1 -W 1 -s 1400 ${to}`))))
  })
})
