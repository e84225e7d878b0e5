import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import * as z from 'zod'

/** How the API server is reached, and by whom. */
export type Access = {
  host: string
  port: string
  /** PEM of the authority that vouches for it. */
  authority: string
  /** Kubernetes puts new ones into the file while a pod runs. */
  token(): Promise<string>
}

/** Where Kubernetes puts a pod's service account. */
const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'

/** The way from inside a pod. @throws Error when this isn't one that has a service account. */
export function fromPod(env: NodeJS.ProcessEnv, account = ACCOUNT): Access {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = env
  if (!host) throw new Error('KUBERNETES_SERVICE_HOST is not set: only in a pod the API server is known')
  const token = async () => (await readFile(join(account, 'token'), 'utf8')).trim()
  return { host, port, authority: readFileSync(join(account, 'ca.crt'), 'utf8'), token }
}

const event = z.object({
  type: z.string(),
  object: z.object({
    spec: z.object({ podCIDR: z.string().optional(), podCIDRs: z.array(z.string()).optional() }).optional(),
    message: z.string().optional(),
  }),
})

const status = z.object({ message: z.string() })

/**
 * Follows a Node: what is, then each change, until the API server or `signal` ends it.
 * @param heard gets the node's `podCIDRs`; none when it has none, or when there is no such Node
 * @throws Error with the reason why it wasn't to be had
 */
export async function watchNode(
  access: Access,
  node: string,
  heard: (podCidrs: string[]) => void,
  signal: AbortSignal,
): Promise<void> {
  const query = new URLSearchParams({
    watch: 'true',
    fieldSelector: `metadata.name=${node}`,
    timeoutSeconds: String(WATCH / 1000),
  })
  const answer = await ask(access, `/api/v1/nodes?${query}`, signal)
  for await (const line of lines(answer)) {
    const { type, object } = event.parse(JSON.parse(line))
    if (type === 'ERROR') throw new Error(object.message ?? 'the API server ended the watch')
    const { podCIDR, podCIDRs = podCIDR ? [podCIDR] : [] } = object.spec ?? {}
    heard(type === 'DELETED' ? [] : podCIDRs)
  }
}

async function* lines(answer: IncomingMessage): AsyncGenerator<string> {
  let rest = ''
  for await (const chunk of answer.setEncoding('utf8')) {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop() ?? ''
    yield* parts
  }
}

/** Milliseconds that the API server has for a first answer. */
const PATIENCE = 10_000
/** Milliseconds after which it ends a watch; one that lasts longer is one whose server is gone. */
const WATCH = 300_000

/** @returns an answer that is to be read */
async function ask(access: Access, path: string, signal: AbortSignal): Promise<IncomingMessage> {
  const { host, port, authority } = access
  const headers = { authorization: `Bearer ${await access.token()}`, accept: 'application/json' }
  const call = request({ host, port, path, headers, ca: authority, signal, agent: false }).end()
  const late = new Error(`${host}:${port} gave no answer in ${PATIENCE / 1000} s`)
  const timer = setTimeout(() => call.destroy(late), PATIENCE).unref()
  call.setTimeout(WATCH + PATIENCE, () => call.destroy(late))
  const [answer] = (await once(call, 'response')) as [IncomingMessage]
  clearTimeout(timer)
  if (answer.statusCode === 200) return answer
  throw new Error(`the API server says ${answer.statusCode}: ${await reasonIn(answer)}`)
}

/** Kubernetes tells in words who may not do what. */
async function reasonIn(answer: IncomingMessage): Promise<string> {
  const body = await text(answer)
  try {
    return status.parse(JSON.parse(body)).message
  } catch {
    return answer.statusMessage ?? ''
  }
}
