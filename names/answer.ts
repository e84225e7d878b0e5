import { isIPv4, isIPv6 } from 'node:net'
import {
  type Answer,
  AUTHORITATIVE_ANSWER,
  decode,
  encode,
  type Packet,
  RECURSION_AVAILABLE,
} from 'dns-packet'
import type { Directory } from './directory.ts'

/** Seconds that an answer may be kept: containers come and go. */
const TTL = 1
/** Bytes of an answer in a datagram (RFC 1035, 2.3.4); a longer one is asked for again by TCP. */
const DATAGRAM = 512

export type Question = { id: number; flags: number; name: string; type: string }

/** Undefined for what isn't one question, as it is sent everywhere (RFC 1035, 4.1). */
export function readQuestion(bytes: Buffer): Question | undefined {
  try {
    const { id = 0, flags = 0, type, questions = [] } = decode(bytes)
    const [question] = questions
    if (type !== 'query' || questions.length !== 1 || !question || question.class !== 'IN') return undefined
    return { id, flags, name: question.name, type: question.type }
  } catch {
    return undefined
  }
}

/**
 * The answer from the directory: addresses in a random order for A and AAAA, a name for PTR, an empty answer where the name is known and
 * has nothing of that type. Undefined when it isn't ours to answer.
 *
 * @param most bytes that it may have; a longer one is cut and says so.
 */
export function answer(
  directory: Directory,
  network: string,
  question: Question,
  random: () => number,
  most = DATAGRAM,
): Buffer | undefined {
  const answers =
    question.type === 'PTR'
      ? pointer(directory, network, question)
      : addresses(directory, network, question, random)
  if (!answers) return undefined
  const whole = reply(question, answers)
  if (whole.length <= most) return whole
  return reply(question, [], TRUNCATED)
}

function addresses(
  directory: Directory,
  network: string,
  { name, type }: Question,
  random: () => number,
): Answer[] | undefined {
  const found = directory.addresses(network, name)
  if (!found) return undefined
  const fits = type === 'A' ? isIPv4 : type === 'AAAA' ? isIPv6 : () => false
  return shuffled(found.filter(fits), random).map(data => ({
    type: type as 'A' | 'AAAA',
    name,
    ttl: TTL,
    data,
  }))
}

function pointer(directory: Directory, network: string, { name }: Question): Answer[] | undefined {
  const address = addressOf(name)
  const data = address && directory.nameOf(network, address)
  return data ? [{ type: 'PTR', name, ttl: TTL, data }] : undefined
}

/** The address that a name below in-addr.arpa (RFC 1035, 3.5) or ip6.arpa (RFC 3596, 2.5) stands for. */
function addressOf(name: string): string | undefined {
  const [, digits = '', family] = /^(.*)\.(in-addr|ip6)\.arpa\.?$/i.exec(name) ?? []
  const parts = digits.split('.').reverse()
  if (family?.toLowerCase() === 'in-addr') return isIPv4(parts.join('.')) ? parts.join('.') : undefined
  if (parts.length !== 32 || !parts.every(each => /^[0-9a-f]$/i.test(each))) return undefined
  const groups = parts.join('').match(/.{4}/g) ?? []
  return compressed(groups.join(':'))
}

/** As `inet_ntop` writes it (RFC 5952), by the URL parser. */
const compressed = (address: string) => new URL(`http://[${address}]`).hostname.slice(1, -1)

const TRUNCATED = 0x0200
const RECURSION_DESIRED = 0x0100

function reply({ id, flags, name, type }: Question, answers: Answer[], more = 0): Buffer {
  const packet = {
    type: 'response',
    id,
    flags: (flags & RECURSION_DESIRED) | AUTHORITATIVE_ANSWER | RECURSION_AVAILABLE | more,
    questions: [{ type, name, class: 'IN' }],
    answers,
  }
  return encode(packet as Packet)
}

/** Fisher and Yates. */
function shuffled<T>(list: readonly T[], random: () => number): T[] {
  const all = [...list]
  for (let last = all.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1))
    ;[all[last], all[other]] = [all[other] as T, all[last] as T]
  }
  return all
}
