import Beancounters
import Testing

@testable import Command

@Suite struct Amounts {
  @Test(
    "sizes of pages are bytes, divided by 4096 and rounded up",
    arguments: [
      ("100", 100), ("0", 0), ("4096B", 1), ("4097b", 2), ("1B", 1), ("0B", 0), ("1K", 1),
      ("4K", 1), ("5K", 2),
      ("64M", 16384), ("64m", 16384), ("64Mi", 16384), ("64MiB", 16384), ("64MB", 16384),
      ("64mib", 16384),
      ("1G", 262144), ("1.5G", 393216), ("1T", 268_435_456), ("100P", 100), ("100p", 100),
      ("100pages", 100),
      ("1.5P", 2), ("0.1K", 1), ("0.0K", 0), ("1.000000000000000001K", 1), ("000100", 100),
    ])
  func pages(_ text: String, _ expected: Int64) throws {
    #expect(try Amount.parse(text, unit: .pages) == expected)
  }

  @Test(
    "sizes of bytes",
    arguments: [
      ("100", 100), ("100B", 100), ("1K", 1024), ("1KiB", 1024), ("1kb", 1024), ("1.5M", 1_572_864),
      ("2P", 8192),
      ("0.3K", 308), ("8388607T", 9_223_370_937_343_148_032), ("9223372036854775807", Int64.max),
    ])
  func bytes(_ text: String, _ expected: Int64) throws {
    #expect(try Amount.parse(text, unit: .bytes) == expected)
  }

  @Test(
    "words for no bound, in every unit",
    arguments: ["unlimited", "max", "infinity", "-1", "Unlimited", "MAX"])
  func unlimited(_ text: String) throws {
    for unit in [Resource.Unit.items, .pages, .bytes] {
      #expect(try Amount.parse(text, unit: unit) == Bounds.unlimited)
    }
  }

  @Test(
    "what is no amount",
    arguments: [
      "", " ", "x", "12x", "1KK", "1KiBB", "K", ".5G", "1.G", "1.5", "1.5B", "1..5G", "+1", " 1",
      "1 ", "1e3", "0x10",
      "nan", "NaN", "inf", "1,5G", "１", "1\u{301}", "-", "-x", "1.0000000000000000001K", "1E",
    ])
  func unreadable(_ text: String) {
    for unit in [Resource.Unit.pages, .bytes] {
      #expect(throws: Amount.Failure.unreadable) { try Amount.parse(text, unit: unit) }
    }
  }

  @Test("items take whole numbers only", arguments: ["1K", "1P", "1B", "1.5", "1.0", "1.5G"])
  func items(_ text: String) {
    #expect(throws: Amount.Failure.unreadable) { try Amount.parse(text, unit: .items) }
  }

  @Test(
    "no overflow",
    arguments: [
      "9223372036854775808", "99999999999999999999999", "8388608T", "18446744073709551615G",
    ])
  func tooLarge(_ text: String) {
    #expect(throws: Amount.Failure.tooLarge) { try Amount.parse(text, unit: .bytes) }
    #expect(throws: Amount.Failure.tooLarge) { try Amount.parse(text, unit: .pages) }
  }

  @Test("no fraction carries past the largest size")
  func largestFraction() {
    let text = "8388607.999999999999999999T"
    #expect(throws: Amount.Failure.tooLarge) { try Amount.parse(text, unit: .bytes) }
  }

  @Test("no negative amounts", arguments: ["-2", "-1K", "-0", "-100"])
  func negative(_ text: String) {
    #expect(throws: Amount.Failure.negative) { try Amount.parse(text, unit: .pages) }
  }
}

@Suite struct BoundsChanges {
  @Test(
    "barrier and limit",
    arguments: [
      ("100", 100, 100), ("100:120", 100, 120), ("100:", 100, nil), (":120", nil, 120),
      ("100:unlimited", 100, Int64.max), ("-1:-1", Int64.max, Int64.max),
      ("max", Int64.max, Int64.max), ("0:0", 0, 0),
    ] as [(String, Int64?, Int64?)])
  func parts(_ text: String, _ barrier: Int64?, _ limit: Int64?) throws {
    let change = try BoundsChange(text, of: .numfile, option: "--numfile")
    #expect(change == BoundsChange(barrier: barrier, limit: limit))
  }

  @Test func sizes() throws {
    let change = try BoundsChange("64M:80M", of: .privvmpages, option: "--privvmpages")
    #expect(change == BoundsChange(barrier: 16384, limit: 20480))
  }

  @Test("a part that is not set stays")
  func applied() {
    let bounds = Bounds(barrier: 1, limit: 2)
    #expect(BoundsChange(barrier: 5).applied(to: bounds) == Bounds(barrier: 5, limit: 2))
    #expect(BoundsChange(limit: 5).applied(to: bounds) == Bounds(barrier: 1, limit: 5))
    #expect(BoundsChange(barrier: 5).applied(to: Bounds()) == Bounds(barrier: 5, limit: .max))
  }

  @Test(
    "the error has the option, the whole value and what is accepted",
    arguments: ["", ":", "1:2:3", "1:x", "x:1", "::"])
  func unreadable(_ text: String) {
    let error = #expect(throws: UsageError.self) {
      try BoundsChange(text, of: .numfile, option: "--numfile")
    }
    #expect(
      error?.message
        == "--numfile: cannot read \"\(text)\"; accepted: BARRIER[:LIMIT], BARRIER: or :LIMIT, "
        + "each a whole number, or unlimited")
  }
}
