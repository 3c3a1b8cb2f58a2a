import Beancounters
import TestSupport
import Testing

private struct Charge {
  var fast: UInt64
  var slow: UInt64
  static func needing(_ slow: UInt64) -> Charge { Charge(fast: .max, slow: slow) }
  static func fitting(_ slow: UInt64) -> Charge { Charge(fast: 0, slow: slow) }
}

/// The best that anybody could have done who knew all charges: by dynamic programming over the two
/// modes.
private func hindsight(_ charges: [Charge], _ prices: Switch.Prices) -> UInt64 {
  let never = UInt64.max / 4
  var fast: UInt64 = 0
  var slow = prices.toSlow
  for charge in charges {
    let served = (min(never, fast + min(charge.fast, never)), slow + charge.slow)
    fast = min(served.0, served.1 + prices.toFast)
    slow = min(served.1, served.0 + prices.toSlow)
  }
  return min(fast, slow)
}

/// A switch at work, and what it has cost.
private struct Online {
  var it: Switch
  var work: UInt64 = 0
  var cost: UInt64 { work + it.switchCost }

  init(_ prices: Switch.Prices) { it = Switch(prices: prices) }

  /// `asked`: what is paid already when slow turns to fast, for it was slow that was asked.
  mutating func serve(_ charge: Charge, asked: UInt64 = 0) {
    let wasSlow = it.mode == .slow
    switch it.serve(fast: charge.fast, slow: charge.slow) {
    case .slow: work += charge.slow
    case .fast: work += wasSlow ? max(asked, charge.fast) : charge.fast
    }
  }
}

private func online(_ charges: [Charge], _ prices: Switch.Prices) -> Online {
  var it = Online(prices)
  for charge in charges { it.serve(charge) }
  return it
}

@Suite struct SwitchRule {
  private let prices = Switch.Prices(toSlow: 60, toFast: 40)

  @Test func whatFitsCostsNothing() {
    let one = online(Array(repeating: .fitting(5), count: 1000), prices)
    #expect(one.it.mode == .fast)
    #expect(one.it.toSlow == 0)
    #expect(one.work == 0)
  }

  @Test func theWayBackIsTakenOnceItsPriceHasBeenPaid() {
    var one = Online(prices)
    one.serve(.needing(10))
    #expect(one.it.mode == .slow)
    for i in 1...10 {
      one.serve(.fitting(10))
      #expect(one.it.mode == .slow, "\(i)")
    }
    one.serve(.fitting(10))
    #expect(one.it.mode == .fast)
    #expect(one.it.toSlow == 1)
    #expect(one.it.toFast == 1)
    #expect(one.it.switchCost == 100)
    #expect(one.work == 110)
  }

  @Test func aNeedStartsTheCountAgain() {
    var charges: [Charge] = []
    for _ in 0..<50 {
      charges.append(.needing(10))
      charges += Array(repeating: .fitting(10), count: 10)
    }
    #expect(online(charges, prices).it.toFast == 0)
  }

  @Test func fastIsLeftOnceItHasLostThePriceOfTwoSwitches() {
    var one = Online(prices)
    for i in 1...10 {
      one.serve(Charge(fast: 30, slow: 20))
      #expect(one.it.mode == .fast, "\(i)")
    }
    one.serve(Charge(fast: 30, slow: 20))
    #expect(one.it.mode == .slow)
    #expect(one.work == 320)
  }

  @Test func whatFitsBetweenMakesUpForWhatDoesNot() {
    var charges: [Charge] = []
    for _ in 0..<1000 { charges += [Charge(fast: 50, slow: 35), .fitting(20)] }
    #expect(online(charges, prices).it.toSlow == 0)
  }

  @Test func slowIsTriedTheLaterTheMoreItLostLast() {
    var one = Online(prices)
    one.serve(.needing(0))
    one.serve(.fitting(500))
    #expect(one.it.mode == .fast)
    for i in 1...60 {
      one.serve(Charge(fast: 30, slow: 20))
      #expect(one.it.mode == .fast, "\(i)")
    }
    one.serve(Charge(fast: 30, slow: 20))
    #expect(one.it.mode == .slow)
  }
}

@Suite struct SwitchLaw {
  private func check(_ charges: [Charge], _ prices: Switch.Prices, _ what: String) -> UInt64 {
    let cost = online(charges, prices).cost
    let best = hindsight(charges, prices)
    #expect(cost <= 2 * best, "\(what): \(cost) for what hindsight does for \(best)")
    #expect(cost >= best, "\(what): cheaper than the best: the dynamic programme is wrong")
    return best == 0 ? 0 : cost * 1000 / best
  }

  /// Where what does not fit cannot be served fast.
  @Test(arguments: 0..<40) func neverMoreThanTwiceHindsight(batch: Int) {
    for seed in 0..<50 {
      var random = Seeded(state: UInt64(batch * 50 + seed))
      let prices = Switch.Prices(toSlow: random.below(300), toFast: random.below(300))
      let dearest = 1 + random.below([5, 50, 1000][seed % 3])
      let needs = 1 + random.below(60)
      let charges = (0..<1000).map { _ -> Charge in
        let fits = random.below(needs) != 0, work = random.below(dearest)
        return fits ? .fitting(work) : .needing(work)
      }
      _ = check(charges, prices, "seed \(batch * 50 + seed)")
    }
  }

  /// Who knows the rule needs exactness right after it was given up: nobody can do worse to it.
  @Test func anAdversaryGetsNearTwiceAndNotBeyond() {
    var worst: UInt64 = 0
    for step in [UInt64(1), 3, 7, 10, 50, 99, 100, 101] {
      let prices = Switch.Prices(toSlow: 50, toFast: 50)
      var it = Online(prices)
      var charges: [Charge] = []
      for _ in 0..<5000 {
        let charge = it.it.mode == .slow ? Charge.fitting(step) : .needing(0)
        charges.append(charge)
        it.serve(charge)
      }
      worst = max(worst, check(charges, prices, "steps of \(step)"))
    }
    #expect(worst > 1900)
  }
}

/// Against always fast and always slow, where either mode can serve every charge.
@Suite struct SwitchAgainstEither {
  enum Step: CustomStringConvertible {
    /// Charges that cost nothing in fast, or do not fit, or need a question in both modes.
    case fits, fails, asks
    /// Whichever costs most where it is served, in the mode that there is then.
    case adverse
    /// Anything: fractions of the dearest question and the dearest look.
    case any(UInt64, UInt64)
    var description: String {
      switch self {
      case .fits: "fits"
      case .fails: "fails"
      case .asks: "asks"
      case .adverse: "adverse"
      case .any(let a, let b): "any \(a) \(b)"
      }
    }
  }

  struct World {
    let prices: Switch.Prices
    /// A question, and looks in fast and slow mode.
    let question, fastLook, slowLook: UInt64

    init(_ random: inout Seeded) {
      prices = .init(toSlow: random.below(400), toFast: random.below(400))
      question = 1 + random.below(100)
      fastLook = random.below([20, 200, 2000][Int(random.below(3))])
      slowLook = random.below(fastLook + 1)
    }

    fileprivate func charge(_ step: Step, in mode: Switch.Mode) -> Charge {
      let fails = Charge(fast: question + fastLook, slow: question + slowLook)
      return switch step {
      case .fits: .fitting(question)
      case .fails: fails
      case .asks: Charge(fast: question, slow: question)
      case .adverse: mode == .fast ? fails : .fitting(question)
      case .any(let a, let b):
        Charge(fast: question + fastLook * a / 16, slow: question + slowLook * b / 16)
      }
    }

    /// What one phase in each mode can cost beyond what the next makes good: fast loses what a look
    /// is dearer by for each question that slow pays.
    var slack: UInt64 {
      let both = prices.toSlow + prices.toFast, dearest = question + fastLook
      return (2 * both + dearest) * (1 + fastLook / question) + 2 * both + 2 * dearest
    }

    func broken(_ steps: [Step]) -> String? {
      var one = Online(prices)
      var always = (fast: UInt64(0), slow: UInt64(0))
      for (i, step) in steps.enumerated() {
        let charge = charge(step, in: one.it.mode)
        one.serve(charge, asked: question)
        always.fast += charge.fast
        always.slow += charge.slow
        guard one.cost <= 2 * min(always.fast, always.slow) + slack else {
          return "step \(i): \(one.cost), always fast \(always.fast), always slow \(always.slow); "
            + "\(self), slack \(slack)"
        }
      }
      return nil
    }
  }

  private static func steps(_ random: inout Seeded) -> [Step] {
    var steps: [Step] = []
    while steps.count < 3000 {
      let length = 1 + Int(random.below([3, 30, 300][Int(random.below(3))]))
      let kind = random.below(6)
      for _ in 0..<length {
        let step: Step =
          switch kind {
          case 0: .fits
          case 1: .fails
          case 2: .asks
          case 3, 4: .adverse
          default: .any(random.below(17), random.below(17))
          }
        steps.append(step)
      }
    }
    return steps
  }

  @Test(arguments: 0..<20) func neverMoreThanTwice(batch: Int) {
    for seed in UInt64(batch * 20)..<UInt64(batch * 20 + 20) {
      var random = Seeded(state: ~seed)
      let world = World(&random)
      let broken = firstBroken(
        seed..<seed + 1, filter: "SwitchAgainstEither", steps: Self.steps, law: world.broken)
      #expect(broken == nil, "\(broken?.description ?? "")")
    }
  }

  /// The worst that there is: it costs wherever it is served and nothing, or a question, elsewhere.
  @Test func anAdversaryGetsNearTwiceAndNotBeyond() {
    var worst = 0.0
    for (question, look) in [(1, 1000), (10, 300), (30, 30), (30, 8)] as [(UInt64, UInt64)] {
      for price: UInt64 in [0, 4, 50, 700] {
        var one = Online(.init(toSlow: price, toFast: price))
        var always = (fast: UInt64(0), slow: UInt64(0))
        for _ in 0..<200_000 {
          let charge =
            one.it.mode == .fast
            ? Charge(fast: question + look, slow: question) : .fitting(question)
          one.serve(charge, asked: question)
          always.fast += charge.fast
          always.slow += charge.slow
        }
        let ratio = Double(one.cost) / Double(min(always.fast, always.slow))
        // 2, but for what the last phases cost.
        #expect(ratio <= 2.1, "question \(question), look \(look), switch \(price)")
        worst = max(worst, ratio)
      }
    }
    #expect(worst > 1.8)
  }
}
