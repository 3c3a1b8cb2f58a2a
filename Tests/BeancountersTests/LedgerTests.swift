import Beancounters
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
}

/// SplitMix64: small, and the same on every machine.
private struct Random: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}

/// Members that take, spend, drop, die; a server that grants, recalls, recounts. Each step is a number, so that a failing
/// run shrinks to the fewest steps that still fail.
private struct World: ~Copyable {
  var ledger: Ledger
  var slots: [Ledger.Slot] = []
  var credit: [Ledger.Slot: Int64] = [:]
  var truth: [Ledger.Slot: Int64] = [:]
  var refusals: Int64 = 0

  init(barrier: Int64) {
    ledger = Ledger(bounds: [.numfile: Bounds(barrier: barrier, limit: barrier)])
    join()
  }

  mutating func join() {
    let slot = ledger.join()
    slots.append(slot)
    credit[slot] = 0
    truth[slot] = 0
  }

  mutating func recallAll() {
    for slot in slots {
      ledger.giveBack(slot, .numfile, credit[slot]!)
      credit[slot] = 0
    }
  }

  /// Design §4: batch, exactly n, recall all, recount, deny.
  mutating func charge(_ slot: Ledger.Slot, _ n: Int64, _ batch: Int64) -> String? {
    if credit[slot]! < n {
      var got = ledger.grant(slot, .numfile, least: n, want: n + batch, severity: .hard)
      if got == nil {
        recallAll()
        got = ledger.grant(slot, .numfile, least: n, want: n, severity: .hard)
      }
      if got == nil {
        for one in slots { ledger.set(one, .numfile, to: truth[one]!) }
        got = ledger.grant(slot, .numfile, least: n, want: n, severity: .hard)
      }
      guard let got else {
        ledger.refuse(.numfile)
        refusals += 1
        let held = slots.reduce(0) { $0 + truth[$1]! }
        return held + n <= ledger[.numfile].bounds.barrier ? "false denial: \(held) + \(n) fits" : nil
      }
      credit[slot]! += got
    }
    credit[slot]! -= n
    truth[slot]! += n
    return nil
  }

  /// nil, or which law it broke.
  mutating func step(_ word: UInt64) -> String? {
    let slot = slots[Int(word >> 8 & 0xff) % slots.count]
    let n = Int64(word >> 16 & 7) + 1
    switch word & 15 {
    case 0...6:
      if let broken = charge(slot, n, Int64(word >> 24 & 31)) { return broken }
    case 7...9:  // sure release: the unit becomes credit
      let m = min(n, truth[slot]!)
      truth[slot]! -= m
      credit[slot]! += m
    case 10:  // a release nobody saw: the estimate stays above the truth
      truth[slot]! -= min(n, truth[slot]!)
    case 11: recallAll()
    case 12 where slots.count < 12: join()
    case 13 where slots.count > 1:
      ledger.leave(slot)
      slots.removeAll { $0 == slot }
    case 14:
      let barrier = Int64(word >> 24 & 63)
      ledger.setBounds(Bounds(barrier: barrier, limit: barrier), of: .numfile)
    case 15: ledger.observe(.numfile, held: slots.reduce(0) { $0 + truth[$1]! })
    default: break
    }
    let sum = slots.reduce(Int64(0)) { $0 + ledger.granted($1, .numfile) }
    if sum != ledger[.numfile].granted { return "lost units: \(sum) ≠ \(ledger[.numfile].granted)" }
    for one in slots where truth[one]! > ledger.granted(one, .numfile) - credit[one]! {
      return "the estimate lies low: \(truth[one]!) > \(ledger.granted(one, .numfile)) − \(credit[one]!)"
    }
    if ledger[.numfile].failcnt != refusals { return "failcnt \(ledger[.numfile].failcnt) ≠ \(refusals)" }
    return nil
  }

  static func broken(_ words: [UInt64]) -> String? {
    var world = World(barrier: 40)
    for word in words {
      let before = world.ledger[.numfile]
      if let law = world.step(word) { return law }
      let after = world.ledger[.numfile]
      // Σ granted grows only within the bound (no FORCE here).
      if after.granted > before.granted, after.granted > after.bounds.barrier {
        return "granted \(after.granted) above the barrier \(after.bounds.barrier)"
      }
    }
    return nil
  }
}

@Suite struct LedgerLaws {
  /// A million steps in 500 runs.
  @Test(arguments: 0..<50) func holdInEveryInterleaving(batch: Int) {
    for seed in 0..<10 {
      var random = Random(state: UInt64(batch * 10 + seed))
      let words = (0..<2000).map { _ in random.next() }
      guard World.broken(words) != nil else { continue }
      let least = shrink(words)
      Issue.record("seed \(batch * 10 + seed): \(World.broken(least)!) after \(least.count) steps: \(least)")
    }
  }

  private func shrink(_ words: [UInt64]) -> [UInt64] {
    var words = words
    var chunk = words.count / 2
    while chunk > 0 {
      var at = 0
      while at < words.count {
        let shorter = Array(words[..<at] + words[min(at + chunk, words.count)...])
        if World.broken(shorter) != nil { words = shorter } else { at += chunk }
      }
      chunk /= 2
    }
    return words
  }
}
