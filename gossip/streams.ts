/** What comes over streams: those that peers open, and the answers on ours. */
import { isForUs } from './answers.ts'
import type { Endpoint } from './endpoint.ts'
import { localState, merge } from './exchange.ts'
import { answered } from './probe.ts'
import type { Dial, InputOf } from './state.ts'
import type { StreamMessage } from './stream.ts'
import type { Turn } from './turn.ts'

const nothing = Buffer.alloc(0)

/** A peer has opened a stream to us. */
export function accepted(turn: Turn, { stream, from, message }: InputOf<'stream'>): void {
  const reply = (answer: StreamMessage) => turn.outputs.push({ kind: 'reply', stream, message: answer })
  if (message.type === 'user') turn.event({ type: 'user', payload: message.payload, from })
  else if (message.type === 'ping' && isForUs(turn, message))
    reply({ type: 'ack', SeqNo: message.SeqNo, Payload: nothing })
  else if (message.type === 'pushPull') {
    reply(localState(turn, message.join))
    merge(turn, from, message)
  }
}

/** A stream that we opened has brought an answer, or the reason why not. */
export function ended(turn: Turn, id: number, result: StreamMessage | string): void {
  const dial = turn.state.dials.get(id)
  turn.state.dials.delete(id)
  if (dial?.purpose === 'pushPull') contacted(turn, dial, result)
  const isAck = typeof result === 'object' && result.type === 'ack'
  if (dial?.purpose === 'probe' && isAck && result.SeqNo === dial.sequence) answered(turn, result)
}

function contacted(turn: Turn, { to: peer }: Dial, result: StreamMessage | string): void {
  const error = typeof result === 'string' ? result : exchanged(turn, peer, result)
  turn.outputs.push({ kind: 'contacted', peer, ...(error !== undefined && { error }) })
}

function exchanged(turn: Turn, peer: Endpoint, answer: StreamMessage): string | undefined {
  if (answer.type === 'pushPull') return merge(turn, peer, answer)
  return answer.type === 'err' ? `it answered: ${answer.Error}` : `it answered with '${answer.type}'`
}
