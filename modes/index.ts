import type { Modes } from '../core/desired.ts'
import { bridge } from './bridge.ts'
import { ipvlan } from './ipvlan.ts'
import { macvlan } from './macvlan.ts'
import { nodes } from './nodes.ts'
import { overlay } from './overlay.ts'

/** What `-o mode=` may say. */
export const modes: Modes = { bridge, overlay, macvlan, ipvlan, nodes }
