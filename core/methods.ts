import type { ZodType } from 'zod'

/** What a caller gets: printed as JSON. Nothing to say is printed as `{}`. */
export type Answer = object | undefined

/**
 * One method of a protocol that is spoken as `POST /Name` with JSON in and out. `run` is only called with what `shape` made
 * of the request. Without a shape the method takes no arguments and its body is not looked at.
 */
export type Method = {
  shape?: ZodType
  run(request: unknown): Answer | Promise<Answer> | Promise<void>
}

/** An error that a protocol has its own form of: sent as it is, with this status of HTTP. */
export class Worded extends Error {
  override name = 'Worded'
  readonly status: number
  readonly body: object

  constructor(status: number, body: object) {
    super(JSON.stringify(body))
    this.status = status
    this.body = body
  }
}

/** From `NetworkDriver.Join` to what it does. */
export type MethodTable = Record<string, Method>

/** A method that takes arguments; `run` sees the type that the shape infers. */
export function method<T>(
  shape: ZodType<T>,
  run: (request: T) => Answer | Promise<Answer> | Promise<void>,
): Method {
  return { shape, run }
}
