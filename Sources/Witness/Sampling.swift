private import CLinux

/// Chooses which grants are witnessed: points fall on the units granted, at random and
/// independently, one in `interval` on average (exponential gaps), so that whoever obtains twice as
/// much is seen twice as often, whatever the order and the rhythm of the grants. A fixed gap could
/// run in step with a program that repeats itself.
public struct Sampler: Sendable {
  /// Mean number of units from one point to the next, at least 1.
  public let interval: Int64
  private var left: Double

  public init(interval: Int64, using generator: inout some RandomNumberGenerator) {
    self.interval = max(1, interval)
    left = Self.gap(self.interval, using: &generator)
  }

  /// How many points fall on a grant: 0, and it needs no witness. Its expectation is `amount /
  /// interval`.
  ///
  /// A grant of more than 64 intervals gets its share rounded at random, which is as unbiased,
  /// varies less, and takes no time.
  public mutating func points(in amount: Int64, using generator: inout some RandomNumberGenerator)
    -> Int
  {
    guard amount > 0 else { return 0 }
    if amount / 64 >= interval {
      let (whole, rest) = amount.quotientAndRemainder(dividingBy: interval)
      return Int(whole) + (Int64.random(in: 0..<interval, using: &generator) < rest ? 1 : 0)
    }
    var points = 0
    left -= Double(amount)
    while left <= 0 {
      points += 1
      left += Self.gap(interval, using: &generator)
    }
    return points
  }

  /// Units that may be granted ahead without a point falling on them: then whoever obtains the one
  /// that has the point asks itself, and no other stands in for it.
  public var unitsAhead: Int64 {
    left >= Double(Int64.max) ? .max : max(0, Int64(left.rounded(.up)) - 1)
  }

  /// Goes past a grant on which no point falls; false where one does, and then nothing has changed.
  public mutating func passes(_ amount: Int64) -> Bool {
    guard amount / 64 < interval, left > Double(amount) else { return false }
    left -= Double(max(0, amount))
    return true
  }

  private static func gap(_ interval: Int64, using generator: inout some RandomNumberGenerator)
    -> Double
  {
    -log(1 - Double.random(in: 0..<1, using: &generator)) * Double(interval)
  }
}

/// What points tell: how much each of several askers obtained.
public struct Sampling: Sendable {
  /// A figure, and the standard deviation that it has because it rests on samples.
  public struct Estimate: Sendable, Equatable {
    public var value: Double
    public var standardError: Double
  }

  /// Units for which one point stands (`Sampler.interval`).
  public let interval: Int64
  /// Points seen, of all askers.
  public let points: Int

  public init(interval: Int64, points: Int) {
    self.interval = max(1, interval)
    self.points = max(0, points)
  }

  /// Units obtained by an asker that `seen` points fell on. The number of points is Poisson
  /// distributed, whose variance is its mean: unbiased, and so is the square of the error.
  public func amount(seen: Int) -> Estimate {
    Estimate(
      value: Double(seen) * Double(interval),
      standardError: Double(seen).squareRoot() * Double(interval))
  }

  /// The asker's share of all, 0 … 1; nil when nothing was seen at all. Given the total number of
  /// points, those of one asker are binomially distributed.
  public func share(seen: Int) -> Estimate? {
    guard points > 0, (0...points).contains(seen) else { return nil }
    let share = Double(seen) / Double(points)
    return Estimate(
      value: share, standardError: (share * (1 - share) / Double(points)).squareRoot())
  }
}
