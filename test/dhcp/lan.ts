import type { Message } from '../../dhcp/message.ts'
import type { Client, Input, Output, State, Turn } from '../../dhcp/state.ts'
import { begin, resume, step } from '../../dhcp/step.ts'

export const client: Client = { mac: '02:42:0a:00:00:07', hostname: 'web' }
export const server = { address: '10.0.0.1', mac: '02:00:00:00:00:01' }

/** One client on a clock that the test moves, and what it has said since last asked. */
export class Virtual {
  now = 1_000_000
  state: State
  outputs: Output[]

  constructor(start: (now: number, random: () => number) => Turn) {
    const turn = start(this.now, this.random)
    this.state = turn.state
    this.outputs = turn.outputs
  }

  static begin(options: Parameters<typeof begin>[1] = {}): Virtual {
    return new Virtual((now, random) => begin(client, options, now, random))
  }

  static resume(lease: Parameters<typeof resume>[1]): Virtual {
    return new Virtual((now, random) => resume(client, lease, now, random))
  }

  readonly random = () => 0.5

  #take(input: Input): void {
    const { state, outputs } = step(this.state, input, this.now, this.random)
    this.state = state
    this.outputs.push(...outputs)
  }

  /** Lets seconds pass, ticking whenever one is due. */
  pass(seconds: number): void {
    const end = this.now + seconds * 1000
    while (this.state.wake <= end) {
      this.now = Math.max(this.now, this.state.wake)
      this.#take({ type: 'tick' })
    }
    this.now = end
  }

  hear(kind: Message['kind'], fields: Partial<Message> = {}): void {
    const base = { kind, xid: this.state.xid, secs: 0, broadcast: false, mac: client.mac }
    const message: Message = { ...base, yiaddr: '10.0.0.57', server: server.address, ...fields }
    this.#take({ type: 'heard', message, via: server.mac })
  }

  /** What was said since the last look, a line each. */
  said(): string[] {
    return this.outputs.splice(0).map(line)
  }
}

function line(output: Output): string {
  if (output.type === 'bound') return `bound ${output.lease.address}${output.again ? ' again' : ''}`
  if (output.type === 'lost')
    return `lost ${output.lease.address}, ${output.why} ${output.words ?? ''}`.trim()
  if (output.type === 'offered') return `offered ${output.offer.address} by ${output.offer.router}`
  if (output.type === 'elsewhere') return `elsewhere ${output.offered}`
  const { kind, requested, server: named, ciaddr, broadcast, secs } = output.message
  return [
    kind,
    ...(requested ? [`wants ${requested}`] : []),
    ...(named ? [`of ${named}`] : []),
    ...(ciaddr ? [`has ${ciaddr}`] : []),
    `to ${output.to?.mac ?? 'all'}${broadcast ? ', who answer all' : ''}, ${secs} s`,
  ].join(' ')
}
