import { parentPort, workerData } from 'node:worker_threads'
import { enterNamespace } from '@tsnet/netlink'
import { balance } from './balance.ts'
import { holds } from './inside.ts'
import { Linux } from './linux.ts'
import type { Call, Message, WorkerData } from './messages.ts'

const port = parentPort as NonNullable<typeof parentPort>
const post = (message: Message) => port.postMessage(message)

const { namespace } = workerData as WorkerData
if (namespace !== undefined) enterNamespace(namespace)
const linux = new Linux(words => post({ about: 'log', words }))

function answer(call: Call): unknown {
  switch (call.call) {
    case 'read':
      return linux.read(call.argument.rows, call.argument.owned)
    case 'apply':
      return linux.apply(call.argument)
    case 'amend':
      return linux.amend(call.argument.wanted, call.argument.others)
    case 'facts':
      return linux.facts()
    case 'look':
      return linux.look(call.argument.namespace, call.argument.link)
    case 'retire':
      return linux.retire(call.argument.namespace, call.argument.link, call.argument.mac)
    case 'balance':
      return balance(call.argument.namespace, call.argument.services)
    case 'parent':
      return linux.parent(call.argument)
    case 'probe':
      return linux.probe(call.argument.link, call.argument.addresses)
    case 'announce':
      return linux.announce(call.argument.link, call.argument.addresses, call.argument.mac)
    case 'holds':
      return holds(call.argument.namespace, call.argument.link)
    case 'watch':
      return linux.watch(() => post({ about: 'ring' }))
    case 'close':
      return linux.close()
  }
}

port.on('message', async (call: Call) => {
  try {
    const said = answer(call)
    post({ about: 'answer', id: call.id, answer: said instanceof Promise ? await said : said })
  } catch (error) {
    post({ about: 'failure', id: call.id, error })
  }
  if (call.call === 'close') port.close()
})
post({ about: 'ready' })
