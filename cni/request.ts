import * as z from 'zod'
import { CniError, CODE } from './errors.ts'

/** What the shim sends: the variables `CNI_…` that it was started with, and its standard input. */
export const Call = z.object({ env: z.record(z.string(), z.string()), stdin: z.string() })
export type Call = z.infer<typeof Call>

/** Whom a call is about. `namespace` may be empty when the container is to go. */
export type Subject = { container: string; ifname: string; namespace: string; pod?: string }

/** Names are checked as SPEC.md says; a name that a link can't have would only fail later (dev_valid_name() in net/core/dev.c). */
export function subjectOf(env: Readonly<Record<string, string>>): Subject {
  const container = needed(env, 'CNI_CONTAINERID', /^[a-zA-Z0-9][\w.-]*$/)
  const ifname = needed(env, 'CNI_IFNAME', /^(?!\.{1,2}$)[^\s/:]{1,15}$/)
  const pod = podOf(env.CNI_ARGS ?? '')
  return { container, ifname, namespace: env.CNI_NETNS ?? '', ...(pod && { pod }) }
}

function needed(env: Readonly<Record<string, string>>, name: string, form: RegExp): string {
  const value = env[name] ?? ''
  if (value === '') throw new CniError(CODE.environment, `${name} is missing`)
  if (!form.test(value)) throw new CniError(CODE.environment, `${name} can't be "${value}"`)
  return value
}

/** `IgnoreUnknown=1;K8S_POD_UID=…` */
function podOf(args: string): string | undefined {
  const pairs = args.split(';').map(each => each.split('=', 2))
  return pairs.find(([name]) => name === 'K8S_POD_UID')?.[1]
}
