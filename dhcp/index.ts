export { Agent, type Happening, type Line, type Options } from './agent.ts'
export { filter } from './frame.ts'
export type { Client, Lease } from './state.ts'
