import * as z from 'zod'
import { type Config, readConfig } from './config.ts'

/** Names of files that runtimes read (libcni's ConfFiles). */
export const isConfiguration = (name: string): boolean => /\.(conf|conflist|json)$/.test(name)

/** What runtimes start for us. */
const PLUGIN = 'tsnet-cni'

/** Whether a file that can't be understood may be about us. */
export const mentionsUs = (text: string): boolean => text.includes(PLUGIN)

const plugin = z.looseObject({ type: z.string() })
const file = z.looseObject({
  name: z.unknown().optional(),
  cniVersion: z.unknown().optional(),
  type: z.string().optional(),
  plugins: z.array(plugin).optional(),
})

/**
 * The configurations for us in a runtime's file, a list or a single one, as a runtime hands them to a plugin.
 * @throws CniError, ZodError or SyntaxError for what can't be used
 */
export function configsIn(text: string): Config[] {
  const { plugins, ...one } = file.parse(JSON.parse(text))
  const { name, cniVersion } = one
  return (plugins ?? [one])
    .filter(({ type }) => type === PLUGIN)
    .map(each => readConfig(JSON.stringify({ ...each, name, cniVersion })))
}
