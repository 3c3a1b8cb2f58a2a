/// A barrier and a limit, in the resource's own unit. `Int64.max` is no bound (the kernels'
/// LONG_MAX).
public struct Bounds: Equatable, Sendable {
  public static let unlimited: Int64 = .max

  public var barrier: Int64
  public var limit: Int64

  public init(barrier: Int64 = unlimited, limit: Int64 = unlimited) {
    self.barrier = barrier
    self.limit = limit
  }

  public var isUnlimited: Bool { barrier == Bounds.unlimited && limit == Bounds.unlimited }

  /// The most that may be held after a charge of `severity`: HARD looks at the barrier and the
  /// limit, SOFT at the limit alone, FORCE at neither (kernel/ub/beancounter.c,
  /// `__charge_beancounter_locked`).
  public func ceiling(_ severity: Severity) -> Int64 {
    switch severity {
    case .hard: min(barrier, limit)
    case .soft: limit
    case .force: Bounds.unlimited
    }
  }
}

/// How strictly a charge is held to the bounds. Raw values are those of the wire.
public enum Severity: Int, Sendable {
  case hard = 0
  case soft = 1
  case force = 2
}
