import assert from 'node:assert/strict'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { type Answer, decode, encode } from 'dns-packet'
import { lookUp } from '../../bin/services/lookup.ts'

/** Docker's name server, as far as it is asked here. */
describe('what Docker’s name server tells a container', () => {
  const names: Record<string, string[]> = {
    'tasks.web.shop': ['10.91.0.3', '10.91.0.4'],
    'tasks.crowd.shop': Array.from({ length: 2_000 }, (_, i) => `10.92.${i >> 8}.${i & 255}`),
  }
  let server: Socket
  let silent = false
  let asked = 0

  before(async () => {
    server = createSocket('udp4', (bytes, { port }) => {
      asked++
      const { id = 0, questions = [], additionals = [] } = decode(bytes)
      const [{ name } = { name: '' }] = questions
      const answers = names[name]?.map((data): Answer => ({ type: 'A', name, ttl: 600, data })) ?? []
      const whole = encode({ type: 'response', id, flags: answers.length > 0 ? 0 : 3, questions, answers })
      const [option] = additionals
      const most = option?.type === 'OPT' ? option.udpPayloadSize : 512
      const fits = whole.length <= most ? whole : encode({ type: 'response', id, questions, answers: [] })
      if (!silent) server.send(fits, port)
    })
    server.bind(0, '127.0.0.1')
    await once(server, 'listening')
  })
  after(() => void server.close())

  const here = ''
  const gone = '/run/netns/ts-nobody'
  const ask = (name: string, ...sandboxes: string[]) =>
    lookUp(sandboxes, name, { server: '127.0.0.1', port: server.address().port })

  it('is read, however many there are', async () => {
    assert.deepEqual(await ask('tasks.web.shop', here), names['tasks.web.shop'])
    assert.deepEqual(await ask('tasks.crowd.shop', here), names['tasks.crowd.shop'])
    assert.deepEqual(await ask('tasks.other.shop', here), [])
  })

  it('is told by the next one when a container is gone', async () => {
    assert.deepEqual(await ask('tasks.web.shop', gone, here), names['tasks.web.shop'])
    assert.equal(await ask('tasks.web.shop', gone), undefined)
  })

  it('is not waited for long, however many containers there are', async () => {
    silent = true
    const before = asked
    assert.equal(await ask('tasks.web.shop', here, here, here), undefined)
    assert.equal(asked, before + 1)
  })
})
