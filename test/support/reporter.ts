import Mocha from 'mocha'

/** Mocha's own report, closed by the one line that scripts read. */
export default class Reporter extends Mocha.reporters.Spec {
  constructor(runner: Mocha.Runner, options: Mocha.MochaOptions) {
    super(runner, options)
    runner.once('end', () => {
      const { passes, failures, pending } = this.stats
      const skipped = pending > 0 ? `, ${pending} skipped` : ''
      console.log(`${passes} passed, ${failures} failed${skipped}`)
    })
  }
}
