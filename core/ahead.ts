import type { Store } from './faces.ts'
import { applyChange, type Change, type Records, tables } from './records.ts'

/**
 * The same store, whose networks and endpoints show a change while the disk is still at it: the kernel can be settled meanwhile. `write`
 * resolves when the change is durable, as ever. When that fails, the records are what they were, but for what was written since.
 */
export function ahead(store: Store): Store {
  const { networks, endpoints, ...rest } = store.records
  const records: Records = { ...rest, networks: new Map(networks), endpoints: new Map(endpoints) }
  return {
    records,
    async write(changes) {
      const before = changes.map(change => ({ ...change, value: shown(records, change) }) as Change)
      for (const change of changes) applyChange(records, change)
      try {
        await store.write(changes)
      } catch (error) {
        for (const [i, change] of changes.entries())
          if (shown(records, change) === change.value) applyChange(records, before[i] as Change)
        throw error
      }
    },
    close: () => store.close(),
  }
}

const shown = (records: Records, { table, id }: Change) => records[tables[table]].get(id)
