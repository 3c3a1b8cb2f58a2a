import Beancounters
import TestSupport
import Testing

private struct Charge {
  var fits: Bool
  var work: UInt64
}

/// The best that anybody could have done who knew all charges: by dynamic programming over the two
/// modes.
private func hindsight(_ charges: [Charge], _ prices: Switch.Prices) -> UInt64 {
  let never = UInt64.max / 4
  var fast: UInt64 = 0
  var slow = prices.toSlow
  for charge in charges {
    let served = (charge.fits ? fast : never, slow + charge.work)
    fast = min(served.0, served.1 + prices.toFast)
    slow = min(served.1, served.0 + prices.toSlow)
  }
  return min(fast, slow)
}

private func online(_ charges: [Charge], _ prices: Switch.Prices) -> Switch {
  var it = Switch(prices: prices)
  for charge in charges {
    if it.serve(fits: charge.fits, expecting: charge.work) == .slow { it.paid(charge.work) }
  }
  return it
}

@Suite struct SwitchRule {
  private let prices = Switch.Prices(toSlow: 60, toFast: 40)

  @Test func whatFitsCostsNothing() {
    let it = online(Array(repeating: Charge(fits: true, work: 5), count: 1000), prices)
    #expect(it.mode == .fast)
    #expect(it.toSlow == 0)
    #expect(it.work == 0)
  }

  @Test func theWayBackIsTakenOnceItsPriceHasBeenPaid() {
    var it = Switch(prices: prices)
    let first = it.serve(fits: false, expecting: 10)
    #expect(first == .slow)
    it.paid(10)
    for i in 1...10 {
      let mode = it.serve(fits: true, expecting: 10)
      #expect(mode == .slow, "\(i)")
      it.paid(10)
    }
    let last = it.serve(fits: true, expecting: 10)
    #expect(last == .fast)
    #expect(it.toSlow == 1)
    #expect(it.toFast == 1)
    #expect(it.switchCost == 100)
    #expect(it.work == 110)
  }

  @Test func aNeedStartsTheCountAgain() {
    var charges: [Charge] = []
    for _ in 0..<50 {
      charges.append(Charge(fits: false, work: 10))
      charges += Array(repeating: Charge(fits: true, work: 10), count: 10)
    }
    #expect(online(charges, prices).toFast == 0)
  }
}

@Suite struct SwitchLaw {
  private func check(_ charges: [Charge], _ prices: Switch.Prices, _ what: String) -> UInt64 {
    let it = online(charges, prices)
    let best = hindsight(charges, prices)
    let cost = it.work + it.switchCost
    #expect(cost <= 2 * best, "\(what): \(cost) for what hindsight does for \(best)")
    #expect(cost >= best, "\(what): cheaper than the best: the dynamic programme is wrong")
    return best == 0 ? 0 : cost * 1000 / best
  }

  @Test(arguments: 0..<40) func neverMoreThanTwiceHindsight(batch: Int) {
    for seed in 0..<50 {
      var random = Seeded(state: UInt64(batch * 50 + seed))
      let prices = Switch.Prices(toSlow: random.below(300), toFast: random.below(300))
      let dearest = 1 + random.below([5, 50, 1000][seed % 3])
      let needs = 1 + random.below(60)
      let charges = (0..<1000).map { _ in
        Charge(fits: random.below(needs) != 0, work: random.below(dearest))
      }
      _ = check(charges, prices, "seed \(batch * 50 + seed)")
    }
  }

  /// Who knows the rule needs exactness right after it was given up: nobody can do worse to it.
  @Test func anAdversaryGetsNearTwiceAndNotBeyond() {
    var worst: UInt64 = 0
    for step in [UInt64(1), 3, 7, 10, 50, 99, 100, 101] {
      let prices = Switch.Prices(toSlow: 50, toFast: 50)
      var it = Switch(prices: prices)
      var charges: [Charge] = []
      for _ in 0..<5000 {
        let charge = Charge(fits: it.mode == .slow, work: it.mode == .slow ? step : 0)
        charges.append(charge)
        if it.serve(fits: charge.fits, expecting: charge.work) == .slow { it.paid(charge.work) }
      }
      worst = max(worst, check(charges, prices, "steps of \(step)"))
    }
    #expect(worst > 1900)
  }
}
