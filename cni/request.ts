import { isIP } from 'node:net'
import * as z from 'zod'
import { CniError, CODE } from './errors.ts'

/** What the shim sends: the variables `CNI_…` that it was started with, and its standard input. */
export const Call = z.object({ env: z.record(z.string(), z.string()), stdin: z.string() })
export type Call = z.infer<typeof Call>

/** Whom a call is about. `namespace` may be empty when the container is to go. */
export type Subject = { container: string; ifname: string; namespace: string; pod?: string }

/** What an ADD asks for in CNI_ARGS, as nerdctl and podman do. */
export type Asked = { IP?: string; MAC?: string }

/** Names are checked as SPEC.md says; a name that a link can't have would only fail later (dev_valid_name() in net/core/dev.c). */
export function subjectOf(env: Readonly<Record<string, string>>): Subject {
  const container = needed(env, 'CNI_CONTAINERID', /^[a-zA-Z0-9][\w.-]*$/)
  const ifname = needed(env, 'CNI_IFNAME', /^(?!\.{1,2}$)[^\s/:]{1,15}$/)
  const { K8S_POD_UID: pod } = argsOf(env)
  return { container, ifname, namespace: env.CNI_NETNS ?? '', ...(pod && { pod }) }
}

function needed(env: Readonly<Record<string, string>>, name: string, form: RegExp): string {
  const value = env[name] ?? ''
  if (value === '') throw new CniError(CODE.environment, `${name} is missing`)
  if (!form.test(value)) throw new CniError(CODE.environment, `${name} can't be "${value}"`)
  return value
}

/** Checked; others are no business of ours. */
export function askedIn(env: Readonly<Record<string, string>>): Asked {
  const { IP, MAC } = argsOf(env)
  if (IP && isIP(IP) === 0) throw new CniError(CODE.environment, `CNI_ARGS: IP can't be "${IP}"`)
  if (MAC && !/^[\da-f]{2}(:[\da-f]{2}){5}$/i.test(MAC))
    throw new CniError(CODE.environment, `CNI_ARGS: MAC can't be "${MAC}"`)
  return { ...(IP && { IP }), ...(MAC && { MAC }) }
}

/** `IgnoreUnknown=1;K8S_POD_UID=…` */
function argsOf({ CNI_ARGS: args = '' }: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(args.split(';').map(each => each.split('=', 2)))
}
