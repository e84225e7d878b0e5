import {
  type Element,
  type Expression,
  expression,
  NFPROTO,
  NFT_CMP,
  NFT_NAT,
  NFT_REG,
  VERDICT,
} from '@tsnet/netlink'
import type { FieldType } from '../core/rows.ts'
import { encodeFields, WIDTH } from './fields.ts'
import { type Need, SELECTORS, type Selector } from './selectors.ts'

/**
 * Rules from nft's words to the kernel's expressions, as far as our rules have such words. Program nft is never asked: it reads the tables of
 * everybody before it writes one, and dies of sets that a newer nft made (1.0.6, Debian 12's, of those of 1.1.3), ours as well as others'.
 */

type Verdict = NonNullable<NonNullable<Element['data']>['verdict']>

const VERDICTS: Record<string, number> = {
  accept: VERDICT.ACCEPT,
  drop: VERDICT.DROP,
  return: VERDICT.RETURN,
}
const REGISTER = 4
const registers = (size: number) => Math.ceil(size / REGISTER)

/**
 * Reads a rule from left to right; all packets of its table are known to be `known`.
 * @throws Error that names the word which isn't understood
 */
export function compile(rule: string, ...known: Need[]): Expression[] {
  return new Compiler(rule, known).run()
}

const verdict = (value: Verdict): Expression =>
  expression('immediate', { dreg: NFT_REG.VERDICT, data: { verdict: value } })

class Compiler {
  readonly #words: string[]
  readonly #rule: string
  readonly #known: Set<string>
  readonly #done: Expression[] = []

  constructor(rule: string, known: readonly Need[]) {
    this.#rule = rule
    this.#known = new Set<string>(known)
    this.#words = rule.split(' ')
  }

  run(): Expression[] {
    while (this.#words.length > 0) this.#statement() || this.#match()
    return this.#done
  }

  #take(...words: string[]): boolean {
    if (!words.every((word, i) => this.#words[i] === word)) return false
    this.#words.splice(0, words.length)
    return true
  }

  #word(): string {
    return this.#words.shift() ?? this.#fail()
  }

  #fail(): never {
    throw new Error(`rule "${this.#rule}" is not understood at "${this.#words.slice(0, 3).join(' ')}"`)
  }

  #statement(): boolean {
    const [first = ''] = this.#words
    const code = VERDICTS[first]
    if (code !== undefined && this.#take(first)) this.#done.push(verdict({ code }))
    else if (this.#take('jump')) this.#done.push(verdict({ code: VERDICT.JUMP, chain: this.#word() }))
    else if (this.#take('notrack')) this.#done.push(expression('notrack', {}))
    else if (this.#take('masquerade')) this.#done.push(expression('masq', {}))
    else if (this.#take('dnat')) this.#nat(NFT_NAT.DNAT)
    else if (this.#take('snat')) this.#nat(NFT_NAT.SNAT)
    else return false
    return true
  }

  /** `dnat ip to SELECTORS map @SET`, to an address, and to a port where what is asked for has one. */
  #nat(type: number): void {
    const family = this.#take('ip', 'to')
      ? NFPROTO.IPV4
      : this.#take('ip6', 'to')
        ? NFPROTO.IPV6
        : this.#fail()
    const selectors = this.#selectors()
    if (!this.#take('map')) this.#fail()
    this.#lookup({ dreg: NFT_REG.FIRST })
    const length = family === NFPROTO.IPV4 ? WIDTH.ipv4_addr : WIDTH.ipv6_addr
    const port = selectors.some(each => each === 'th dport')
    const address = NFT_REG.FIRST
    this.#done.push(
      expression('nat', { type, family, address, ...(port && { port: address + registers(length) }) }),
    )
  }

  /** `iifname . oifname @same`, `oifname vmap @ingress4`, `ip saddr != @members4`, `ct state established,related`. */
  #match(): void {
    const [name = '', ...more] = this.#selectors()
    const isMap = this.#take('vmap')
    const not = this.#take('!=')
    if (isMap) this.#lookup({ dreg: NFT_REG.VERDICT })
    else if (more.length > 0 || this.#words[0]?.startsWith('@')) this.#lookup(not ? { flags: 1 } : {})
    else this.#value(name, not)
  }

  #value(name: string, not: boolean): void {
    const words = this.#word()
    this.#compare(SELECTORS[name] as Selector, words, not)
    if (!not) this.#known.add(`${name} ${words}`)
  }

  /** Loads what is asked for into registers, one after the other; answers its names. */
  #selectors(): string[] {
    const names: string[] = []
    let dreg: number = NFT_REG.FIRST
    const loads: Expression[] = []
    do {
      const name = [3, 2, 1].map(count => this.#words.slice(0, count).join(' ')).find(each => SELECTORS[each])
      const selector = name === undefined ? this.#fail() : (SELECTORS[name] as Selector)
      this.#words.splice(0, name?.split(' ').length)
      if (selector.needs) this.#need(selector.needs)
      loads.push(selector.load(dreg))
      dreg += registers(selector.bytes)
      names.push(name as string)
    } while (this.#take('.'))
    this.#done.push(...loads)
    return names
  }

  /** A packet that has no such header is none of the rule's. */
  #need(words: Need): void {
    if (this.#known.has(words)) return
    this.#known.add(words)
    this.#done.push(...compile(words))
  }

  #lookup(more: { dreg?: number; flags?: number }): void {
    const word = this.#word()
    if (!word.startsWith('@')) this.#fail()
    this.#done.push(expression('lookup', { set: word.slice(1), sreg: NFT_REG.FIRST, ...more }))
  }

  #compare(selector: Selector, words: string, not: boolean): void {
    const { mask, value } = operand(selector, words) ?? this.#fail()
    const sreg = NFT_REG.FIRST
    const bits = 'bits' in selector
    if (mask) {
      const [length, none] = [mask.length, Buffer.alloc(mask.length)]
      this.#done.push(
        expression('bitwise', { sreg, dreg: sreg, length, mask: { value: mask }, xor: { value: none } }),
      )
    }
    const op = bits !== not ? NFT_CMP.NEQ : NFT_CMP.EQ
    this.#done.push(expression('cmp', { sreg, op, data: { value } }))
  }
}

type Operand = { value: Buffer; mask?: Buffer }

function operand(selector: Selector, words: string): Operand | undefined {
  if ('type' in selector) return field(selector.type, words)
  const numbers = words.split(',').map(word => selector.names?.[word] ?? Number(word))
  if (numbers.some(Number.isNaN)) return undefined
  const value = Buffer.alloc(selector.bytes)
  value.writeUIntLE(
    numbers.reduce((all, each) => all | each, 0),
    0,
    selector.bytes,
  )
  return selector.bits ? { mask: value, value: Buffer.alloc(selector.bytes) } : { value }
}

/** A prefix is the address under a mask. */
function field(type: FieldType, words: string): Operand | undefined {
  const span = encodeFields([type], [words], true)
  if (!span) return undefined
  const value = Buffer.from(span.from)
  if (Buffer.compare(value, span.to) === 0) return { value }
  return { value, mask: value.map((byte, i) => 0xff & ~(byte ^ (span.to[i] as number))) as Buffer }
}
