import Beancounters
import TestSupport

/// The rows under test: one of things, and memory, part of which may be guaranteed.
enum Row: Int, CaseIterable {
  case files, memory
  var resource: Resource { self == .files ? .numfile : .privvmpages }
}

/// What happens next. Members and beancounters are named by a number, modulo how many there are, so
/// that a failing run still means something when steps are left out of it.
enum LedgerStep {
  case charge(member: Int, Row, n: Int64, batch: Int64, Severity)
  /// Seen by the shim: the units are credit again.
  case uncharge(member: Int, Row, n: Int64)
  /// Seen by nobody: the estimate stays above the truth.
  case vanish(member: Int, Row, n: Int64)
  case recall(beancounter: Int, Row)
  case recount(beancounter: Int, Row)
  case setBounds(beancounter: Int, Row, Bounds)
  case guarantee(beancounter: Int, Int64)
  case join(beancounter: Int)
  /// A child, for which its parent charges a unit.
  case fork(member: Int, Row)
  /// Some of what it had is others' now, or outlives it.
  case die(member: Int, leaving: Int64)
  case move(member: Int, to: Int)
  /// The member writes into its own cell whatever it likes.
  case scribble(member: Int, Row, Int64)
  case create(below: Int, Bounds)
  case remove(beancounter: Int)
  /// What members that have died left behind goes too.
  case vanishLeft(beancounter: Int, Row, n: Int64)

  static func random(_ random: inout Seeded, honest: Bool) -> LedgerStep {
    let (who, other) = (random.index(16), random.index(16))
    let row = Row(rawValue: random.index(2))!
    // Above every bound, and as much as four of them are the most there can be.
    let n = random.index(150) == 0 ? 1 << 60 : Int64(1 + random.index(8))
    switch random.index(64) {
    case 0..<21: return .charge(member: who, row, n: n, batch: Int64(random.index(24)), .hard)
    case 21..<25: return .charge(member: who, row, n: n, batch: Int64(random.index(24)), .soft)
    case 25..<27: return .charge(member: who, row, n: Int64(1 + random.index(8)), batch: 0, .force)
    case 27..<37: return .uncharge(member: who, row, n: n)
    case 37..<41: return .vanish(member: who, row, n: n)
    case 41..<43: return .recall(beancounter: who, row)
    case 43: return .recount(beancounter: who, row)
    case 44..<48: return .setBounds(beancounter: who, row, .random(&random))
    case 48:
      return .guarantee(
        beancounter: who, random.index(3) == 0 ? Bounds.unlimited : Int64(random.index(64)))
    case 49..<51: return .join(beancounter: who)
    case 51..<53: return .fork(member: who, row)
    case 53..<56: return .die(member: who, leaving: Int64(random.index(4)))
    case 56..<58: return .move(member: who, to: other)
    case 58..<60 where !honest: return .scribble(member: who, row, anyWord(&random))
    case 60: return .create(below: who, .random(&random))
    case 61: return .remove(beancounter: who)
    default: return .vanishLeft(beancounter: who, row, n: n)
    }
  }

  private static func anyWord(_ random: inout Seeded) -> Int64 {
    switch random.index(5) {
    case 0: .max
    case 1: .min
    case 2: -1 - Int64(random.index(8))
    default: Int64(random.index(48))  // may be one that could have been granted
    }
  }
}

extension Bounds {
  /// Reached every few steps, or never; a limit may be below its barrier.
  static func random(_ random: inout Seeded) -> Bounds {
    func one() -> Int64 { random.index(6) == 0 ? unlimited : Int64(random.index(64)) }
    if random.index(8) == 0 { return Bounds() }
    return Bounds(barrier: one(), limit: one())
  }
}
