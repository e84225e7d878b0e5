// A throw-away network driver that answers at once: the least that dockerd itself takes. Its veths are made beforehand, and
// made anew between two measurements, when the bench asks for it.
import { spawnSync } from 'node:child_process'
import { createServer } from 'node:http'

const [socket, pairs] = [process.argv[2], Number(process.argv[3])]
const gateways = new Map()
let ready = []
let made = 0

/** Gets rid of what was used, all at once, and makes new pairs. */
function refill() {
  spawnSync('ip', ['link', 'delete', 'group', '77'])
  made += pairs
  ready = Array.from({ length: pairs }, (_, i) => `fl-${made + i}`)
  const input = ready.map(name => `link add ${name}h group 77 type veth peer name ${name}\n`).join('')
  spawnSync('ip', ['-batch', '-'], { input })
}

const answers = {
  '/Plugin.Activate': () => ({ Implements: ['NetworkDriver'] }),
  '/NetworkDriver.GetCapabilities': () => ({ Scope: 'local', ConnectivityScope: 'local' }),
  '/NetworkDriver.CreateNetwork': ({ NetworkID, IPv4Data }) => {
    gateways.set(NetworkID, IPv4Data[0].Gateway.split('/')[0])
  },
  '/NetworkDriver.DeleteNetwork': ({ NetworkID }) => {
    gateways.delete(NetworkID)
  },
  '/NetworkDriver.CreateEndpoint': () => ({ Interface: {} }),
  '/NetworkDriver.Join': ({ NetworkID }) => ({
    InterfaceName: { SrcName: ready.pop(), DstPrefix: 'eth' },
    Gateway: gateways.get(NetworkID),
  }),
  '/Floor.Refill': refill,
}

refill()
createServer({ keepAliveTimeout: 0, requireHostHeader: false }, (request, response) => {
  let body = ''
  request.on('data', part => {
    body += part
  })
  request.on('end', () => {
    const text = JSON.stringify(answers[request.url]?.(body ? JSON.parse(body) : {}) ?? {})
    response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': text.length })
    response.end(text)
  })
}).listen(socket)
