package import Beancounters

/// Reads amounts as people write them. All arithmetic is on integers: a size that is not exact in
/// binary floating point must not end up a page short.
package enum Amount {
  /// The kernels' pages in every bound and report, x86-64.
  package static let pageSize: UInt64 = 4096

  enum Failure: Error, Equatable {
    case unreadable, negative, tooLarge
  }

  /// `text` in units of `unit`, a rest rounded up to a whole one; `Bounds.unlimited` for the words
  /// that mean no bound.
  static func parse(_ text: some StringProtocol, unit: Resource.Unit) throws(Failure) -> Int64 {
    let bytes = text.utf8.map(lowercase)
    if unlimitedWords.contains(where: { $0.utf8.elementsEqual(bytes) }) { return Bounds.unlimited }
    if bytes.first == UInt8(ascii: "-"), bytes.dropFirst().first.map(isDigit) == true {
      throw .negative
    }

    let whole = bytes.prefix(while: isDigit)
    var rest = bytes.dropFirst(whole.count)
    var fraction = rest.prefix(0)
    if rest.first == UInt8(ascii: ".") {
      fraction = rest.dropFirst().prefix(while: isDigit)
      rest = rest.dropFirst(1 + fraction.count)
      // 18 digits are what 10^n in 64 bits allows, and far more than anyone means.
      guard (1...18).contains(fraction.count) else { throw .unreadable }
    }
    guard !whole.isEmpty, let scale = scale(of: rest, unit: unit) else { throw .unreadable }
    // Half an item, or half of the resource's own unit, is more likely a mistake than a wish.
    guard fraction.isEmpty || scale.takesFraction else { throw .unreadable }

    let total = try scaled(whole: whole, fraction: fraction, by: scale.factor)
    let (quotient, remainder) = total.quotientAndRemainder(dividingBy: scale.divisor)
    return Int64(quotient + (remainder == 0 ? 0 : 1))
  }

  /// What `parse` reads, for messages.
  package static func accepted(_ unit: Resource.Unit) -> String {
    switch unit {
    case .items: "a whole number, or unlimited"
    case .pages:
      "a number of pages, a size such as 64M or 1.5G (B K M G T, P for pages), or unlimited"
    case .bytes:
      "a number of bytes, a size such as 64K or 1.5M (B K M G T, P for pages), or unlimited"
    }
  }

  private static let unlimitedWords = ["unlimited", "max", "infinity", "-1"]

  private struct Scale {
    var factor: UInt64 = 1
    var divisor: UInt64 = 1
    var takesFraction = false
  }

  private static func scale(of suffix: ArraySlice<UInt8>, unit: Resource.Unit) -> Scale? {
    if suffix.isEmpty { return Scale() }
    if unit == .items { return nil }
    let perUnit = unit == .pages ? pageSize : 1
    switch String(decoding: suffix, as: UTF8.self) {
    case "b": return Scale(divisor: perUnit)
    case "p", "page", "pages": return Scale(factor: pageSize, divisor: perUnit, takesFraction: true)
    case let other:
      for (index, letter) in ["k", "m", "g", "t"].enumerated()
      where other == letter || other == letter + "i" || other == letter + "b"
        || other == letter + "ib"
      {
        return Scale(factor: 1 << UInt64(10 * (index + 1)), divisor: perUnit, takesFraction: true)
      }
      return nil
    }
  }

  /// (whole + 0.fraction) × factor, rounded up; at most Int64.max, so that the caller's rounding
  /// cannot overflow.
  private static func scaled(
    whole: ArraySlice<UInt8>, fraction: ArraySlice<UInt8>, by factor: UInt64
  ) throws(Failure) -> UInt64 {
    guard let count = number(whole) else { throw .tooLarge }
    guard let numerator = number(fraction) else { throw .unreadable }
    let (large, overflow) = count.multipliedReportingOverflow(by: factor)
    let power = fraction.reduce(UInt64(1)) { power, _ in power * 10 }
    // numerator < power, so the quotient is below the factor and dividingFullWidth cannot trap.
    let (quotient, remainder) = power.dividingFullWidth(numerator.multipliedFullWidth(by: factor))
    let (total, carry) = large.addingReportingOverflow(quotient + (remainder == 0 ? 0 : 1))
    guard !overflow, !carry, total <= UInt64(Int64.max) else { throw .tooLarge }
    return total
  }

  private static func number(_ digits: ArraySlice<UInt8>) -> UInt64? {
    var value: UInt64 = 0
    for digit in digits {
      let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = tens.addingReportingOverflow(UInt64(digit - UInt8(ascii: "0")))
      if overflow || carry { return nil }
      value = sum
    }
    return value
  }

  private static func isDigit(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
  }

  private static func lowercase(_ byte: UInt8) -> UInt8 {
    (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
  }
}
