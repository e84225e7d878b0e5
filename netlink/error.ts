import { getSystemErrorMap } from 'node:util'

/** libuv's names and words, and the kernel's own where libuv has none or another (include/uapi/asm-generic/errno.h). */
const names = new Map(getSystemErrorMap())
for (const [errno, name, words] of [
  [54, 'EXFULL', 'exchange full'],
  [85, 'ERESTART', 'the rule set has moved on'],
  [95, 'EOPNOTSUPP', 'operation not supported'],
  [524, 'ENOTSUPP', 'operation not supported'],
] as const)
  names.set(-errno, [name, words])

/** What the kernel refused, or what it sent that doesn't follow its own format (`EBADMSG`). */
export class NetlinkError extends Error {
  override name = 'NetlinkError'
  /** `EEXIST`, `ENOENT`, …: what callers look at. */
  readonly code: string
  readonly errno: number
  /** Byte offset in the request of the attribute that is at fault, when the kernel named one. */
  readonly offset: number | undefined
  /** Place of the message in its transaction. */
  readonly index: number | undefined

  constructor(
    code: string,
    errno: number,
    message: string,
    where: { offset?: number | undefined; index?: number | undefined } = {},
  ) {
    super(message)
    this.code = code
    this.errno = errno
    this.offset = where.offset
    this.index = where.index
  }

  /** From a positive errno; `words` are the kernel's own (extended ack), else the C library's. */
  static of(
    errno: number,
    step: string,
    words?: string,
    where?: { offset?: number | undefined; index?: number | undefined },
  ): NetlinkError {
    const [name, text] = names.get(-errno) ?? [`E${errno}`, 'unknown error']
    return new NetlinkError(name, errno, words ?? `${step}: ${text}`, where)
  }

  /** A value that has no place in its message: nothing was sent. */
  static invalid(what: string): NetlinkError {
    return new NetlinkError('EINVAL', 22, what)
  }

  /** Bytes that can't be read. */
  static malformed(what: string): NetlinkError {
    return new NetlinkError('EBADMSG', 74, what)
  }
}

/** Why a transaction came to nothing. Its own code and message are those of the first message at fault. */
export class TransactionError extends NetlinkError {
  override name = 'TransactionError'
  /** Every message at fault, by `index`; one without an index is about the whole. */
  readonly failures: readonly NetlinkError[]

  constructor(first: NetlinkError, failures: readonly NetlinkError[]) {
    super(first.code, first.errno, first.message, first)
    this.failures = failures
  }
}
