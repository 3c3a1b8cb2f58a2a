import Beancounters

/// The books of a tree of beancounters as the server keeps them (Server/Accounting.swift,
/// Decide.swift), with words for cells. It knows what it has granted and what cells say, and asks
/// for the truth only where the server would: `count`.
final class Books {
  final class Member {
    var slot: Ledger.Slot
    /// The cell, by row: shared with the process, which may write anything.
    var credit: [Int64] = [0, 0]
    /// Something of it was released that nobody saw.
    var unsure = [false, false]
    init(slot: Ledger.Slot) { self.slot = slot }
  }

  var ledger: Ledger
  let parent: Books?
  let place: Ledger.Slot
  /// Units that outlive whoever charged them.
  let estate: Ledger.Slot
  var leftUnsure = [false, false]
  var children: [Books] = []
  var members: [Member] = []
  /// What this beancounter's estate, or one of its members, truly has.
  let count: (Books, Member?, Row) -> Int64

  init(
    below parent: Books?, _ bounds: [Resource: Bounds],
    count: @escaping (Books, Member?, Row) -> Int64
  ) {
    ledger = Ledger(bounds: bounds)
    estate = ledger.join()
    self.parent = parent
    place = parent?.ledger.join() ?? 0
    self.count = count
    parent?.children.append(self)
  }

  var upwards: [Books] { parent.map { [self] + $0.upwards } ?? [self] }
  var subtree: [Books] { children.isEmpty ? [self] : children.reduce([self]) { $0 + $1.subtree } }

  // MARK: Every change of what is out here is one of what is out above

  func put(_ slot: Ledger.Slot, _ row: Row, to amount: Int64) {
    ledger.set(slot, row.resource, to: amount)
    tellParent(row)
  }

  func giveBack(_ slot: Ledger.Slot, _ row: Row, _ amount: Int64) {
    ledger.giveBack(slot, row.resource, amount)
    tellParent(row)
  }

  private func tellParent(_ row: Row) { parent?.put(place, row, to: ledger[row.resource].granted) }

  // MARK: Cells

  func granted(_ member: Member, _ row: Row) -> Int64 { ledger.granted(member.slot, row.resource) }

  func isBelievable(_ member: Member, _ row: Row) -> Bool {
    member.credit[row.rawValue] >= 0 && member.credit[row.rawValue] <= granted(member, row)
  }

  func used(_ member: Member, _ row: Row) -> Int64 {
    granted(member, row) - (isBelievable(member, row) ? member.credit[row.rawValue] : 0)
  }

  func used(_ row: Row) -> Int64 {
    let here = members.reduce(ledger.granted(estate, row.resource)) { $0 + used($1, row) }
    return children.reduce(here) { $0 + $1.used(row) }
  }

  private func isUnsure(_ row: Row) -> Bool {
    subtree.contains { one in
      one.leftUnsure[row.rawValue]
        || one.members.contains { $0.unsure[row.rawValue] || !one.isBelievable($0, row) }
    }
  }

  // MARK: Charges (design §4): batch, exactly n, recall all, recount, deny

  func isOver(_ row: Row) -> Bool { upwards.contains { $0.ledger.room(row.resource, .hard) < 0 } }

  /// What was granted for a charge that its cell did not cover.
  struct Grant {
    let want: Int64
    let amount: Int64
    /// Out before, from leaf to root.
    let before: [Int64]
  }

  /// nil: the units are taken; otherwise who refuses.
  func charge(
    _ member: Member, _ row: Row, _ n: Int64, batch: Int64, _ severity: Severity,
    _ granted: (Grant) -> Void
  ) -> Books? {
    let r = row.rawValue
    if member.credit[r] < n || (severity != .force && isOver(row)) {
      if let refusing = obtain(member, row, n, batch: batch, severity, granted) { return refusing }
    }
    member.credit[r] -= n
    return nil
  }

  private func obtain(
    _ member: Member, _ row: Row, _ n: Int64, batch: Int64, _ severity: Severity,
    _ told: (Grant) -> Void
  ) -> Books? {
    audit(member, row)
    var want = n + batch
    var recalled: [ObjectIdentifier] = [], recounted: [ObjectIdentifier] = []
    while let level = upwards.first(where: { $0.ledger.room(row.resource, severity) < n }) {
      want = n
      if !recalled.contains(ObjectIdentifier(level)) {
        level.recall(row)
        recalled.append(ObjectIdentifier(level))
      } else if !recounted.contains(ObjectIdentifier(level)) {
        level.recount(row)
        recounted.append(ObjectIdentifier(level))
      } else {
        level.ledger.refuse(row.resource)
        return level
      }
    }
    let before = upwards.map { $0.ledger[row.resource].granted }
    var amount = want
    if parent == nil {
      amount = ledger.grant(member.slot, row.resource, least: n, want: want, severity: severity)!
    } else {
      for level in upwards {
        amount = min(
          amount, level.ledger.offer(row.resource, least: n, want: want, severity: severity)!)
      }
      put(member.slot, row, to: granted(member, row) + amount)
    }
    member.credit[row.rawValue] += amount
    told(Grant(want: want, amount: amount, before: before))
    return nil
  }

  /// A word that cannot be true costs the member its credit.
  private func audit(_ member: Member, _ row: Row) {
    guard !isBelievable(member, row) else { return }
    member.credit[row.rawValue] = 0
    member.unsure[row.rawValue] = true
  }

  /// After a charge: a new maximum must not rest on an estimate.
  func noteMaxima(_ row: Row) {
    for level in upwards where level.used(row) > level.ledger[row.resource].maxheld {
      if level.isUnsure(row) { level.recount(row) }
      level.ledger.observe(row.resource, held: level.used(row))
    }
  }

  func recall(_ row: Row) {
    for one in subtree {
      for member in one.members {
        one.audit(member, row)
        let credit = member.credit[row.rawValue]
        member.credit[row.rawValue] = 0
        one.giveBack(member.slot, row, credit)
      }
    }
  }

  func recount(_ row: Row) {
    for one in subtree {
      for member in one.members {
        member.credit[row.rawValue] = 0
        member.unsure[row.rawValue] = false
        one.put(member.slot, row, to: count(one, member, row))
      }
      one.leftUnsure[row.rawValue] = false
      one.put(one.estate, row, to: count(one, nil, row))
    }
  }

  func setBounds(_ bounds: Bounds, _ resource: Resource, _ row: Row) {
    ledger.setBounds(bounds, of: resource)
    if ledger[row.resource].granted > ledger.ceiling(row.resource, .hard) { recall(row) }
  }

  // MARK: Members and beancounters come and go

  /// With what it has already, whatever the bounds say.
  func join(with has: [Int64] = [0, 0]) -> Member {
    let member = Member(slot: ledger.join())
    members.append(member)
    for row in Row.allCases { put(member.slot, row, to: has[row.rawValue]) }
    return member
  }

  /// `leaving`: units that others have now, or nobody.
  func leave(_ member: Member, leaving: [Int64] = [0, 0]) {
    for row in Row.allCases where leaving[row.rawValue] > 0 {
      // Who lied may leave more than it was granted.
      let handed = min(leaving[row.rawValue], granted(member, row))
      ledger.transfer(from: member.slot, to: estate, row.resource, handed)
      put(estate, row, to: ledger.granted(estate, row.resource) + leaving[row.rawValue] - handed)
    }
    ledger.leave(member.slot)
    members.removeAll { $0 === member }
    for row in Row.allCases { tellParent(row) }
  }

  func remove() {
    parent?.children.removeAll { $0 === self }
    parent?.ledger.leave(place)
    for row in Row.allCases { parent?.tellParent(row) }
  }
}
