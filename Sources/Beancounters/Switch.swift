/// Which of two ways to serve charges, and when to change: the question that the authors of
/// on-demand accounting left open (design §6). Pure: costs come in as measured numbers, in any one
/// unit.
///
/// *Fast*: members have credit; a charge that does not fit is dear. *Slow*: every charge asks, and
/// one that does not fit is cheaper. Of each charge comes in what it costs in either mode. The mode
/// is left when it has been dearer than the other, lately, by more than what two switches cost and
/// what was lost before (ski rental): having left slow at a loss, fast must cost as much more
/// before slow is tried again; having left fast at a loss beyond what slow would have paid
/// meanwhile, so must slow.
///
/// Law: the total of work and switches is never more than twice that of always fast, nor of always
/// slow, but for what one phase in each mode costs; where a charge cannot be served fast at all
/// (its cost is endless), never more than twice that of the best choice made with hindsight.
/// (Leaving fast, r has been lost against slow, which has paid s meanwhile; leaving slow after
/// that, q against fast, which pays more than q and two switches before slow is tried again. So all
/// that is lost against fast, and all switches, are no more than fast pays; and because
/// q + s > r + both switches, all that is lost against slow is no more than slow pays.) What a mode
/// would have cost may be put too low: the law holds against what it would have, then, all the more.
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

  /// By how much this mode has been dearer, since it last was no dearer.
  private var loss: UInt64 = 0
  /// What the other mode would have cost since this one was entered.
  private var elsewhere: UInt64 = 0
  /// Before fast is left again, and before slow is: what was lost by the last phase of the other.
  private var lost = (fast: UInt64(0), slow: UInt64(0))

  public init(prices: Prices) { self.prices = prices }

  /// The mode in which to serve the next charge, of what it costs in each; `.max` is endless.
  public mutating func serve(fast: UInt64, slow: UInt64) -> Mode {
    let (here, there) = mode == .fast ? (fast, slow) : (slow, fast)
    let next = Switch.difference(Switch.sum(loss, here), there)
    let most = Switch.sum(
      Switch.sum(prices.toSlow, prices.toFast), mode == .fast ? lost.slow : lost.fast)
    if next > most {
      leave(at: next)
    } else {
      loss = next
      elsewhere = Switch.sum(elsewhere, there)
    }
    return mode
  }

  private mutating func leave(at next: UInt64) {
    if mode == .fast {
      lost.fast = Switch.difference(loss, elsewhere)
      mode = .slow
      toSlow += 1
      switchCost += prices.toSlow
    } else {
      lost.slow = next  // whoever is asked has paid for that already
      mode = .fast
      toFast += 1
      switchCost += prices.toFast
    }
    (loss, elsewhere) = (0, 0)
  }

  private static func sum(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let (sum, overflow) = a.addingReportingOverflow(b)
    return overflow ? .max : sum
  }

  private static func difference(_ a: UInt64, _ b: UInt64) -> UInt64 { a > b ? a - b : 0 }
}
