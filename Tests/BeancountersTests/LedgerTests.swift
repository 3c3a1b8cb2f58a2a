import Beancounters
import TestSupport
import Testing

@Suite struct LedgerRules {
  @Test func reachingTheBoundIsAllowedAndPassingItIsNot() {
    var ledger = Ledger(bounds: [.numfile: Bounds(barrier: 3, limit: 5)])
    let slot = ledger.join()
    #expect(ledger.grant(slot, .numfile, least: 3, want: 3, severity: .hard) == 3)
    #expect(ledger.grant(slot, .numfile, least: 1, want: 1, severity: .hard) == nil)
    #expect(ledger.grant(slot, .numfile, least: 2, want: 2, severity: .soft) == 2)
    #expect(ledger.grant(slot, .numfile, least: 1, want: 1, severity: .soft) == nil)
    #expect(ledger.grant(slot, .numfile, least: 9, want: 9, severity: .force) == 9)
    #expect(ledger[.numfile].granted == 14)
  }

  @Test func hardLooksAtTheLimitTooWhenItIsBelowTheBarrier() {
    var ledger = Ledger(bounds: [.numproc: Bounds(barrier: 10, limit: 4)])
    let slot = ledger.join()
    #expect(ledger.grant(slot, .numproc, least: 5, want: 5, severity: .hard) == nil)
    #expect(ledger.grant(slot, .numproc, least: 4, want: 4, severity: .hard) == 4)
  }

  @Test func aBatchLeavesRoomForTheOthers() {
    var ledger = Ledger(bounds: [.numfile: Bounds(barrier: 100, limit: 100)])
    let slots = (0..<5).map { _ in ledger.join() }
    #expect(ledger.grant(slots[0], .numfile, least: 1, want: 64, severity: .hard) == 10)
    #expect(ledger[.numfile].granted == 10)
  }

  @Test func lowerBoundsKeepWhatIsHeldAndGiveNothingMore() {
    var ledger = Ledger()
    let slot = ledger.join()
    #expect(ledger.grant(slot, .numfile, least: 8, want: 8, severity: .hard) == 8)
    ledger.setBounds(Bounds(barrier: 4, limit: 4), of: .numfile)
    #expect(ledger.grant(slot, .numfile, least: 1, want: 1, severity: .hard) == nil)
    #expect(ledger.granted(slot, .numfile) == 8)
    ledger.giveBack(slot, .numfile, 5)
    #expect(ledger.grant(slot, .numfile, least: 1, want: 1, severity: .hard) == 1)
  }

  /// Amounts that somebody made up, where no bound refuses them.
  @Test func sumsHaveANumberStill() {
    var ledger = Ledger()
    let slot = ledger.join()
    for _ in 0..<4 {
      #expect(
        ledger.grant(slot, .numfile, least: 1 << 60, want: 1 << 60, severity: .hard) == 1 << 60)
    }
    #expect(ledger.grant(slot, .numfile, least: 1, want: 1, severity: .soft) == nil)
    ledger.giveBack(slot, .numfile, 1)
    #expect(ledger.grant(slot, .numfile, least: 1 << 60, want: 1 << 60, severity: .hard) == 1 << 60)
    #expect(ledger[.numfile].granted == 5 * (1 << 60) - 1)
  }
}

@Suite struct LedgerLaws {
  /// A million steps in 1000 runs; in every other one members write into their cells whatever they
  /// like.
  @Test(arguments: 0..<50) func holdInEveryInterleaving(batch: Int) {
    let broken = firstBroken(
      UInt64(batch * 20)..<UInt64(batch * 20 + 20), filter: "LedgerLaws",
      steps: { random in
        let honest = random.index(2) == 0
        return (0..<1000).map { _ in LedgerStep.random(&random, honest: honest) }
      }, law: LedgerWorld.broken)
    #expect(broken == nil, "\(broken?.description ?? "")")
  }
}
