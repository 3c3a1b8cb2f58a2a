internal import Beancounters
internal import CLinux
internal import Wire

/// What is in use by the members' cells, and maxheld, which rests on what is sure.
extension Accounting {
  func usedTotal(_ resource: Resource) -> Int64 {
    let at = UInt32(resource.rawValue)
    return roster().reduce(ledger[resource].granted) { sum, one in
      guard let page = one.page else { return sum }
      return sum
        - Member.unspent(
          bc_load(&bc_page_cell(page, at).pointee.credit),
          granted: one.of.ledger.granted(one.slot, resource))
    }
  }

  /// The least that all but one member had in use, all the time since that one was last looked at.
  private func leastUsed(_ resource: Resource, since member: Member) -> Int64 {
    let here = members.values.reduce(Int64(0)) { sum, one in
      guard one.pid != member.pid else { return sum }
      let used = one.used(resource, granted: ledger.granted(one.slot, resource))
      if one.isUnsure(resource) { return sum }  // what may be counted twice is no maximum
      // A process that was there at the last look, and is now, was there all the time.
      if resource == .numproc, one.adopted >= member.lookedAt || kill(one.pid, 0) != 0 {
        return sum
      }
      if one.page == nil { return sum + (resource == .numproc ? 1 : used) }
      return sum + min(used, one.past[resource].lastUsed)
    }
    return children.reduce(here) { $0 + $1.leastUsed(resource, since: member) }
  }

  func isUnsure(_ resource: Resource) -> Bool {
    subtree.contains { one in
      one.ledger.granted(one.estate, resource) > 0
        || one.members.values.contains { $0.isUnsure(resource) }
    }
  }

  /// Whether all members are to be looked at for a maximum once more: always, while they are few.
  private func isPeakDue(_ resource: Resource) -> Bool { root.peaksRest[resource.rawValue].isOver }

  /// Before a maximum rests on them: estimates become counts.
  func makeSure(_ resource: Resource) {
    guard !host.isSettling, isPeakDue(resource),
      upwards.contains(where: { level in
        level.ledger[resource].granted > level.ledger[resource].maxheld
          && level.usedTotal(resource) > level.ledger[resource].maxheld
      })
    else { return }
    if resource == .numproc { settleTasks() }
    guard resource != .numsiginfo, resource != .numflock,
      certain(resource) == nil, mayCount(resource)
    else { return }
    host.isSettling = true
    recount(resource)
    host.isSettling = false
  }

  /// Whether a count for a maximum alone is within what a beancounter is allowed of them.
  func mayCount(_ resource: Resource) -> Bool {
    !isModal(resource) || root.counts[resource.rawValue].take(1 + Double(root.inTree) / 8)
  }

  /// So much was held here at one moment.
  func saw(_ resource: Resource, held: Int64) {
    guard held > ledger[resource].maxheld else { return }
    ledger.observe(resource, held: held)
    host.state?.touch(self)
  }

  /// What the kernel counted, by beancounter: moves maxheld here and below, and above where all of
  /// it was counted.
  func observe(_ resource: Resource, counted: [ObjectIdentifier: Int64]) {
    @discardableResult func total(_ one: Accounting) -> Int64 {
      let sum = one.children.reduce(counted[ObjectIdentifier(one)] ?? 0) { $0 + total($1) }
      one.saw(resource, held: min(sum, one.mostCharged(resource)))
      return sum
    }
    total(self)
  }

  /// What no count makes a maximum beyond: one process is looked at after the other, and what goes
  /// from one to the other meanwhile is seen twice. Files are opened that nobody could charge, by
  /// loaders and by libc for itself; and so may anything be by who is not covered.
  private func mostCharged(_ resource: Resource) -> Int64 {
    guard resource != .numfile, subtree.allSatisfy({ $0.uncovered.isEmpty }) else { return .max }
    return ledger[resource].bounds.ceiling(.soft)
  }

  /// maxheld from what one member's cell shows of its peak since the last look. What the others had
  /// in use at that moment is not known: they count with the least of what they had at their own
  /// last look and have now, for no figure is invented. `hasEnded`: it has, so what the others
  /// have now may have come after.
  func observePeak(
    _ member: Member, _ resource: Resource, grantedBefore: Int64, hasEnded: Bool = false
  ) {
    // A recount tells what of it is its own
    if member.hasInherited, Accounting.descriptions.contains(resource) { return }
    let peak = member.peak(resource, granted: grantedBefore)
    let now = member.used(resource, granted: grantedBefore)
    // Only another task than it came with, or was seen with, makes a maximum of tasks.
    let isNews = resource != .numproc || peak > max(1, member.past[resource].lastUsed)
    for level in upwards
    where isNews && isPeakDue(resource)
      && level.ledger[resource].granted > level.ledger[resource].maxheld
    {
      let own = member.used(resource, granted: ledger.granted(member.slot, resource))
      let others = level.usedTotal(resource) - own
      guard others + peak > level.ledger[resource].maxheld else { continue }
      let peak = resource == .numproc ? peak - gone(member) : peak
      // Children may have been reaped that are still in the books: observeTasks looks closer.
      let sum = hasEnded || resource == .numproc ? 0 : others + now
      // In this order: what is charged twice was unsure before
      // … and no lock comes but by a charge.
      let most = resource == .numflock ? level.mostCharged(resource) : .max
      let total = level.isUnsure(resource) ? 0 : min(sum, most)
      // Others that let go and took again in between were not at this sum, but nobody ever is above
      // the bounds by a charge.
      let then = min(
        level.leastUsed(resource, since: member) + peak,
        level.ledger[resource].bounds.ceiling(.soft))
      level.saw(resource, held: min(max(total, then), level.ledger[resource].granted))
    }
    root.peaksRest[resource.rawValue].begin(root.inTree, few: Accounting.few, microsecondsEach: 0.3)
    members[member.pid]?.past[resource].lastUsed = now
    if resource == .numproc {
      members[member.pid]?.lookedAt = host.nextMoment()
      members[member.pid]?.startPeak(.numproc, from: grantedBefore - now)
    }
  }

  /// Children that a member has charged for and that have been reaped, where it has not come to give
  /// their units back.
  private func gone(_ parent: Member) -> Int64 {
    guard let page = parent.page else { return 0 }
    let noted = (0..<UInt32(BC_NOTES)).map { bc_load32(bc_page_note(page, $0)) }
    return Int64((noted.filter { $0 > 0 } + parent.ahead).count { kill($0, 0) != 0 })
  }

  /// What keeps below the known maxima makes no new one, however unsure it is: the member is not to
  /// ask about that. Other threads may be busy all the time, or one waits in the kernel, so that it
  /// is never sure for long.
  func allowBelowMaximum(_ pid: Int32, _ resource: Resource, after n: Int64) {
    guard let cell = members[pid]?.cell(resource), bc_load(&cell.pointee.low) < Member.unknownLow
    else { return }
    let room = upwards.reduce(Int64.max) { least, level in
      let members = level.subtree.reduce(0) { $0 + $1.members.count }
      return min(
        least, (level.ledger[resource].maxheld - level.usedTotal(resource)) / Int64(max(1, members))
      )
    }
    let credit = bc_load(&cell.pointee.credit)
    if room > 0, credit > 0 { members[pid]?.startPeak(resource, below: max(0, credit - n - room)) }
  }
}
