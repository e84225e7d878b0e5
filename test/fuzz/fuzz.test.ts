import { round, targets } from './run.ts'

/** A few rounds, the same ones each time; `make fuzz MINUTES=60` does others for as long as it is told to. */
const ROUNDS = 3

for (const target of targets())
  describe(`fuzz of ${target.name}`, function () {
    this.timeout(120_000)
    after(() => target.close?.())

    it(`survives ${ROUNDS} rounds`, async () => {
      for (let number = 1; number <= ROUNDS; number++) await round(target, number)
    })
  })
