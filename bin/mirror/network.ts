import { isDeepStrictEqual } from 'node:util'
import * as z from 'zod'
import { overlap } from '../../core/addresses.ts'

/** What hosts tell each other of a network, as a record of kind `network`. Plain data. */

const words = z.record(z.string(), z.string())

const subnet = z.object({
  subnet: z.union([z.cidrv4(), z.cidrv6()]),
  range: z.union([z.cidrv4(), z.cidrv6()]).optional(),
  gateway: z.union([z.ipv4(), z.ipv6()]).optional(),
  aux: z.record(z.string(), z.union([z.ipv4(), z.ipv6()])).optional(),
})

const net = z.object({
  /** Milliseconds since 1970, by the clock of the host that it was made on. */
  made: z.number(),
  /** Its number on the wire. */
  vni: z.int(),
  name: z.string().regex(/^\P{Cc}{1,255}$/u),
  driver: z.string().min(1).max(255),
  ipam: z.object({ driver: z.string().min(1).max(255), options: words, subnets: z.array(subnet).max(64) }),
  options: words,
  labels: words,
  internal: z.boolean(),
  attachable: z.boolean(),
  ipv4: z.boolean(),
  ipv6: z.boolean(),
})

export type Net = z.infer<typeof net>
export type Subnet = z.infer<typeof subnet>

/** Absent `net`: the network was removed for good. */
export type Word = { net?: Net | undefined }

const word = z.object({ net: net.optional() })

export const writeWord = (of: Word): Buffer => Buffer.from(JSON.stringify(of))

/** Undefined for what isn't one: somebody's wrong record costs that record only. */
export function readWord(value: Buffer | string): Word | undefined {
  try {
    return word.safeParse(JSON.parse(value.toString())).data
  } catch {
    return undefined
  }
}

/** What containers notice of a network. Labels are for people and tools, and a plugin is called otherwise on each host. */
const essence = ({ made: _, vni: __, labels: ___, driver, ipam, ...rest }: Net) => ({
  ...rest,
  ipam: { ...ipam, driver: ipam.driver === driver ? 'its own' : ipam.driver },
})

/** Whether two networks that were made apart were meant to be one. */
export const alike = (a: Net, b: Net): boolean => isDeepStrictEqual(essence(a), essence(b))

const pools = ({ ipam }: Net) => ipam.subnets.map(each => each.subnet)

/** What two networks can't both have on one host, as a part of a sentence that begins with one's name and ends with the other's. */
export function clash(a: Net, b: Net): string | undefined {
  for (const mine of pools(a))
    for (const theirs of pools(b)) {
      if (mine === theirs) return `has the subnet ${mine}, and so has`
      if (overlap(mine, theirs)) return `has the subnet ${mine}, which overlaps with ${theirs} of`
    }
  return a.vni === b.vni ? `has the VNI ${a.vni}, and so has` : undefined
}
