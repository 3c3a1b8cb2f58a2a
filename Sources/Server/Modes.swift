internal import Beancounters
internal import CLinux

/// What something took when it was last done, in nanoseconds. Once for how many members: the price
/// of far fewer, or far more, says nothing of these.
struct Price {
  private var took: UInt64 = 0
  private var members = 0

  /// One look that was interrupted makes no price: half of what is more than double is believed.
  mutating func measured(_ nanoseconds: UInt64, of members: Int) {
    took = of(members) == 0 ? nanoseconds : (took + min(nanoseconds, 2 * took)) / 2
    self.members = members
  }

  /// 0 where it is not known.
  func of(_ members: Int) -> UInt64 {
    members <= 2 * self.members && self.members <= 2 * members ? took : 0
  }
}

/// The two modes of a row that is charged through cells. *Fast*: members have credit, and a charge
/// that does not fit takes back all of it. *Slow*: cells are frozen, every charge asks, and whether
/// it fits is read from words that have not moved. When to change is Beancounters/Switch.swift's to
/// say, by what charges cost as measured here: a question; a look at all cells, in either mode; the
/// changes. In slow mode it is known which charges would have cost a question in fast
/// (SupposedCredit); in fast, how many there were that cost none (bc_begun).
struct Modes {
  /// For measurements: BC_MODE=fast or slow in the environment of the server keeps all rows in one
  /// mode.
  static let kept: Switch.Mode? = {
    switch getenv("BC_MODE").map({ String(cString: $0) }) {
    case "fast": .fast
    case "slow": .slow
    default: nil
    }
  }()

  fileprivate struct Row {
    var choice = Switch(prices: .init(toSlow: 0, toFast: 0))
    var supposed = SupposedCredit()
    var toSlow = Price()
    var toFast = Price()
    /// A charge that does not fit, beyond the question: looks at all cells, in either mode.
    var look = (fast: Price(), slow: Price())
    /// … of the charge that is being decided.
    var looking: UInt64 = 0
  }
  private var rows: [Resource: Row] = [:]
  private(set) var slow: UInt32 = 0

  func isSlow(_ resource: Resource) -> Bool { slow >> UInt32(resource.rawValue) & 1 == 1 }

  /// The mode to serve a charge in, of what it costs in each.
  mutating func serve(_ resource: Resource, fast: UInt64, slow: UInt64, members: Int) -> Switch.Mode
  {
    rows[resource, default: Row()].serve(fast: fast, slow: slow, members: members)
  }

  func looks(_ resource: Resource, members: Int) -> (fast: UInt64, slow: UInt64) {
    guard let look = rows[resource]?.look else { return (0, 0) }
    return (look.fast.of(members), look.slow.of(members))
  }

  /// How a charge would be served now if the row were fast.
  mutating func suppose(
    _ resource: Resource, _ charge: (inout SupposedCredit) -> SupposedCredit.Way
  ) -> SupposedCredit.Way {
    charge(&rows[resource, default: Row()].supposed)
  }

  /// A look has taken so long …
  mutating func looked(_ resource: Resource, _ nanoseconds: UInt64) {
    rows[resource, default: Row()].looking += nanoseconds
  }

  /// … and the charge that it was for has been decided.
  mutating func decided(_ resource: Resource, members: Int) {
    guard let row = rows[resource], row.looking > 0 else { return }
    if isSlow(resource) {
      rows[resource]?.look.slow.measured(row.looking, of: members)
    } else {
      rows[resource]?.look.fast.measured(row.looking, of: members)
    }
    rows[resource]?.looking = 0
  }

  mutating func change(_ resource: Resource, to mode: Switch.Mode) {
    let bit: UInt32 = 1 << UInt32(resource.rawValue)
    slow = mode == .slow ? slow | bit : slow & ~bit
    rows[resource, default: Row()].supposed = SupposedCredit()
  }

  /// The change has been made, and took so long.
  mutating func changed(
    _ resource: Resource, to mode: Switch.Mode, _ nanoseconds: UInt64, members: Int
  ) {
    if mode == .slow {
      rows[resource]?.toSlow.measured(nanoseconds, of: members)
    } else {
      rows[resource]?.toFast.measured(nanoseconds, of: members)
    }
  }
}

extension Modes.Row {
  mutating func serve(fast: UInt64, slow: UInt64, members: Int) -> Switch.Mode {
    choice.prices = .init(toSlow: toSlow.of(members), toFast: toFast.of(members))
    return choice.serve(fast: fast, slow: slow)
  }
}
