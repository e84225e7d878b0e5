import assert from 'node:assert/strict'
import { lan } from '../../gossip/config.ts'
import { addressBytes, type Endpoint } from '../../gossip/endpoint.ts'
import { farthestJump } from '../../gossip/member.ts'
import { decodeMessage, type Message, type MessageOf } from '../../gossip/messages.ts'
import type { Output } from '../../gossip/state.ts'
import { start } from '../../gossip/state.ts'
import { step } from '../../gossip/step.ts'
import { confirm, deadline, suspicion } from '../../gossip/suspicion.ts'
import { seeded } from './virtual.ts'

const vsn = [1, 5, 2, 1, 1, 1] as const
const at = (n: number): Endpoint => ({ address: `10.0.0.${n}`, port: 7946 })
const nothing = Buffer.alloc(0)

/** One node on a clock that the test moves, told what the test likes. */
class Node {
  now = 1000
  readonly random = seeded(1)
  readonly state = start(
    {
      name: 'me',
      endpoint: at(1),
      meta: nothing,
      vsn,
      incarnation: 1,
      seeds: [],
      packetSize: 1366,
      timing: lan,
    },
    this.now,
    this.random,
  )
  outputs: Output[] = []

  hear(...messages: Message[]): this {
    return this.hearFrom(at(2), ...messages)
  }

  hearFrom(from: Endpoint, ...messages: Message[]): this {
    this.outputs.push(...step(this.state, { kind: 'packet', from, messages }, this.now, this.random))
    return this
  }

  run(duration: number): this {
    const end = this.now + duration
    while (this.state.schedule.next <= end) {
      this.now = Math.max(this.now, this.state.schedule.next)
      this.outputs.push(...step(this.state, { kind: 'tick' }, this.now, this.random))
    }
    this.now = end
    return this
  }

  status(name: string): string | undefined {
    return this.state.members.get(name)?.status
  }

  get events(): string[] {
    return this.outputs.flatMap(output => (output.kind === 'event' ? [output.event.type] : []))
  }

  sent<T extends Message['type']>(type: T): MessageOf<T>[] {
    const packets = this.outputs.flatMap(output => (output.kind === 'packet' ? output.messages : []))
    return packets.map(decodeMessage).filter((message): message is MessageOf<T> => message.type === type)
  }

  to(type: Message['type']): string[] {
    return this.outputs.flatMap(output =>
      output.kind === 'packet' && output.messages.some(message => decodeMessage(message).type === type)
        ? [output.to.address]
        : [],
    )
  }
}

const alive = (n: number, change: Partial<MessageOf<'alive'>> = {}): MessageOf<'alive'> => ({
  type: 'alive',
  Node: `n${n}`,
  Incarnation: 5,
  Addr: addressBytes(at(n).address),
  Port: 7946,
  Meta: nothing,
  Vsn: Buffer.from(vsn),
  ...change,
})
const suspect = (Node: string, Incarnation: number, From = 'n3'): MessageOf<'suspect'> => ({
  type: 'suspect',
  Node,
  Incarnation,
  From,
})
const dead = (Node: string, Incarnation: number, From = 'n3'): MessageOf<'dead'> => ({
  type: 'dead',
  Node,
  Incarnation,
  From,
})

describe('alive', () => {
  it('of a new node is a join, passed on', () => {
    const node = new Node().hear(alive(2)).run(300)
    assert.deepEqual(node.events, ['join'])
    assert.equal(node.sent('alive')[0]?.Node, 'n2')
  })

  it('of an older or equal incarnation says nothing', () => {
    const node = new Node().hear(alive(2), alive(2, { Meta: Buffer.from('x') }), alive(2, { Incarnation: 4 }))
    assert.deepEqual(node.events, ['join'])
  })

  it('with other meta data is an update', () => {
    const node = new Node().hear(alive(2), alive(2, { Incarnation: 6, Meta: Buffer.from('x') }))
    assert.deepEqual(node.events, ['join', 'update'])
  })

  it('from another address is a conflict, reported and not believed', () => {
    const node = new Node().hear(alive(2), alive(2, { Incarnation: 9, Addr: addressBytes('10.0.0.9') }))
    assert.deepEqual(node.events, ['join', 'conflict'])
    assert.equal(node.state.members.get('n2')?.endpoint.address, '10.0.0.2')
  })

  it('from another address is believed of one that left', () => {
    const node = new Node().hear(alive(2), dead('n2', 5, 'n2'), alive(2, { Addr: addressBytes('10.0.0.9') }))
    assert.deepEqual(node.events, ['join', 'left', 'join'])
  })

  it('in the long form of an IPv4 address is no conflict', () => {
    const node = new Node().hear(
      alive(2),
      alive(2, { Incarnation: 6, Addr: Buffer.from('00000000000000000000ffff0a000002', 'hex') }),
    )
    assert.deepEqual(node.events, ['join'])
  })

  it('with versions that are short, impossible or not ours is not believed', () => {
    for (const wrong of [
      '',
      '01',
      '0105020101',
      '000502010101',
      '050102010101',
      '010502000000',
      '030503010101',
    ])
      assert.deepEqual(new Node().hear(alive(2, { Vsn: Buffer.from(wrong, 'hex') })).events, [], wrong)
  })

  it('of an incarnation far above the known one is not believed', () => {
    const node = new Node().hear(
      alive(2),
      alive(2, { Incarnation: 5 + farthestJump + 1 }),
      alive(3, { Incarnation: 2 ** 32 - 1 }),
    )
    assert.deepEqual([node.state.members.get('n2')?.incarnation, node.status('n3')], [5, undefined])
  })

  it('with too much meta data, no name or no port is not believed', () => {
    for (const change of [{ Meta: Buffer.alloc(513) }, { Node: '' }, { Port: 0 }, { Addr: Buffer.alloc(5) }])
      assert.deepEqual(new Node().hear(alive(2, change)).events, [])
  })
})

describe('what is said of ourselves', () => {
  it('suspected or dead is refuted above it, persisted, and counts against our health', () => {
    for (const accuse of [suspect, dead]) {
      const node = new Node().hear(alive(2), accuse('me', 7)).run(300)
      assert.equal(node.state.self.incarnation, 8)
      assert.ok(node.outputs.some(output => output.kind === 'persist' && output.incarnation === 8))
      assert.equal(node.sent('alive').find(({ Node }) => Node === 'me')?.Incarnation, 8)
      assert.equal(node.state.awareness, 1)
    }
  })

  it('long ago needs no answer', () => {
    const node = new Node()
    node.state.self.incarnation = 9
    assert.equal(node.hear(suspect('me', 8), dead('me', 8)).state.self.incarnation, 9)
  })

  it('beyond any incarnation that can be is not answered', () => {
    assert.equal(new Node().hear(dead('me', 2 ** 32 - 1)).state.self.incarnation, 1)
  })

  it('by an earlier life with other meta data is refuted', () => {
    const node = new Node().hear(alive(1, { Node: 'me', Incarnation: 1, Meta: Buffer.from('old') }))
    assert.equal(node.state.self.incarnation, 2)
  })
})

describe('suspicion', () => {
  it('without company to confirm it ends at its shortest', () => {
    const node = new Node().hear(alive(2), suspect('n2', 5)).run(3990)
    assert.equal(node.status('n2'), 'suspect')
    assert.equal(node.run(20).status('n2'), 'dead')
    assert.deepEqual(node.sent('dead')[0]?.From ?? node.run(300).sent('dead')[0]?.From, 'me')
  })

  it('shortens with each confirmation, as Lifeguard says', () => {
    const doubt = suspicion('a', 0, 100, lan)
    const times = [deadline(doubt)]
    for (const from of ['b', 'c']) {
      assert.ok(confirm(doubt, from))
      times.push(deadline(doubt))
    }
    assert.deepEqual(times, [48_000, 22_762, 8000])
    assert.ok(!confirm(doubt, 'd') && !confirm(suspicion('a', 0, 100, lan), 'a'))
  })

  it('ends when the node is heard of anew', () => {
    const node = new Node().hear(alive(2), suspect('n2', 5), alive(2, { Incarnation: 6 })).run(5000)
    assert.deepEqual(node.events.slice(0, 3), ['join', 'suspect', 'alive'])
  })
})

describe('dead', () => {
  it('said by the node itself is left', () => {
    assert.deepEqual(new Node().hear(alive(2), dead('n2', 5, 'n2')).events, ['join', 'left'])
  })

  it('is told to the dead for a while, then forgotten', () => {
    const node = new Node().hear(alive(2), dead('n2', 5)).run(300)
    assert.ok(node.to('dead').includes('10.0.0.2'))
    assert.equal(node.run(40_000).status('n2'), undefined)
    assert.equal(node.events.at(-1), 'forget')
  })

  it('is tried again long after it was forgotten', () => {
    const node = new Node().hear(alive(2), dead('n2', 5)).run(3_600_000)
    for (const output of node.outputs)
      if (output.kind === 'dial')
        step(node.state, { kind: 'hangup', dial: output.dial, reason: 'refused' }, node.now, node.random)
    node.outputs = []
    assert.ok(node.run(10_000).outputs.some(({ kind }) => kind === 'dial'))
  })
})

describe('a probe', () => {
  const probing = () => {
    const node = new Node().hear(alive(2), alive(3), alive(4))
    while (!node.sent('ping').length) node.run(50)
    return { node, ping: node.sent('ping')[0] as MessageOf<'ping'> }
  }

  it('without an answer goes by others and by a stream, and ends in suspicion', () => {
    const { node, ping } = probing()
    node.run(600)
    assert.deepEqual(new Set(node.sent('indirectPing').map(({ Node }) => Node)), new Set([ping.Node]))
    assert.equal(node.sent('indirectPing').length, 2)
    assert.ok(node.outputs.some(output => output.kind === 'dial' && output.message.type === 'ping'))
    assert.equal(node.run(500).status(ping.Node), 'suspect')
    assert.equal(node.state.awareness, 2)
  })

  it('with all nacks leaves our health alone', () => {
    const { node, ping } = probing()
    node.run(600).hear({ type: 'nack', SeqNo: ping.SeqNo }, { type: 'nack', SeqNo: ping.SeqNo })
    node.run(450)
    assert.deepEqual([node.status(ping.Node), node.state.awareness], ['suspect', 0])
  })

  it('answered over a stream is no suspicion', () => {
    const { node, ping } = probing()
    node.run(600)
    const dial = node.outputs.find(output => output.kind === 'dial')?.dial ?? 0
    const message = { type: 'ack', SeqNo: ping.SeqNo, Payload: nothing } as const
    step(node.state, { kind: 'answer', dial, message }, node.now, node.random)
    assert.equal(node.run(300).status(ping.Node), 'alive')
  })

  it('of a suspect tells it so', () => {
    const node = new Node().hear(alive(2), suspect('n2', 5)).run(1200)
    const packet = node.outputs.find(
      output => output.kind === 'packet' && decodeMessage(output.messages[0] as Buffer).type === 'ping',
    )
    assert.ok(packet?.kind === 'packet')
    assert.deepEqual(
      packet.messages.map(message => decodeMessage(message).type),
      ['ping', 'suspect'],
    )
  })
})

describe('answers', () => {
  const ping = (change: Partial<MessageOf<'ping'>> = {}): MessageOf<'ping'> => ({
    type: 'ping',
    SeqNo: 9,
    Node: 'me',
    ...change,
  })

  it('go to the address that a member names', () => {
    const node = new Node()
      .hear(alive(2))
      .hearFrom(
        { address: '10.0.0.2', port: 9999 },
        ping({ SourceAddr: addressBytes('10.0.0.2'), SourcePort: 7946 }),
      )
    assert.deepEqual(node.to('ack'), ['10.0.0.2'])
  })

  it('never go to a stranger that another source names', () => {
    const node = new Node().hearFrom(at(66), ping({ SourceAddr: addressBytes('192.0.2.1'), SourcePort: 53 }))
    assert.deepEqual(node.to('ack'), [])
  })

  it('to strangers themselves are bare and few', () => {
    const node = new Node().hear(alive(2)).run(1000)
    for (let i = 0; i < 500; i++) node.hearFrom(at(66), ping())
    assert.equal(node.sent('ack').length, 50)
  })

  it('are not given to pings for another node', () => {
    assert.deepEqual(new Node().hear(alive(2), ping({ Node: 'other' })).to('ack'), [])
  })

  it('for others come back with their number, or a nack in time', () => {
    const request: Message = {
      type: 'indirectPing',
      SeqNo: 77,
      Target: addressBytes('10.0.0.3'),
      Port: 7946,
      Node: 'n3',
      Nack: true,
    }
    const node = new Node().hear(alive(2), alive(3), request)
    const relayed = node.sent('ping')[0] as MessageOf<'ping'>
    node.hearFrom(at(3), { type: 'ack', SeqNo: relayed.SeqNo, Payload: Buffer.from('x') })
    assert.deepEqual(
      node.sent('ack').map(({ SeqNo, Payload }) => [SeqNo, Payload.length]),
      [[77, 0]],
    )
    assert.equal(node.hear(request).run(510).sent('nack')[0]?.SeqNo, 77)
  })

  it('for others are not sought at addresses of no member', () => {
    const request: Message = {
      type: 'indirectPing',
      SeqNo: 77,
      Target: addressBytes('192.0.2.1'),
      Port: 53,
      Node: 'x',
      Nack: true,
    }
    assert.deepEqual(new Node().hear(alive(2), request).sent('ping'), [])
  })
})

describe('a node that was stopped', () => {
  it('counts nobody out for the time it missed', () => {
    const node = new Node().hear(alive(2), suspect('n2', 5)).run(1500)
    node.now += 20_000
    node.outputs.push(...step(node.state, { kind: 'tick' }, node.now, node.random))
    assert.equal(node.status('n2'), 'suspect')
  })
})

describe('commands', () => {
  it('that cannot be are refused', () => {
    const { state, now, random } = new Node()
    assert.throws(
      () => step(state, { kind: 'broadcast', payload: Buffer.alloc(1362) }, now, random),
      RangeError,
    )
    assert.throws(() => step(state, { kind: 'meta', meta: Buffer.alloc(513) }, now, random), RangeError)
  })

  it('to leave are done when the others have been told', () => {
    const node = new Node().hear(alive(2))
    node.outputs.push(...step(node.state, { kind: 'leave' }, node.now, node.random))
    assert.ok(node.run(2000).outputs.some(({ kind }) => kind === 'left'))
    assert.ok(node.sent('dead').some(({ Node, From }) => Node === 'me' && From === 'me'))
  })
})
