internal import Beancounters
internal import Command
internal import Wire

extension Accounting {
  /// Members that make their system calls themselves, or cannot be entered: nobody is asked for
  /// what they obtain.
  var silent: [Member] {
    members.values.filter {
      ($0.coverage == .uncovered
        || $0.page.map { $0.pointee.raw_calls != BC_RAW_NONE.rawValue } ?? false) && !$0.isZombie
    }
  }

  /// What they hold is known by looking only: ten times a second, or as often as takes a twentieth
  /// of the time.
  func lookAtSilent() {
    let now = Clock.milliseconds()
    guard now >= silentLooksAt, Accounting.descriptions.contains(where: isBounded), !silent.isEmpty
    else { return }
    let began = Clock.precise()
    recount(.numfile)
    silentLooksAt = now + max(100, Int64(20 * (Clock.precise() - began)))
  }

  /// Members that cannot ask are kept ahead: they share all the room that is left. A lease is never
  /// lowered to what its member has, for while it is there the member would be refused: of what one
  /// does not use, half goes to those that have none.
  func keepAhead() {
    lookAtSilent()
    guard leased else { return }
    let silent = silent.filter(cannotAsk).map(\.pid)
    guard !silent.isEmpty else { return }
    let physical = physicalAhead()
    for pid in silent {
      takeBirths(pid)
      bookBeyond(pid)
    }
    if room(.privvmpages, .hard) < Int64(silent.count),
      silent.contains(where: { unused($0) < Accounting.slack })
    {
      for pid in silent where unused(pid) > 2 * Accounting.slack { halve(pid) }
    }
    let share = max(0, room(.privvmpages, .hard)) / Int64(silent.count)
    guard share > 0 || physical < Bounds.unlimited else { return }
    for pid in silent {
      guard let member = members[pid] else { continue }
      let most =
        physical == Bounds.unlimited ? physical : dataPages(member) + physical / Int64(silent.count)
      setLease(pid, min(member.lease + share, most))
      if most < Bounds.unlimited { recallAbove(pid) }
    }
  }

  /// More memory, that is: what it has of other things is only counted.
  func cannotAsk(_ member: Member) -> Bool {
    member.page.map { $0.pointee.raw_calls == BC_RAW_ALWAYS.rawValue }
      ?? (member.coverage == .uncovered)
  }

  private func unused(_ pid: Int32) -> Int64 { members[pid].map { $0.lease - dataPages($0) } ?? 0 }

  private func halve(_ pid: Int32) {
    guard let member = members[pid], !member.setsOwnLease else { return }
    setLease(pid, member.lease - unused(pid) / 2)
    recallAbove(pid)
  }

  /// The kernel lets a mapping that replaces a reservation pass the lease, whole
  /// (Shim/calls/fixed.c): what a member that cannot ask has so is counted, and its limit left as
  /// it is, so that it gets nothing more.
  private func bookBeyond(_ pid: Int32) {
    guard let member = members[pid] else { return }
    let now = dataPages(member)
    guard now > member.lease else { return }
    members[pid]?.lease = now
    if let booked = members[pid].map(booked) { put(member.slot, .privvmpages, to: booked) }
  }
}
