import type { Attachment, Rate } from '../core/records.ts'
import type { Config } from './config.ts'
import { CniError, CODE } from './errors.ts'

type Bandwidth = NonNullable<Attachment['bandwidth']>
type Said = NonNullable<NonNullable<Config['runtimeConfig']>['bandwidth']>

/** Bits per second; what Kubernetes' annotations may say. */
const SLOWEST = 1_000
const FASTEST = 1e15
/** Bits. Runtimes say this much or more where nobody said anything: containerd 2³²-1, CRI-O eight times as much, older ones 2³¹-1. */
const UNSAID = 2 ** 31 - 1
/** Of a burst that nobody said: so many seconds of the rate, and bytes at least and at most. */
const SHARE = 0.02
const LEAST = 16 * 1024
const MOST = UNSAID / 8

/** How fast a container may receive (`ingress`) and send; undefined without any limit. Throws CniError for what can't be held. */
export function bandwidthOf({ runtimeConfig }: Config): Bandwidth | undefined {
  const said = runtimeConfig?.bandwidth
  if (!said) return undefined
  const [ingress, egress] = [limit(said, 'ingress'), limit(said, 'egress')]
  return ingress || egress ? { ...(ingress && { ingress }), ...(egress && { egress }) } : undefined
}

function limit(said: Said, way: 'ingress' | 'egress'): Rate | undefined {
  const [bits, burst] = [said[`${way}rate`] ?? 0, said[`${way}burst`] ?? 0]
  if (bits !== 0 && (!Number.isInteger(bits) || bits < SLOWEST || bits > FASTEST))
    refuse(
      `${way}Rate can't be ${bits}`,
      `a whole number of bits per second from ${SLOWEST} to ${FASTEST}, or 0 for no limit`,
    )
  if (!Number.isInteger(burst) || burst < 0)
    refuse(`${way}Burst can't be ${burst}`, 'a whole number of bits, or 0 for one that fits the rate')
  if (bits === 0 && burst > 0) refuse(`${way}Burst can't be ${burst} without ${way}Rate`, '0 or left out')
  if (bits === 0) return undefined
  const rate = Math.ceil(bits / 8)
  return { rate, burst: burst === 0 || burst >= UNSAID ? usual(rate) : Math.ceil(burst / 8) }
}

const usual = (rate: number) => Math.floor(Math.min(Math.max(rate * SHARE, LEAST), MOST))

function refuse(what: string, allowed: string): never {
  throw new CniError(CODE.config, `runtimeConfig.bandwidth: ${what}; it has to be ${allowed}`)
}
