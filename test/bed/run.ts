import { type ExecFileException, execFile } from 'node:child_process'
import { constants } from 'node:os'
import { patience } from './patience.ts'

export type Result = { code: number; stdout: string; stderr: string }
export type RunOptions = { input?: string | Buffer; env?: NodeJS.ProcessEnv; deadline?: number }

/** A command that ended with something other than 0, or did not end in time. Its message is what a person would have seen. */
export class CommandFailed extends Error {
  override name = 'CommandFailed'
  readonly result: Result

  constructor(argv: readonly string[], result: Result) {
    super(`${argv.join(' ')}: exit ${result.code}\n${result.stderr || result.stdout}`)
    this.result = result
  }
}

/** Runs a command to its end and tells how it went. `deadline` is in milliseconds; a command killed by it has code 137. */
export function attempt(argv: readonly string[], options: RunOptions = {}): Promise<Result> {
  const [command = '', ...args] = argv
  const settings = {
    env: options.env ?? process.env,
    timeout: (options.deadline ?? 60_000) * patience,
    killSignal: 'SIGKILL' as const,
    maxBuffer: 1 << 28,
  }
  return new Promise(done => {
    const child = execFile(command, args, settings, (error, stdout, stderr) =>
      done({ ...fate(error), stdout, stderr: stderr || missing(error) }),
    )
    child.stdin?.on('error', () => undefined).end(options.input ?? '')
  })
}

/** Runs a command that has to succeed; returns what it printed, without the last newline. */
export async function run(argv: readonly string[], options?: RunOptions): Promise<string> {
  const result = await attempt(argv, options)
  if (result.code !== 0) throw new CommandFailed(argv, result)
  return result.stdout.trimEnd()
}

/** A signal is told as the shell does, 128 and its number; a command that could not be started has 127. */
function fate(error: ExecFileException | null): { code: number } {
  if (!error) return { code: 0 }
  if (error.signal) return { code: 128 + constants.signals[error.signal] }
  return { code: typeof error.code === 'number' ? error.code : 127 }
}

const missing = (error: ExecFileException | null) => (error?.code === 'ENOENT' ? error.message : '')
