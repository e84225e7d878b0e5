import { attribute, attributes } from './attributes.ts'
import { raw, text, u32 } from './codec.ts'
import { NetlinkError } from './error.ts'
import { HEADER, type Received } from './message.ts'

/** Types of messages that every netlink family shares (linux/netlink.h). */
export const NLMSG = { NOOP: 1, ERROR: 2, DONE: 3, OVERRUN: 4 } as const

/** NLM_F_CAPPED: the request isn't repeated; NLM_F_ACK_TLVS: attributes follow. */
const CAPPED = 0x100
const ACK_TLVS = 0x200

/** Extended acknowledgement (enum nlmsgerr_attrs). */
export const extendedAck = attributes({
  message: attribute(1, 'NLMSGERR_ATTR_MSG', text),
  offset: attribute(2, 'NLMSGERR_ATTR_OFFS', u32),
  cookie: attribute(3, 'NLMSGERR_ATTR_COOKIE', raw),
  policy: attribute(4, 'NLMSGERR_ATTR_POLICY', raw),
  missingType: attribute(5, 'NLMSGERR_ATTR_MISS_TYPE', u32),
  missingNest: attribute(6, 'NLMSGERR_ATTR_MISS_NEST', u32),
})

/** Where the attributes begin: after the errno and, in NLMSG_ERROR, the head of the request or all of it. */
function tail(message: Received): number {
  const { type, bytes, from, to } = message
  if (type === NLMSG.DONE) return from + 4
  if (from + 8 > to) return to
  const length = message.flags & CAPPED ? HEADER : bytes.readUInt32LE(from + 4)
  return length > to - from ? to : from + 4 + ((length + 3) & ~3)
}

/** The error in an NLMSG_ERROR or NLMSG_DONE, or undefined when it says that all went well. */
export function refusal(message: Received, step: string, index?: number): NetlinkError | undefined {
  const { bytes, from, to } = message
  if (from + 4 > to)
    return message.type === NLMSG.DONE ? undefined : NetlinkError.malformed('acknowledgement without errno')
  const errno = -bytes.readInt32LE(from)
  if (errno <= 0) return undefined
  const at = tail(message)
  const { message: words, offset } =
    message.flags & ACK_TLVS && at <= to ? extendedAck.read(bytes, at, to) : {}
  return NetlinkError.of(errno, step, words, { offset, index })
}
