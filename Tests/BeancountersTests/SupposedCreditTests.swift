import Beancounters
import TestSupport
import Testing

/// One row of one beancounter with its members, in one of its modes.
private struct OneRow: ~Copyable {
  var ledger = Ledger(bounds: [.numfile: Bounds(barrier: barrier, limit: barrier)])
  var slots: [Ledger.Slot] = []
  /// In fast mode credit; in slow mode what has been released and not collected.
  var cells: [Int64]
  static let barrier: Int64 = 40
  static let batch: Int64 = 8

  init(members: Int) {
    cells = Array(repeating: 0, count: members)
    for _ in 0..<members { slots.append(ledger.join()) }
  }

  mutating func recall(_ i: Int) {
    ledger.giveBack(slots[i], .numfile, cells[i])
    cells[i] = 0
  }

  /// Whether it was granted, and how.
  mutating func chargeFast(_ i: Int, _ n: Int64) -> (Bool, SupposedCredit.Way) {
    if cells[i] >= n {
      cells[i] -= n
      return (true, .credit)
    }
    var way = SupposedCredit.Way.question
    if ledger.room(.numfile, .hard) < n - cells[i] {
      way = .recall
      for k in cells.indices { recall(k) }
    }
    let lacking = n - cells[i]
    let batch = way == .recall ? 0 : OneRow.batch
    guard
      let amount = ledger.grant(
        slots[i], .numfile, least: lacking, want: lacking + batch, severity: .hard)
    else { return (false, way) }
    cells[i] += amount - n
    return (true, way)
  }

  mutating func chargeSlow(_ i: Int, _ n: Int64, _ supposed: inout SupposedCredit) -> (
    Bool, SupposedCredit.Way
  ) {
    let way = supposed.charge(
      Int32(i), n, released: cells[i], room: ledger.room(.numfile, .hard), batch: OneRow.batch,
      members: ledger.members)
    recall(i)
    if ledger.room(.numfile, .hard) < n { for k in cells.indices { recall(k) } }
    return (
      ledger.grant(slots[i], .numfile, least: n, want: n, severity: .hard) != nil, way
    )
  }
}

@Suite struct SupposedCreditTests {
  /// What one member's charges would cost in fast is known to each.
  @Test(arguments: 0..<50) func isWhatFastWouldDo(seed: UInt64) {
    var random = Seeded(state: seed)
    var fast = OneRow(members: 1), slow = OneRow(members: 1)
    var supposed = SupposedCredit()
    var held: Int64 = 0
    for step in 0..<2000 {
      if held > 0, random.below(2) == 0 {
        let n = 1 + Int64(random.below(UInt64(held)))
        fast.cells[0] += n
        slow.cells[0] += n
        held -= n
      } else {
        let n = 1 + Int64(random.below(3))
        let one = fast.chargeFast(0, n), other = slow.chargeSlow(0, n, &supposed)
        #expect(one == other, "seed \(seed), step \(step)")
        if one.0 { held += n }
      }
    }
  }

  /// Of several, what the others have released is not known before they ask: some recalls are
  /// supposed that would not have been, or not yet. Who is refused is the same.
  @Test(arguments: 0..<20) func ofSeveralIsNearIt(seed: UInt64) {
    var random = Seeded(state: seed)
    let members = 4
    var fast = OneRow(members: members), slow = OneRow(members: members)
    var supposed = SupposedCredit()
    var held = [Int64](repeating: 0, count: members)
    var questions = (fast: 0, supposed: 0)
    for step in 0..<5000 {
      let i = Int(random.below(UInt64(members)))
      if held[i] > 0, random.below(2) == 0 {
        fast.cells[i] += 1
        slow.cells[i] += 1
        held[i] -= 1
      } else {
        let one = fast.chargeFast(i, 1), other = slow.chargeSlow(i, 1, &supposed)
        #expect(one.0 == other.0, "seed \(seed), step \(step)")
        if one.0 { held[i] += 1 }
        questions.fast += one.1 == .credit ? 0 : 1
        questions.supposed += other.1 == .credit ? 0 : 1
      }
    }
    #expect(
      (questions.fast * 2 / 3...questions.fast * 3 / 2).contains(questions.supposed),
      "\(questions)")
  }
}
