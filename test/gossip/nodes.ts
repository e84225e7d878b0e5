/** Our nodes for the tests with real serf, in a process of their own: the test starts it in a network namespace. */
import { Agent } from '../../gossip/agent.ts'
import { serfVsn } from '../../gossip/config.ts'
import type { Endpoint } from '../../gossip/endpoint.ts'
import { SerfLayer } from '../../gossip/serf.ts'
import { decodeTags, encodeTags } from '../../gossip/serf-messages.ts'

type Node = { agent: Agent; layer: SerfLayer; events: string[] }
const nodes = new Map<string, Node>()
const port = 7946

const node = (name: string): Node => {
  const found = nodes.get(name)
  if (!found) throw new Error(`${name} is not open`)
  return found
}

const key = (text: string): Buffer => Buffer.from(text, 'base64')

const calls = {
  async open(name: string, address: string, keys: string[], tags: Record<string, string>, seeds: string[]) {
    const layer = new SerfLayer()
    const agent = await Agent.open({
      name,
      bind: { address, port },
      keys: keys.map(key),
      meta: encodeTags(tags),
      vsn: serfVsn,
      seeds: seeds.map(at),
      ...layer.options,
    })
    layer.attach(agent)
    const events: string[] = []
    for (const type of ['join', 'update', 'suspect', 'alive', 'dead', 'left'] as const)
      agent.on(type, ({ member }) => events.push(`${type} ${member.name}`))
    agent.on('refused', ({ reason }) => events.push(`refused ${reason}`))
    agent.on('malformed', ({ reason }) => events.push(`malformed ${reason}`))
    layer.on('userEvent', event => events.push(`event ${event.name} ${event.payload}`))
    nodes.set(name, { agent, layer, events })
  },
  join: async (name: string, address: string) => (await node(name).layer.join([at(address)]))[0] ?? '',
  leave: (name: string) => node(name).layer.leave(),
  async close(name: string) {
    await node(name).agent.close()
    nodes.delete(name)
  },
  async members(name: string) {
    const members = node(name).agent.members()
    return members
      .map(member => [member.name, member.status, JSON.stringify(decodeTags(member.meta))].join(' '))
      .sort()
  },
  events: async (name: string) => node(name).events,
  setTags: async (name: string, tags: Record<string, string>) => node(name).layer.setTags(tags),
  userEvent: async (name: string, event: string, payload: string) =>
    node(name).layer.userEvent(event, Buffer.from(payload)),
  keys: async (name: string) =>
    node(name)
      .agent.keyring.list()
      .map(each => each.toString('base64')),
}

export type Calls = typeof calls

const at = (address: string): Endpoint => ({ address, port })

type Request = { id: number; call: keyof Calls; args: unknown[] }
process.on('message', async ({ id, call, args }: Request) => {
  try {
    const result = await (calls[call] as (...args: unknown[]) => Promise<unknown>)(...args)
    process.send?.({ id, result })
  } catch (error) {
    process.send?.({ id, error: String(error) })
  }
})
process.on('disconnect', () => process.exit())
process.send?.({ id: 0 })
