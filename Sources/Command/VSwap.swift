import Beancounters

extension Configured {
  /// Fills in what a VSwap configuration leaves out, as vzctl does since 4.6 (vzctl(8), "VSwap
  /// parameters"): from the limits of physpages and swappages, ram and swap,
  ///
  /// - lockedpages and oomguarpages get the barrier ram and no limit,
  /// - vmguarpages gets ram + swap, barrier and limit,
  /// - privvmpages gets (ram + swap) · overcommit, or none where the configuration names no
  ///   VM_OVERCOMMIT,
  /// - every other row has no bound.
  ///
  /// Nothing changes unless both limits are set and ram is not unlimited: a VSwap configuration is
  /// told by that (vzcfgvalidate(8)). Rows that are set stay.
  package func filledVSwap(overcommit: Overcommit? = nil) -> Configured {
    guard isVSwap, let ram = bounds[.physpages]?.limit, let swap = bounds[.swappages]?.limit else {
      return self
    }
    let total = ram.addingReportingOverflow(swap)
    let both = total.overflow ? Bounds.unlimited : total.partialValue
    let memory = overcommit.map { $0.times(both) } ?? Bounds.unlimited
    let derived: [Resource: BoundsChange] = [
      .lockedpages: BoundsChange(barrier: ram, limit: Bounds.unlimited),
      .oomguarpages: BoundsChange(barrier: ram, limit: Bounds.unlimited),
      .vmguarpages: BoundsChange(barrier: both, limit: both),
      .privvmpages: BoundsChange(barrier: memory, limit: memory),
    ]
    var filled = self
    for resource in Resource.allCases where resource != .numinotify && bounds[resource] == nil {
      filled.bounds[resource] =
        derived[resource] ?? BoundsChange(barrier: Bounds.unlimited, limit: Bounds.unlimited)
    }
    return filled
  }

  /// Whether physical memory is bounded, and swap with it.
  package var isVSwap: Bool {
    guard let ram = bounds[.physpages]?.limit, bounds[.swappages]?.limit != nil else {
      return false
    }
    return ram != Bounds.unlimited
  }
}

/// VM_OVERCOMMIT: a factor with at most nine decimals, kept exactly.
package struct Overcommit: Equatable, Sendable {
  private let numerator: UInt64
  private let denominator: UInt64

  /// `1.5`, or nil for anything that is no positive decimal number below a million.
  package init?(_ text: some StringProtocol) {
    let parts = text.utf8.split(
      separator: UInt8(ascii: "."), maxSplits: 1, omittingEmptySubsequences: false)
    let fraction = parts.count == 2 ? parts[1].count : 0
    guard let whole = parts.first, (1...6).contains(whole.count),
      parts.count == 1 || (1...9).contains(fraction)
    else {
      return nil
    }
    var digits: UInt64 = 0
    for byte in parts.joined() {
      guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
      digits = digits * 10 + UInt64(byte - UInt8(ascii: "0"))  // 15 digits at most
    }
    guard digits > 0 else { return nil }
    numerator = digits
    denominator = (0..<fraction).reduce(1) { power, _ in power * 10 }
  }

  /// Rounded down to whole pages; unlimited stays so, and so does what would pass the largest
  /// amount.
  func times(_ pages: Int64) -> Int64 {
    guard pages != Bounds.unlimited else { return Bounds.unlimited }
    let (high, low) = numerator.multipliedFullWidth(by: UInt64(pages))
    guard high < denominator else { return Bounds.unlimited }
    return Int64(clamping: denominator.dividingFullWidth((high, low)).quotient)
  }
}
