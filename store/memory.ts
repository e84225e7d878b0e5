import type { Store } from '../core/faces.ts'
import { applyChange, emptyRecords } from '../core/records.ts'

/** Passes for the store on disk in everything but the disk: what is written is a copy, and shows a turn later. */
export function memoryStore(records = emptyRecords()): Store {
  let closed = false
  return {
    records,
    async write(changes) {
      if (closed) throw new Error('the store is closed')
      const copies = structuredClone(changes)
      await new Promise(setImmediate)
      for (const change of copies) applyChange(records, change)
    },
    async close() {
      closed = true
    },
  }
}
