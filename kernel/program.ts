import { spawnSync } from 'node:child_process'
import type { Failure } from './room.ts'

export type Ran =
  | { ok: true; output: string }
  | { ok: false; status: number | null; complaint: string; failure: Failure }

/** Runs a program to its end in this thread's namespace. A program that isn't there is ENOENT. */
export function run(name: string, args: readonly string[], input = ''): Ran {
  const { error, status, signal, stdout, stderr } = spawnSync(name, args, { encoding: 'utf8', input })
  if (status === 0) return { ok: true, output: stdout }
  const code = (error as NodeJS.ErrnoException | undefined)?.code ?? 'EINVAL'
  // A program that dies, or that is missing a library, may have nothing to say.
  const complaint = error?.message ?? (stderr.trim() || (signal ? `ended by ${signal}` : `exit ${status}`))
  return {
    ok: false,
    status,
    complaint,
    failure: { code, words: `${[name, ...args].join(' ')}: ${complaint}` },
  }
}
