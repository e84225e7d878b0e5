import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fromPod, watchNode } from '../../bin/kubernetes/api.ts'
import { ownFolder } from '../bed/namespace.ts'
import { run } from '../bed/run.ts'

type Handler = (request: IncomingMessage, answer: ServerResponse) => void

describe('the API server, as a pod sees it', () => {
  const folder = ownFolder('apiserver')
  const path = (name: string) => join(folder, name)
  let server: Server
  let handler: Handler
  const asked: IncomingMessage[] = []

  before(async () => {
    mkdirSync(folder, { recursive: true })
    const names = ['-subj', '/CN=api', '-addext', 'subjectAltName=IP:127.0.0.1']
    const files = ['-keyout', path('key'), '-out', path('ca.crt')]
    await run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...names, ...files])
    writeFileSync(path('token'), 'secret\n')
    server = createServer({ key: readFileSync(path('key')), cert: readFileSync(path('ca.crt')) })
    server.on('request', (request, answer) => {
      asked.push(request)
      handler(request, answer)
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
  })
  after(() => {
    server.closeAllConnections()
    server.close()
    rmSync(folder, { recursive: true })
  })

  const env = () => ({
    KUBERNETES_SERVICE_HOST: '127.0.0.1',
    KUBERNETES_SERVICE_PORT: String((server.address() as AddressInfo).port),
  })
  const watch = (heard: (podCidrs: string[]) => void, signal = new AbortController().signal) =>
    watchNode(fromPod(env(), folder), 'b', heard, signal)
  const event = (type: string, object: object) => `${JSON.stringify({ type, object })}\n`

  it('tells of one Node, what it is and what it becomes, until it ends the watch', async () => {
    handler = (_, answer) => {
      answer.write(event('ADDED', { spec: {} }))
      const late = event('MODIFIED', {
        spec: { podCIDR: '10.93.1.0/24', podCIDRs: ['10.93.1.0/24', 'fd00::/64'] },
      })
      answer.write(late.slice(0, 20))
      answer.write(late.slice(20))
      answer.write(event('MODIFIED', { spec: { podCIDR: '10.93.1.0/24' } }))
      answer.end(event('DELETED', { spec: { podCIDR: '10.93.1.0/24' } }))
    }
    const heard: string[][] = []
    await watch(podCidrs => heard.push(podCidrs))
    assert.deepEqual(heard, [[], ['10.93.1.0/24', 'fd00::/64'], ['10.93.1.0/24'], []])
    const [request] = asked
    assert.equal(request?.url, '/api/v1/nodes?watch=true&fieldSelector=metadata.name%3Db&timeoutSeconds=300')
    assert.equal(request?.headers.authorization, 'Bearer secret')
  })

  it('who says no, breaks off, or is somebody else, is told by name', async () => {
    const nothing = () => assert.fail('nothing was said')
    const message = 'User "x" cannot watch resource "nodes"'
    handler = (_, answer) => answer.writeHead(403).end(JSON.stringify({ message }))
    await assert.rejects(watch(nothing), new Error(`the API server says 403: ${message}`))
    handler = (_, answer) => answer.writeHead(502).end('<html>')
    await assert.rejects(watch(nothing), new Error('the API server says 502: Bad Gateway'))
    handler = (_, answer) => answer.end(event('ERROR', { message: 'too old resource version' }))
    await assert.rejects(watch(nothing), /too old resource version/)
    handler = (_, answer) => {
      answer.write(event('ADDED', {}))
      setImmediate(() => answer.destroy())
    }
    await assert.rejects(watch(() => undefined))
    const stranger = {
      ...fromPod(env(), folder),
      authority: readFileSync('/etc/ssl/certs/ca-certificates.crt', 'utf8'),
    }
    await assert.rejects(
      watchNode(stranger, 'b', nothing, new AbortController().signal),
      /self-signed certificate/,
    )
    assert.throws(() => fromPod({}, folder), /KUBERNETES_SERVICE_HOST is not set/)
    assert.throws(() => fromPod(env(), join(folder, 'nowhere')), /ENOENT/)
  })

  it('is left alone once nobody wants to know', async () => {
    handler = (_, answer) => void answer.write(event('ADDED', {}))
    const end = new AbortController()
    await assert.rejects(
      watch(() => end.abort(), end.signal),
      /abort/,
    )
  })
})
