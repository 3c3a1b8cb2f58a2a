/// When to stop being exact: the question that the authors of on-demand accounting left open
/// (design §6). Pure: costs come in as measured numbers, in any one unit.
///
/// *Fast*: nothing is looked at while an upper estimate fits. *Slow*: every charge pays for a
/// recount. A charge that does not fit by estimate needs slow. One that does fit pays for slow
/// without need; once such work, since the last need, would exceed what a switch there and back
/// costs, the way back is taken (ski rental).
///
/// Law: with prices that stay the same, starting in fast, and work known before it is done, the
/// total of work and switches is never more than twice that of the best choice made with hindsight;
/// no constant is added. (Between two needs with W of needless work, hindsight pays min(W, P), P
/// being a switch there and back; here W is paid when W ≤ P, else at most P of work and P of
/// switches. After the last need hindsight pays at least min(W, toFast) and here toSlow + 2 toFast
/// at most; the toSlow over twice that is covered by the first switch, which both pay.) Each charge
/// whose work turns out dearer than expected adds at most the difference.
public struct Switch: Sendable {
  public enum Mode: Sendable { case fast, slow }

  /// What the switches cost, as last measured.
  public struct Prices: Sendable {
    public var toSlow: UInt64
    public var toFast: UInt64
    public init(toSlow: UInt64, toFast: UInt64) {
      self.toSlow = toSlow
      self.toFast = toFast
    }
  }

  public var prices: Prices
  public private(set) var mode = Mode.fast
  /// Switches made, and what they cost at the prices of their time.
  public private(set) var toSlow: UInt64 = 0
  public private(set) var toFast: UInt64 = 0
  public private(set) var switchCost: UInt64 = 0
  /// All slow work, and how much of it since a charge last needed it.
  public private(set) var work: UInt64 = 0
  public private(set) var needless: UInt64 = 0

  private var isNeeded = false

  public init(prices: Prices) { self.prices = prices }

  /// The mode in which to serve the next charge. `fits`: by the estimate. `expecting`: what it
  /// would cost to serve it slowly. Served slowly, `paid` says what it did cost.
  public mutating func serve(fits: Bool, expecting: UInt64) -> Mode {
    if !fits {
      needless = 0
      if mode == .fast {
        mode = .slow
        toSlow += 1
        switchCost += prices.toSlow
      }
    } else if mode == .slow, needless + expecting > prices.toSlow + prices.toFast {
      mode = .fast
      needless = 0
      toFast += 1
      switchCost += prices.toFast
    }
    isNeeded = !fits
    return mode
  }

  /// What the charge last served slowly did cost. Charges may be served while another is looked
  /// into: what was served inside it has been paid for by then, and so has the need.
  public mutating func paid(_ cost: UInt64) {
    work += cost
    if !isNeeded { needless += cost }
  }
}
