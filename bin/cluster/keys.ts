import { randomBytes, randomUUID } from 'node:crypto'
import * as z from 'zod'
import type { Keys as Answer } from '../../cli/answers.ts'
import { type KeyVerb, keyVerbs } from '../../cli/operator.ts'
import { Refused } from '../../core/errors.ts'
import type { Log } from '../../core/settle.ts'
import type { Keyring } from '../../gossip/index.ts'
import { Alarm } from '../alarm.ts'
import { type Ring, same } from './ring.ts'
import { readKey } from './settings.ts'
import { discloseKeys, encloseKeys } from './wire.ts'

export type KeysParts = {
  self: string
  keyring: Keyring
  /** What the configuration said when the ring was made. */
  configured: readonly Buffer[]
  /** Makes the ring durable. */
  keep: (ring: Ring) => Promise<void>
  /** Over a stream; whether it arrives the reply tells. */
  send: (host: string, message: Buffer) => void
  /** Other hosts: those that are alive and have to reply, and those that are known and can't. */
  hosts: () => { alive: string[]; away: string[] }
  nameOf: (host: string) => string
  /** Milliseconds that replies are waited for. */
  patience: number
  log: Log
}

const text = z.string().max(64)
const message = z.discriminatedUnion('type', [
  z.object({ type: z.literal('order'), id: text, from: text, verb: z.enum(keyVerbs), key: text.optional() }),
  z.object({
    type: z.literal('reply'),
    id: text,
    from: text,
    keys: z.array(text),
    trouble: z.string().optional(),
  }),
])
type Message = z.infer<typeof message>
type Order = Extract<Message, { type: 'order' }>
type Reply = Extract<Message, { type: 'reply' }>

/** Milliseconds until hosts are asked whether they have a new key, and until they are asked again: one that has just started meets them meanwhile. */
const AGAIN = 5_000

/** Characters of a key that are told when it isn't to be shown. */
const SHORT = 8

/**
 * Gossip keys on all hosts, one step after the other: every host installs the new one, then every host uses it, then every host removes the
 * old one. At each step all hosts understand each other, so nothing is lost. A step that would leave a host behind is refused.
 */
export class Keys {
  readonly #parts: KeysParts
  readonly #waiting = new Map<string, (reply: Reply) => void>()
  #configured: readonly Buffer[]
  /** Why the configured key isn't in use yet, as the log has it. */
  #behind = ''
  readonly #alarm = new Alarm(() => void this.#useConfigured())

  constructor(parts: KeysParts) {
    this.#parts = parts
    this.#configured = parts.configured
  }

  close(): void {
    this.#alarm.close()
  }

  /**
   * The configuration says these now. They are understood at once; the first one is used by all hosts as soon as each host that answers
   * understands it, so that it may be brought to one after the other.
   */
  async configure(configured: readonly Buffer[]): Promise<void> {
    if (configured.length === 0 || same(configured, this.#configured)) return
    const { keyring } = this.#parts
    for (const key of configured) keyring.install(key)
    this.#configured = configured
    await this.#keep()
    this.#alarm.set(AGAIN)
  }

  async #useConfigured(): Promise<void> {
    const { keyring, log } = this.#parts
    const [key] = this.#configured
    if (!key || keyring.primary?.equals(key)) return
    try {
      await this.order('use', key.toString('base64'), false)
      log.info({}, 'all hosts that answer use the gossip key that was configured here')
    } catch (error) {
      const { message } = error as Error
      if (message !== this.#behind)
        log.warn({}, `the gossip key that was configured here isn't used yet: ${message}`)
      this.#behind = message
      this.#alarm.set(AGAIN)
    }
  }

  #keep(): Promise<void> {
    const { keep, keyring } = this.#parts
    return keep({ configured: this.#configured, keys: keyring.list() })
  }

  /** Takes what another host sent; false when it isn't about keys. */
  heard(payload: Buffer): boolean {
    const said = discloseKeys(payload)
    if (said === undefined) return false
    const found = read(said)
    if (found?.type === 'order') void this.#obey(found)
    else if (found) this.#waiting.get(`${found.id} ${found.from}`)?.(found)
    return true
  }

  /** @throws Refused naming the hosts that would be left behind, or what is wrong with the key. */
  async order(verb: KeyVerb, given: string | undefined, show: boolean): Promise<Answer> {
    const before = await this.#ask('list')
    if (verb === 'list') return this.#answer(before, show)
    const key =
      verb === 'install' ? (given ?? randomBytes(32).toString('base64')) : whole(before, given ?? '')
    if (verb === 'install') readKey(key)
    if (verb === 'use') this.#allHave(before, key)
    if (verb === 'remove') this.#noneUses(before, key)
    const answer = this.#answer(
      await this.#ask(verb, key),
      show,
      verb === 'install' && given === undefined ? key : undefined,
    )
    return answer
  }

  #allHave(replies: Map<string, Reply | undefined>, key: string): void {
    const behind = [...replies]
      .filter(([, reply]) => !reply?.keys.includes(key))
      .map(([host]) => this.#parts.nameOf(host))
    if (behind.length > 0)
      throw new Refused(
        `this key isn't installed on ${behind.join(', ')}: install it there first, or they would be cut off`,
      )
  }

  #noneUses(replies: Map<string, Reply | undefined>, key: string): void {
    const using = [...replies]
      .filter(([, reply]) => reply?.keys[0] === key)
      .map(([host]) => this.#parts.nameOf(host))
    if (using.length > 0)
      throw new Refused(`this key is in use on ${using.join(', ')}: use another one first`)
  }

  /** Everybody's reply, undefined where none came. */
  async #ask(verb: KeyVerb, key?: string): Promise<Map<string, Reply | undefined>> {
    const { self, hosts, send, patience } = this.#parts
    const order = {
      type: 'order',
      id: randomUUID(),
      from: self,
      verb,
      ...(key !== undefined && { key }),
    } as const
    const asked = hosts().alive.map(async (host): Promise<[string, Reply | undefined]> => {
      const { promise, resolve } = Promise.withResolvers<Reply | undefined>()
      const timer = setTimeout(resolve, patience, undefined)
      this.#waiting.set(`${order.id} ${host}`, resolve)
      send(host, encloseKeys(order))
      const reply = await promise
      clearTimeout(timer)
      this.#waiting.delete(`${order.id} ${host}`)
      return [host, reply]
    })
    // The others first: this host must not send with what they don't have yet.
    const replies = await Promise.all(asked)
    return new Map([...replies, [self, await this.#carryOut(order)]])
  }

  async #obey(order: Order): Promise<void> {
    this.#parts.send(order.from, encloseKeys(await this.#carryOut(order)))
  }

  async #carryOut({ id, verb, key = '' }: Pick<Order, 'id' | 'verb' | 'key'>): Promise<Reply> {
    const { keyring, self } = this.#parts
    const reply = (trouble?: string): Reply => {
      const keys = keyring.list().map(each => each.toString('base64'))
      return { type: 'reply', id, from: self, keys, ...(trouble !== undefined && { trouble }) }
    }
    try {
      if (verb !== 'list') keyring[verb](readKey(key))
      if (verb !== 'list') await this.#keep()
      return reply()
    } catch (error) {
      return reply((error as Error).message)
    }
  }

  #answer(replies: Map<string, Reply | undefined>, show: boolean, made?: string): Answer {
    const { nameOf, hosts } = this.#parts
    const all = [...replies.values()].filter(reply => reply !== undefined)
    const keys = [...new Set(all.flatMap(reply => reply.keys))]
    const silent = [...replies].flatMap(([host, reply]) => (reply ? [] : [host]))
    return {
      hosts: replies.size,
      keys: keys.map(key => ({
        key: show || key === made ? key : `${key.slice(0, SHORT)}…`,
        hosts: all.filter(reply => reply.keys.includes(key)).length,
        primary: all.filter(reply => reply.keys[0] === key).length,
      })),
      trouble: [
        ...silent.map(host => ({ host: nameOf(host), reason: 'did not answer' })),
        ...hosts().away.map(host => ({ host: nameOf(host), reason: 'is away and keeps the keys it had' })),
        ...all.flatMap(({ from, trouble }) => (trouble ? [{ host: nameOf(from), reason: trouble }] : [])),
      ],
    }
  }
}

/** The installed key that begins so. */
function whole(replies: Map<string, Reply | undefined>, start: string): string {
  const all = new Set([...replies.values()].flatMap(reply => reply?.keys ?? []))
  const found = [...all].filter(key => key.startsWith(start.replace(/…$/, '')))
  if (found.length === 1 && start.length >= SHORT) return found[0] as string
  if (found.length > 1 && start.length >= SHORT)
    throw new Refused(`${start} begins more than one key: give more of it`)
  throw new Refused(
    `no installed key begins with "${start}": give ${SHORT} characters of it at least; tsnet keys list tells them`,
  )
}

function read(said: string): Message | undefined {
  try {
    return message.safeParse(JSON.parse(said)).data
  } catch {
    return undefined
  }
}
