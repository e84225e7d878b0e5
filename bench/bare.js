// The least that an HTTP server of Node on a Unix socket can do: what tsnetd's socket and memory are compared with.
import { createServer } from 'node:http'

createServer({ keepAliveTimeout: 0, requireHostHeader: false }, (request, response) => {
  let body = ''
  request.setEncoding('utf8')
  request.on('data', part => {
    body += part
  })
  request.on('end', () => {
    if (body) JSON.parse(body)
    const text = '{"Value":{}}'
    response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': text.length })
    response.end(text)
  })
}).listen(process.argv[2])
