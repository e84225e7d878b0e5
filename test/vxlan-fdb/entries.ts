import { type Entry, kinds, writeEndpoint } from '../../vxlan-fdb/index.ts'

/** An endpoint's record; host and number make its addresses. */
export function endpoint(host: number, number: number, network = 'shop', blockEpoch = 1): Entry {
  const tail = [host & 255, number >>> 8, number & 255]
  const value = writeEndpoint({
    mac: Buffer.from([2, 66, 10, ...tail]),
    ip4: Buffer.from([10, ...tail]),
    ip6: undefined,
    blockEpoch,
  })
  return { network, kind: kinds.endpoint, key: `${host}-${number}`, value }
}

export const withdrawn = (entry: Entry): Entry => ({ ...entry, value: undefined })
