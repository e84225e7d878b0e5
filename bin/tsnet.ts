import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { type Ask, parse } from '../cli/commands.ts'
import { Refused } from '../core/errors.ts'

const API = '/run/tsnet/tsnet.sock'

/** The operator's command: looks up what is asked for, asks the daemon, prints. Exit: 0 done, 1 it could not be done, 2 wrong words. */
async function main(): Promise<void> {
  const found = parse(process.argv.slice(2))
  if ('help' in found) return say(found.help)
  const { ask, api } = found
  const answer = await post(api ?? (process.env.TSNET_API || API), ask)
  say(
    ask.json
      ? JSON.stringify('items' in answer ? answer.items : answer, undefined, 2)
      : ask.print(answer as never),
  )
}

async function post(socketPath: string, { method, request: body }: Ask): Promise<object> {
  const { status, said } = await exchange(socketPath, method, JSON.stringify(body))
  const answer = JSON.parse(said) as { Err?: string }
  if (status !== 200) throw new Error(answer.Err ?? `the daemon answered ${status}`)
  return answer
}

function exchange(
  socketPath: string,
  method: string,
  body: string,
): Promise<{ status?: number; said: string }> {
  return new Promise((resolve, reject) => {
    const sent = request(
      { socketPath, path: `/${method}`, method: 'POST', headers: { host: 'tsnet' } },
      async answer => {
        const said = await text(answer)
        resolve({ ...(answer.statusCode && { status: answer.statusCode }), said })
      },
    )
    sent.on('error', error => reject(new Error(away(socketPath, error as NodeJS.ErrnoException))))
    sent.end(body)
  })
}

function away(path: string, { code, message }: NodeJS.ErrnoException): string {
  if (code === 'EACCES') return `${path} is root's: use sudo`
  if (code === 'ENOENT' || code === 'ECONNREFUSED')
    return `tsnetd doesn't run here (nobody listens at ${path}): start it with 'systemctl start tsnetd', or name its socket with --api`
  return `${path}: ${message}`
}

const say = (words: string) => void process.stdout.write(`${words}\n`)

main().catch((error: unknown) => {
  process.stderr.write(`tsnet: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = error instanceof Refused ? 2 : 1
})
