/** What this host's configuration says of keys, and all that it has: the first one encrypts. */
export type Ring = { configured: readonly Buffer[]; keys: readonly Buffer[] }

/**
 * The ring of the last life, unless the configuration says something new since: then its keys come first. One that says nothing yet, for
 * its keys are still to be brought, says nothing new.
 */
export function ringOf(configured: readonly Buffer[], kept: string | undefined): Ring {
  const ring = kept === undefined ? undefined : readRing(kept)
  if (!ring) return { configured, keys: configured }
  if (configured.length === 0 || same(configured, ring.configured)) return ring
  return {
    configured,
    keys: [...configured, ...ring.keys.filter(key => !configured.some(each => each.equals(key)))],
  }
}

/** The same keys in the same order. */
export const same = (one: readonly Buffer[], other: readonly Buffer[]) =>
  one.length === other.length && one.every((key, i) => other[i]?.equals(key))

function readRing(kept: string): Ring {
  const { configured, keys } = JSON.parse(kept) as Record<keyof Ring, string[]>
  const bytes = (text: string) => Buffer.from(text, 'base64')
  return { configured: configured.map(bytes), keys: keys.map(bytes) }
}

export function writeRing({ configured, keys }: Ring): string {
  const text = (key: Buffer) => key.toString('base64')
  return JSON.stringify({ configured: configured.map(text), keys: keys.map(text) })
}
