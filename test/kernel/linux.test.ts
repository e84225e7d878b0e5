import { liveBed, obstacle } from './bed.ts'
import { suite } from './contract/index.ts'
import { lanSuite } from './contract/lan.ts'

const reason = obstacle()
if (reason) it.skip(reason)
else {
  suite('linux', liveBed)
  lanSuite('linux', liveBed)
}
