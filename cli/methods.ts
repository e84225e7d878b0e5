import * as z from 'zod'
import { type MethodTable, method } from '../core/methods.ts'
import { keyVerbs, type Operator } from './operator.ts'

const forget = z.strictObject({ host: z.string().min(1) })
const keys = z.strictObject({ verb: z.enum(keyVerbs), key: z.string().optional(), show: z.boolean() })

/** The daemon's side of `tsnet`: one method a command. Lists travel as `{ items }`, for an answer is an object. */
export function cliMethods(operator: Operator): MethodTable {
  const list = (get: () => object[] | Promise<object[]>) => ({ run: async () => ({ items: await get() }) })
  return {
    'Operator.Status': { run: () => operator.status() },
    'Operator.Members': list(() => operator.members()),
    'Operator.Networks': list(() => operator.networks()),
    'Operator.Endpoints': list(() => operator.endpoints()),
    'Operator.Fdb': list(() => operator.fdb()),
    'Operator.Plan': { run: () => operator.plan() },
    'Operator.Forget': method(forget, ({ host }) => operator.forget(host)),
    'Operator.Keys': method(keys, ({ verb, key, show }) => operator.keys(verb, key, show)),
  }
}
