import { ip } from '../address.ts'
import { attribute, attributes } from '../attributes.ts'
import { be64, text, u8, u16, u32 } from '../codec.ts'
import { body, command, type Dump, dump, NLM_F, type Request } from '../message.ts'
import { struct } from '../struct.ts'
import { RTM } from './types.ts'

/** `action` of a rule (linux/fib_rules.h). */
export const FR_ACT = { TO_TBL: 1, GOTO: 2, NOP: 3, BLACKHOLE: 6, UNREACHABLE: 7, PROHIBIT: 8 } as const
/** FIB_RULE_INVERT: everything but what the rule says. */
export const FIB_RULE_INVERT = 2

/** struct fib_rule_hdr. */
export const ruleHeader = {
  family: u8,
  dstLength: u8,
  srcLength: u8,
  tos: u8,
  shortTable: u8,
  _res1: u8,
  _res2: u8,
  action: u8,
  flags: u32,
}

/** First and last, both included. */
const uids = struct({ start: u32, end: u32 })
const ports = struct({ start: u16, end: u16 })

export const policySet = attributes({
  dst: attribute(1, 'FRA_DST', ip),
  src: attribute(2, 'FRA_SRC', ip),
  iifname: attribute(3, 'FRA_IIFNAME', text),
  goto: attribute(4, 'FRA_GOTO', u32),
  priority: attribute(6, 'FRA_PRIORITY', u32),
  fwmark: attribute(10, 'FRA_FWMARK', u32),
  flow: attribute(11, 'FRA_FLOW', u32),
  tunId: attribute(12, 'FRA_TUN_ID', be64),
  suppressIfgroup: attribute(13, 'FRA_SUPPRESS_IFGROUP', u32),
  suppressPrefixlen: attribute(14, 'FRA_SUPPRESS_PREFIXLEN', u32),
  table: attribute(15, 'FRA_TABLE', u32),
  fwmask: attribute(16, 'FRA_FWMASK', u32),
  oifname: attribute(17, 'FRA_OIFNAME', text),
  l3mdev: attribute(19, 'FRA_L3MDEV', u8),
  uidRange: attribute(20, 'FRA_UID_RANGE', uids),
  protocol: attribute(21, 'FRA_PROTOCOL', u8),
  ipProto: attribute(22, 'FRA_IP_PROTO', u8),
  sportRange: attribute(23, 'FRA_SPORT_RANGE', ports),
  dportRange: attribute(24, 'FRA_DPORT_RANGE', ports),
})

export const policyBody = body(ruleHeader, policySet)
export type Policy = ReturnType<typeof policyBody.read>
type Wire = Parameters<typeof policyBody.write>[1]

/** A rule of the routing policy: what matches goes to `table`, or meets `action`. `from` and `to` in CIDR form. */
export type PolicySpec = { family: number; from?: string; to?: string } & Omit<
  Wire,
  'src' | 'dst' | 'srcLength' | 'dstLength'
>

function cidr(address: string | undefined, family: number): [string | undefined, number] {
  if (!address) return [undefined, 0]
  const [start, length] = address.split('/')
  return [start, Number(length ?? (family === 10 ? 128 : 32))]
}

function spec({ from, to, ...rest }: PolicySpec): Wire {
  const [src, srcLength] = cidr(from, rest.family)
  const [dst, dstLength] = cidr(to, rest.family)
  return { action: FR_ACT.TO_TBL, srcLength, dstLength, ...(src && { src }), ...(dst && { dst }), ...rest }
}

/** `ip rule add`. EEXIST when the very same rule is there. */
export const newPolicy = (rule: PolicySpec): Request<undefined> =>
  command(RTM.NEWRULE, NLM_F.CREATE | NLM_F.EXCL, policyBody, spec(rule))

/** `ip rule del`: the first rule that has all that is given. ENOENT when there is none. */
export const delPolicy = (rule: PolicySpec): Request<undefined> =>
  command(RTM.DELRULE, 0, policyBody, spec(rule))

/** `ip rule show`. */
export const dumpPolicies = (filter: { family?: number } = {}): Dump<Policy> =>
  dump(RTM.GETRULE, policyBody, filter, policyBody)
