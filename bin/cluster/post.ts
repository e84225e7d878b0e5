import type { Log } from '../../core/settle.ts'
import type { Agent, Member } from '../../gossip/index.ts'
import type { Input } from '../../vxlan-fdb/index.ts'
import { disclose, enclose, type Via } from './wire.ts'

export type PostParts = {
  agent: Agent
  /** This host. */
  origin: string
  /** Hears what came of the table's. */
  feed: (input: Input) => void
  /** Takes what isn't the table's; answers whether it was for it. */
  other: (payload: Buffer) => boolean
  /** Hears that somebody came. */
  met: () => void
  log: Log
}

/** Carries the table's messages in gossip's, and to the table what gossip tells of members. */
export class Post {
  readonly #parts: PostParts

  constructor(parts: PostParts) {
    this.#parts = parts
    this.#hearMembers()
    this.#hearMessages()
    this.#tell()
  }

  /** To a member; one that isn't there any more hears of it otherwise. */
  send(via: Exclude<Via, 'broadcast'>, to: string, bytes: Buffer): void {
    const { agent, origin } = this.#parts
    const member = agent.member(to)
    if (!member) return
    const message = enclose(via, origin, bytes)
    if (via === 'stream') agent.sendReliably(member.endpoint, message)
    else agent.send(member.endpoint, message)
  }

  broadcast(bytes: Buffer): void {
    const { agent, origin } = this.#parts
    agent.broadcast(enclose('broadcast', origin, bytes))
  }

  #hearMembers(): void {
    const { agent, feed, met } = this.#parts
    const alive = (alive: boolean) => (event: { member: Readonly<Member> }) =>
      feed({ type: 'member', id: event.member.name, alive })
    agent.on('join', alive(true)).on('alive', alive(true)).on('update', alive(true))
    agent.on('dead', alive(false)).on('left', alive(false))
    agent.on('join', met)
    agent.on('forget', ({ member }) => feed({ type: 'gone', id: member.name }))
  }

  #hearMessages(): void {
    const { agent, feed, other } = this.#parts
    agent.on('user', ({ payload }) => {
      if (other(payload)) return
      const message = disclose(payload)
      if (message) feed({ type: 'received', ...message })
    })
  }

  #tell(): void {
    const { agent, log } = this.#parts
    agent.on('conflict', ({ member }) =>
      log.warn({ member: member.name }, 'two hosts claim to be one member'),
    )
    for (const what of ['join', 'dead', 'left'] as const)
      agent.on(what, ({ member }) =>
        log.info({ member: member.name, at: member.endpoint.address }, `member: ${what}`),
      )
  }
}
