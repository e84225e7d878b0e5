import { type FSWatcher, readFileSync, watch } from 'node:fs'
import { createServer } from 'node:https'
import { join } from 'node:path'

/**
 * What of an API server tsnetd asks, of Nodes that lie in a folder: `NAME.json` is the list of a Node's podCIDRs, and without it there is no
 * such Node. `node apiserver.ts FOLDER PORT`; the folder has `key` and `ca.crt`, too.
 */
const [folder = '', port = ''] = process.argv.slice(2)
const read = (name: string) => readFileSync(join(folder, name), 'utf8')

function podCidrs(node: string): string[] | undefined {
  try {
    return JSON.parse(read(`${node}.json`))
  } catch {
    return undefined
  }
}

const server = createServer({ key: read('key'), cert: read('ca.crt') }, ({ url = '' }, answer) => {
  const { searchParams } = new URL(url, 'https://api')
  const node = searchParams.get('fieldSelector')?.replace('metadata.name=', '') ?? ''
  let before: string | undefined
  const tell = () => {
    const found = podCidrs(node)
    const now = JSON.stringify(found)
    if (now === before) return
    const type = found ? (before === undefined ? 'ADDED' : 'MODIFIED') : 'DELETED'
    before = now
    answer.write(`${JSON.stringify({ type, object: { spec: { podCIDRs: found ?? [] } } })}\n`)
  }
  const watching: FSWatcher = watch(folder, tell)
  answer.on('close', () => watching.close())
  answer.flushHeaders()
  tell()
})
server.listen(Number(port), () => process.stdout.write('serves\n'))
