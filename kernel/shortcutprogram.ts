/**
 * The program that sees every frame that a container sends or a tunnel brings, in the kernel's own instructions
 * (Documentation/bpf/standardization): some eighty, written down by hand, so that neither building nor running tsnet needs a compiler.
 */

/** What an entry of the map says of a link besides its number: a tunnel, that isn't a container's. */
export const TUNNEL = 1 << 30
/** A container that has sent another one something: the program itself says so. */
export const AWAKE = 1 << 29
/** The bits of a link's number. */
export const NUMBER = AWAKE - 1

/** Offsets in struct __sk_buff (linux/bpf.h). */
const SKB = { protocol: 16, vlanPresent: 20, ifindex: 40, data: 76, dataEnd: 80 }
/** Helpers (enum bpf_func_id, linux/bpf.h). */
const HELPER = { mapLookupElem: 1, redirect: 23, skbChangeType: 32, redirectPeer: 155 }
/** Go on as if there were no filter (linux/pkt_cls.h). */
const TC_ACT_UNSPEC = -1
/** linux/if_packet.h */
const PACKET_HOST = 0
const ETHERNET_HEADER = 14
const [DESTINATION, SOURCE] = [0, 6]
/** ETH_P_IP and ETH_P_IPV6 as a program reads them: in network order, on a little-endian machine. */
const IPV4 = 0x0008
const IPV6 = 0xdd86
/** BPF_PSEUDO_MAP_FD: the value of a wide load is a map's descriptor. */
const MAP_FD = 1

/** One struct bpf_insn; with `pass` it is a jump to the end that lets the frame pass. */
type Instruction = {
  code: number
  to?: number
  from?: number
  offset?: number
  value?: number
  pass?: true
}

const move = (to: number, from: number): Instruction => ({ code: 0xbf, to, from })
const put = (to: number, value: number): Instruction => ({ code: 0xb7, to, value })
const add = (to: number, value: number): Instruction => ({ code: 0x07, to, value })
const load4 = (to: number, from: number, offset: number): Instruction => ({ code: 0x61, to, from, offset })
const load2 = (to: number, from: number, offset: number): Instruction => ({ code: 0x69, to, from, offset })
const store4 = (to: number, offset: number, from: number): Instruction => ({ code: 0x63, to, from, offset })
const store2 = (to: number, offset: number, from: number): Instruction => ({ code: 0x6b, to, from, offset })
const storeValue = (to: number, offset: number, value: number): Instruction => ({
  code: 0x62,
  to,
  offset,
  value,
})
/** A wide load takes the room of two instructions. */
const loadMap = (to: number, fd: number): Instruction[] => [
  { code: 0x18, to, from: MAP_FD, value: fd },
  { code: 0 },
]
const call = (helper: number): Instruction => ({ code: 0x85, value: helper })
const exit: Instruction = { code: 0x95 }
const and = (to: number, value: number): Instruction => ({ code: 0x57, to, value })
const or = (to: number, value: number): Instruction => ({ code: 0x47, to, value })
const passAlways: Instruction = { code: 0x05, pass: true }
const skipIfEqual = (to: number, value: number): Instruction => ({ code: 0x15, to, value, offset: 1 })
const skipIfSet = (to: number, value: number, skipped: readonly Instruction[]): Instruction => ({
  code: 0x45,
  to,
  value,
  offset: skipped.length,
})
const passIf = {
  set: (to: number, value: number): Instruction => ({ code: 0x45, to, value, pass: true }),
  equal: (to: number, value: number): Instruction => ({ code: 0x15, to, value, pass: true }),
  unequal: (to: number, value: number): Instruction => ({ code: 0x55, to, value, pass: true }),
  same: (to: number, from: number): Instruction => ({ code: 0x1d, to, from, pass: true }),
  other: (to: number, from: number): Instruction => ({ code: 0x5d, to, from, pass: true }),
  above: (to: number, from: number): Instruction => ({ code: 0x2d, to, from, pass: true }),
}

/** Arguments of a call are in r1, r2, …, its answer is in r0; the others survive it. */
const [r0, r1, r2, r3, frame, target, source, data, stack] = [0, 1, 2, 3, 6, 7, 8, 9, 10]
const KEY = -12

/** Tagged frames, ARP and whatever else isn't IP are the bridge's: it learns who is where from them. */
const onlyIp: Instruction[] = [
  load4(r0, frame, SKB.vlanPresent),
  passIf.unequal(r0, 0),
  load4(r0, frame, SKB.protocol),
  skipIfEqual(r0, IPV4),
  passIf.unequal(r0, IPV6),
]

const wholeHeader: Instruction[] = [
  load4(data, frame, SKB.data),
  load4(r3, frame, SKB.dataEnd),
  move(r2, data),
  add(r2, ETHERNET_HEADER),
  passIf.above(r2, r3),
]

/** Who isn't in the map is reached by way of the bridge. The key: the number of the bridge, which no frame can choose, and a MAC. */
const lookUp = (map: number, bridge: number, mac: number): Instruction[] => [
  storeValue(stack, KEY, bridge),
  // Frames begin two bytes behind a word (NET_IP_ALIGN): where the verifier is strict, four at once would be refused.
  load2(r1, data, mac),
  store2(stack, KEY + 4, r1),
  load2(r1, data, mac + 2),
  store2(stack, KEY + 6, r1),
  load2(r1, data, mac + 4),
  store4(stack, KEY + 8, r1),
  ...loadMap(r1, map),
  move(r2, stack),
  add(r2, KEY),
  call(HELPER.mapLookupElem),
  passIf.equal(r0, 0),
]

/**
 * The sender has to be where the map knows it, as a locked port of a bridge demands (br_handle_frame_finish): nobody sends in
 * another's name. A frame that goes back to where it came from is the bridge's, which knows to refuse it.
 */
const comesFromIts: Instruction[] = [
  load4(source, r0, 0),
  load4(r2, frame, SKB.ifindex),
  move(r1, source),
  and(r1, NUMBER),
  passIf.other(r2, r1),
  move(r1, target),
  and(r1, NUMBER),
  passIf.same(r2, r1),
]

const wake: Instruction[] = [move(r1, source), or(r1, AWAKE), store4(r0, 0, r1)]

/**
 * A container that has sent nobody anything yet is reached by way of the bridge, which lets nobody in before its port forwards: by the
 * shortcut it would be asked earlier, and ask in vain for the asker's MAC, which Linux does again after a second.
 */
const onlyAwake: Instruction[] = [
  skipIfSet(source, AWAKE | TUNNEL, wake),
  ...wake,
  skipIfSet(target, AWAKE | TUNNEL, [passAlways]),
  passAlways,
]

/** The host's end took the frame for somebody else's (PACKET_OTHERHOST), which the container's IP would drop. */
const toContainer: Instruction[] = [
  move(r1, frame),
  put(r2, PACKET_HOST),
  call(HELPER.skbChangeType),
  move(r1, target),
  and(r1, NUMBER),
  put(r2, 0),
  call(HELPER.redirectPeer),
  exit,
]

/** What came by a tunnel never leaves by one: each host sends to each other host itself. */
const toTunnel: Instruction[] = [
  passIf.set(source, TUNNEL),
  move(r1, target),
  and(r1, NUMBER),
  put(r2, 0),
  call(HELPER.redirect),
  exit,
]

const pass: Instruction[] = [put(r0, TC_ACT_UNSPEC), exit]

/** The program of one bridge. `map` is the descriptor of the map that it looks into. */
export function shortcutProgram(bridge: number, map: number): Buffer {
  return assemble([
    move(frame, r1),
    ...onlyIp,
    ...wholeHeader,
    ...lookUp(map, bridge, DESTINATION),
    load4(target, r0, 0),
    ...lookUp(map, bridge, SOURCE),
    ...comesFromIts,
    ...onlyAwake,
    skipIfSet(target, TUNNEL, toContainer),
    ...toContainer,
    ...toTunnel,
    ...pass,
  ])
}

/** struct bpf_insn: code, two registers in one byte, distance of a jump or offset in memory, value. */
function assemble(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8)
  const end = program.length - pass.length
  for (const [i, { code, to = 0, from = 0, offset = 0, value = 0, ...jump }] of program.entries()) {
    bytes.writeUInt8(code, i * 8)
    bytes.writeUInt8(to | (from << 4), i * 8 + 1)
    bytes.writeInt16LE(jump.pass ? end - i - 1 : offset, i * 8 + 2)
    bytes.writeInt32LE(value, i * 8 + 4)
  }
  return bytes
}
