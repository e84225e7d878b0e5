import assert from 'node:assert/strict'
import { commands, help, parse } from '../../cli/commands.ts'
import * as print from '../../cli/print.ts'
import { duration, table } from '../../cli/table.ts'
import { Refused } from '../../core/errors.ts'

const asked = (...words: string[]) => {
  const found = parse(words)
  return 'ask' in found ? { ...found.ask, print: undefined, api: found.api } : found
}
const refused = (pattern: RegExp, ...words: string[]) =>
  assert.throws(
    () => parse(words),
    (error: unknown) => error instanceof Refused && pattern.test(error.message),
  )

describe('words of tsnet', () => {
  it('become one question to the daemon', () => {
    assert.partialDeepStrictEqual(asked('status', '--json'), { method: 'Operator.Status', json: true })
    assert.partialDeepStrictEqual(asked('fdb', '--api', '/run/x.sock'), { api: '/run/x.sock', json: false })
    assert.partialDeepStrictEqual(asked('forget', 'web2'), {
      method: 'Operator.Forget',
      request: { host: 'web2' },
    })
    assert.partialDeepStrictEqual(asked('keys'), { request: { verb: 'list', show: false } })
    assert.partialDeepStrictEqual(asked('keys', 'use', 'abcdefgh', '--show'), {
      request: { verb: 'use', key: 'abcdefgh', show: true },
    })
  })

  it('are refused with what is wrong and what is allowed', () => {
    refused(/"statsu" is no command; there are status, members, .*, keys/, 'statsu')
    refused(/'--jsn'; status takes --json, --api/, 'status', '--jsn')
    refused(/"now" is too much here/, 'plan', 'now')
    refused(/forget needs the name or the id of a host/, 'forget')
    refused(/keys can't "rotate": it has to be list, install, use, remove/, 'keys', 'rotate')
    refused(/keys remove needs a key/, 'keys', 'remove')
  })

  it('are explained', () => {
    for (const word of Object.keys(commands)) assert.match(help(), new RegExp(`^tsnet ${word}\\b`, 'm'))
    assert.deepEqual(parse([]), { help: help() })
    assert.deepEqual(parse(['forget', '--help']), { help: help('forget') })
    assert.match(help('keys'), /--show, with keys: whole keys/)
  })
})

describe('answers of tsnet', () => {
  it('are columns', () => {
    assert.equal(
      table(
        ['A', 'LONG'],
        [
          ['xyz', ''],
          ['', 'b'],
        ],
        'none',
      ),
      'A    LONG\nxyz\n     b',
    )
    assert.equal(table(['A'], [], 'none'), 'none')
    assert.deepEqual([0, 59, 61, 3600, 90_061].map(duration), ['0 s', '59 s', '1 min 1 s', '1 h', '1 d 1 h'])
  })

  it('tell how the daemon is', () => {
    const cluster = {
      host: 'ab12',
      bind: '192.0.2.1:7947',
      tunnel: { ends: ['192.0.2.1'], port: 4789, mtu: 1500 },
      members: { alive: 2, known: 3 },
      complete: false,
      keys: 1,
    }
    const counts = { networks: 1, endpoints: 2, pools: 1, addresses: 4 }
    const docker = { socket: '/var/run/docker.sock', version: '28.5.2' }
    assert.equal(
      print.status({
        version: '0.1.0',
        uptime: 61,
        state: '/var/lib/tsnet',
        modes: ['bridge', 'overlay'],
        docker,
        counts,
        cluster,
      }),
      `tsnetd   0.1.0, up 1 min 1 s
modes    bridge, overlay
records  /var/lib/tsnet: 1 network, 2 endpoints, 1 pool, 4 addresses
docker   28.5.2 at /var/run/docker.sock
host     ab12
gossip   192.0.2.1:7947, 1 key
tunnel   192.0.2.1, UDP port 4789, MTU 1500
members  2 of 3 alive; what the others know was not heard yet`,
    )
  })

  it('tell who differs from the table, and when nobody does', () => {
    const line = 'fdb tsx-9c 02:42:0a:5a:00:05 to 10.0.0.7'
    assert.equal(
      print.fdb([
        { network: 'shop', line, state: 'same' },
        { network: 'shop', line: 'neighbour tsb-9c 10.90.0.5 at 02:42:0a:5a:00:05', state: 'missing' },
      ]),
      `  shop  ${line}
- shop  neighbour tsb-9c 10.90.0.5 at 02:42:0a:5a:00:05
1 of 2 lines differ: - is not in the kernel, + is not in the table.`,
    )
    assert.match(print.fdb([{ network: 'shop', line, state: 'same' }]), /1 line, kernel and table agree\.$/)
    const contested = { network: 'shop', line: '10.90.0.5 is kept by web1, and claimed by web3' }
    assert.equal(
      print.fdb([
        { network: 'shop', line, state: 'same' },
        { ...contested, state: 'contested' },
      ]),
      `  shop  ${line}\n! shop  ${contested.line}\n1 line, kernel and table agree.`,
    )
    const stolen = {
      network: 'shop',
      id: 'a1b2',
      mac: '02:42:0a:5a:00:05',
      addresses: ['10.90.0.5'],
      host: 'web3',
      published: [],
      refused: [{ address: '10.90.0.5', keeper: 'web1' }],
    }
    assert.match(print.endpoints([stolen]), /10\.90\.0\.5,\(10\.90\.0\.5 is web1's\)/)
    assert.match(print.plan({ steps: [] }), /^Nothing to do/)
  })

  it('tell who has which key, and who did not answer', () => {
    const trouble = [{ host: 'web2', reason: 'did not answer' }]
    assert.equal(
      print.keys({ keys: [{ key: 'abcdefgh…', hosts: 2, primary: 1 }], hosts: 3, trouble }),
      'KEY        INSTALLED  USED\nabcdefgh…  2 of 3     1 of 3\nweb2: did not answer',
    )
  })
})
