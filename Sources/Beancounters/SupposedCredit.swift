/// The credit that members would have if a row were fast, while it is slow: so it is known what
/// fast would have cost. Pure. Fed with what the server sees in slow mode anyway: each charge, and
/// what its member had released since its last one.
public struct SupposedCredit: Sendable {
  /// How a charge would have been served.
  public enum Way: Sendable {
    /// From the member's own credit, unasked.
    case credit
    /// By a question, for there is room.
    case question
    /// By a question for which all credit is recalled.
    case recall
  }

  private var unspent: [Int32: Int64] = [:]
  private var total: Int64 = 0

  public init() {}

  /// A charge of n units. `room`: what could be granted, with `released` still out to the member.
  /// `batch`: the most that is granted ahead; a member gets half of an equal share at most, as of
  /// the ledger.
  public mutating func charge(
    _ member: Int32, _ n: Int64, released: Int64, room: Int64, batch: Int64, members: Int
  ) -> Way {
    let had = unspent[member, default: 0], left = room == Bounds.unlimited ? room : room - total
    let has = had + released
    guard has < n else {
      set(member, had, to: has - n)
      return .credit
    }
    guard n - has <= left else {
      unspent = [:]
      total = 0
      return .recall
    }
    let share = left / Int64(2 * max(members, 1))
    set(member, had, to: max(0, min(batch, share - (n - has))))
    return .question
  }

  private mutating func set(_ member: Int32, _ had: Int64, to credit: Int64) {
    total += credit - had
    unspent[member] = credit
  }
}
