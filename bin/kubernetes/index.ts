import type { Store } from '../../core/faces.ts'
import type { Log } from '../../core/settle.ts'
import { fromPod, watchNode } from './api.ts'
import { PodCidrs, type PodCidrsParts } from './pod-cidrs.ts'

/** Milliseconds that an ADD waits for a podCIDR: less than the plugin waits for us. */
const PATIENCE = 10_000
const AGAIN = 2_000

/** The podCIDRs of the Node of this name, by the API server that a pod is told of. `told` hears that they are others. */
export function openPodCidrs(node: string, store: Store, told: () => void, log: Log): PodCidrs {
  const watch: PodCidrsParts['watch'] = async (heard, signal) =>
    watchNode(fromPod(process.env), node, heard, signal)
  return new PodCidrs({ node, store, watch, patience: PATIENCE, again: AGAIN, told, log })
}
