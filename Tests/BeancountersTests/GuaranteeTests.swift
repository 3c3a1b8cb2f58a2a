import Beancounters
import Testing

@Suite struct GuaranteedMemory {
  private let bound = Bounds(barrier: 10, limit: 12)

  @Test func theBoundsOfMemoryRefuseNoneOfIt() {
    var ledger = Ledger(
      bounds: [.privvmpages: bound, .shmpages: bound, .vmguarpages: Bounds(barrier: 20)])
    let slot = ledger.join()
    #expect(ledger.grant(slot, .privvmpages, least: 20, want: 20, severity: .hard) == 20)
    for severity in [Severity.hard, .soft] {
      #expect(ledger.grant(slot, .privvmpages, least: 1, want: 1, severity: severity) == nil)
    }
    #expect(
      ledger.grant(slot, .shmpages, least: 11, want: 11, severity: .hard) == nil,
      "only privvmpages is guaranteed")
  }

  @Test func aGuaranteeBelowTheBarrierTakesNothingAway() {
    var ledger = Ledger(bounds: [.privvmpages: bound, .vmguarpages: Bounds(barrier: 5, limit: 5)])
    let slot = ledger.join()
    #expect(ledger.grant(slot, .privvmpages, least: 10, want: 10, severity: .hard) == 10)
    #expect(ledger.grant(slot, .privvmpages, least: 2, want: 2, severity: .soft) == 2)
    #expect(ledger.grant(slot, .privvmpages, least: 1, want: 1, severity: .soft) == nil)
  }

  @Test func noBarrierGuaranteesNothing() {
    for guarantee in [Bounds(), Bounds(limit: 20), Bounds(barrier: 0)] {
      let ledger = Ledger(bounds: [.privvmpages: bound, .vmguarpages: guarantee])
      #expect(ledger.ceiling(.privvmpages, .hard) == 10)
      #expect(ledger.ceiling(.privvmpages, .soft) == 12)
      #expect(ledger.ceiling(.privvmpages, .force) == Bounds.unlimited)
    }
  }

  @Test func itChangesWhileMembersHold() {
    var ledger = Ledger(bounds: [.privvmpages: bound])
    let slot = ledger.join()
    #expect(ledger.grant(slot, .privvmpages, least: 11, want: 11, severity: .hard) == nil)
    ledger.setBounds(Bounds(barrier: 15), of: .vmguarpages)
    #expect(ledger.grant(slot, .privvmpages, least: 15, want: 15, severity: .hard) == 15)
    ledger.setBounds(Bounds(), of: .vmguarpages)
    #expect(ledger.room(.privvmpages, .hard) == -5)
    #expect(ledger.room(.numfile, .hard) == Bounds.unlimited)
  }
}
