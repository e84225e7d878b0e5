import { lan } from './lan.ts'
import { macvlanOptions } from './lan-options.ts'

/** Containers are machines of the LAN behind a link of the host: each has a MAC of its own there. */
export const macvlan = lan('macvlan', macvlanOptions)
