import { liveBed, obstacle } from './bed.ts'
import { suite } from './contract.ts'
import { lanSuite } from './lancontract.ts'

const reason = obstacle()
if (reason) it.skip(reason)
else {
  suite('linux', liveBed)
  lanSuite('linux', liveBed)
}
