import { parentPort, workerData } from 'node:worker_threads'
import { enterNamespace } from '@tsnet/netlink'
import { Linux } from './linux.ts'
import type { Call, Message, WorkerData } from './messages.ts'

const port = parentPort as NonNullable<typeof parentPort>
const post = (message: Message) => port.postMessage(message)

const { namespace } = workerData as WorkerData
if (namespace !== undefined) enterNamespace(namespace)
const linux = new Linux(() => {})

function answer(call: Call): unknown {
  switch (call.call) {
    case 'read':
      return linux.read(call.argument.rows, call.argument.owned)
    case 'apply':
      return linux.apply(call.argument)
    case 'facts':
      return linux.facts()
    case 'watch':
      return undefined
    case 'close':
      linux.close()
      return undefined
  }
}

port.on('message', (call: Call) => {
  try {
    post({ about: 'answer', id: call.id, answer: answer(call) })
  } catch (error) {
    post({ about: 'failure', id: call.id, error })
  }
  if (call.call === 'close') port.close()
})
post({ about: 'ready' })
