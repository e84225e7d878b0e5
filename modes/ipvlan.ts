import { lan } from './lan.ts'
import { ipvlanOptions } from './lan-options.ts'

/** Containers have addresses of the LAN behind a link of the host and share its MAC; in layer 3 the host's side routes to them. */
export const ipvlan = lan('ipvlan', ipvlanOptions)
