import { memoryStore } from '../../store/memory.ts'
import { storeContract } from './contract.ts'

describe('store in memory', () => storeContract(memoryStore))
