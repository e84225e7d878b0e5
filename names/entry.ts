/** What is known of one endpoint. */
export type Entry = { names: string[]; addresses: string[] }

/** Names of one endpoint at most, in a record of another host. */
const MOST = 64

/** A name as DNS can carry it: labels of 63 bytes, 253 in all (RFC 1035, 2.3.4). Underscores are common in container names. */
export const isName = (text: string): boolean =>
  text.length <= 253 &&
  text.split('.').every(label => /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/i.test(label))

/** Those that are names, each once, whatever the case. */
export function networkNames(names: readonly string[]): string[] {
  const unique = new Map(names.filter(isName).map(name => [name.toLowerCase(), name]))
  return [...unique.values()].slice(0, MOST)
}
