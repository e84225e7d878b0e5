import { Refused } from '../core/errors.ts'
import { type MethodTable, method } from '../core/methods.ts'
import type { Door } from './door.ts'
import { CniError, CODE, worded } from './errors.ts'
import { Call } from './request.ts'
import { newest, versions } from './version.ts'

type Verb = (call: Call) => Promise<object | undefined>

/** Answers nothing. */
const silent =
  (run: (call: Call) => Promise<void>): Verb =>
  async call => {
    await run(call)
    return undefined
  }

/**
 * The one method that the shim calls: it forwards what the runtime gave it, and prints what comes back. `before` is run before an
 * ADD or a STATUS is looked at: what was put off while nobody listened comes first.
 */
export function cniMethods(door: Door, before: () => Promise<void>): MethodTable {
  const verbs: Record<string, Verb> = {
    ADD: async call => {
      await before()
      return door.add(call)
    },
    DEL: silent(call => door.del(call)),
    CHECK: silent(call => door.check(call)),
    GC: silent(async call => {
      await before()
      await door.gc(call)
    }),
    STATUS: silent(async call => {
      await before()
      await door.status(call)
    }),
    VERSION: async ({ stdin }) => ({ cniVersion: versionIn(stdin), supportedVersions: versions }),
  }
  return {
    Cni: method(Call, async call => {
      try {
        return await verb(verbs, call.env)(call)
      } catch (error) {
        throw worded(asCni(error), versionIn(call.stdin))
      }
    }),
  }
}

function verb<T>(
  verbs: Record<string, T>,
  { CNI_COMMAND: command = '' }: Readonly<Record<string, string>>,
): T {
  const found = Object.hasOwn(verbs, command) ? verbs[command] : undefined
  if (found) return found
  throw new CniError(
    CODE.environment,
    `CNI_COMMAND can't be "${command}": it has to be ${Object.keys(verbs).join(', ')}`,
  )
}

function asCni(error: unknown): CniError {
  if (error instanceof CniError) return error
  const { message } = error as Error
  return new CniError(error instanceof Refused ? CODE.config : CODE.kernel, message)
}

/** The version of the answer is that of the question, as far as it can be read. */
function versionIn(stdin: string): string {
  try {
    const { cniVersion } = JSON.parse(stdin) as { cniVersion?: unknown }
    return typeof cniVersion === 'string' && cniVersion !== '' ? cniVersion : newest
  } catch {
    return newest
  }
}
