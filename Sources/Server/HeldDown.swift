internal import Beancounters
internal import Recount
internal import Wire

/// Members of a beancounter that holds more memory than a bound has room for: it was lowered. What
/// they have they keep, and what one of them frees is not to be had again while all have too much.
/// Each is held by the kernel to so much less than it has as there is too much in all: a limit
/// below what is in use takes nothing away and refuses growth alone (mm/vma.c may_expand_vm). So
/// what several free and take again at once, without a word to anybody, stays within the bound; and
/// who is refused asks.
extension Accounting {
  func holdDown() {
    guard leased else { return }
    if room(.privvmpages, .hard) < 0 {
      holdsDown = true
      for pid in Array(members.keys) { recallLease(pid) }
      let excess = heldBeyond
      for pid in Array(members.keys) { holdDown(pid, by: excess) }
    } else if holdsDown {
      holdsDown = false
      for pid in Array(members.keys) where isHeldDown(pid) {
        setLimit(pid, members[pid]?.lease ?? 0)
      }
    }
  }

  /// What there is too much of, at the level that has most of that. Of what is booked, some may be
  /// booked twice for a moment.
  private var heldBeyond: Int64 {
    upwards.reduce(0) { most, level in
      let ceiling = level.ledger.ceiling(.privvmpages, .hard)
      return level.ledger[.privvmpages].granted <= ceiling
        ? most : max(most, level.memoryHeld() - ceiling)
    }
  }

  /// After a refusal.
  func holdDownAgain(_ pid: Int32) {
    if leased, room(.privvmpages, .hard) < 0 { holdDown(pid, by: heldBeyond) }
  }

  /// Who cannot ask would not get what is free again, and neither would an image that is being
  /// loaded.
  private func holdDown(_ pid: Int32, by excess: Int64) {
    guard excess > 0, let member = members[pid], let page = member.page, !member.isZombie,
      !member.setsOwnLease, !member.isLent, member.births == 0, member.execPath == nil,
      !cannotAsk(member), bc_load32(bc_page_forking(page)) <= 0
    else { return }
    holdsDown = true
    let limit = max(1, member.lease - excess)
    if limit != member.limit { setLimit(pid, limit) }
  }

  func isHeldDown(_ pid: Int32) -> Bool {
    members[pid].map { $0.page != nil && !$0.isLent && $0.limit < $0.lease } ?? false
  }

  /// It asks for nothing more, only to lower its break by some pages, or, with 0, to put another
  /// mapping in the place of one that it has: the kernel refuses that too below what is in use.
  func letLower(_ pid: Int32, by pages: Int64) -> MemoryAnswer {
    guard leased, isHeldDown(pid), let member = members[pid] else { return .unchanged }
    // A break is compared with the limit alone, without what else is in use: so nothing grows by it
    // until it asks for anything again, which it does at once.
    let needed = pages == 0 ? nil : Procfs.breakPages(pid)
    setLimit(pid, max(member.limit, (needed ?? dataPages(member)) - pages))
    return .granted
  }
}
