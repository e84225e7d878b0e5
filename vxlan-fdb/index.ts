export { addressIn, type Conflict, statedRank } from './claims.ts'
export {
  type Endpoint,
  endpointOf,
  type Host,
  readEndpoint,
  readHost,
  writeEndpoint,
  writeHost,
} from './endpoint.ts'
export { type Forwarding, forwarding, forwardingOf, touchedBy } from './forwarding.ts'
export { ed25519, firstSight, makeKey, originOf, type Signer, selfCertified } from './keys.ts'
export { datagramLimit, Malformed, streamLimit } from './message.ts'
export { mayBeLost, orderOf } from './orders.ts'
export type { Output, Outputs } from './outputs.ts'
export { type Change, type Entry, kinds, type Row } from './record.ts'
export { digest } from './repair.ts'
export { type Input, nextEpoch, step, wakeAt } from './step.ts'
export { type Known, type Settings, Table, usual } from './table.ts'
