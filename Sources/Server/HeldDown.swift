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
      for pid in Array(members.keys) { holdDown(pid) }
    } else if holdsDown {
      holdsDown = false
      for pid in Array(members.keys) where isHeldDown(pid) {
        setLimit(pid, members[pid]?.lease ?? 0)
      }
    }
  }

  /// Who cannot ask would not get what is free again, and neither would an image that is being
  /// loaded.
  func holdDown(_ pid: Int32) {
    let excess = -room(.privvmpages, .hard)
    guard leased, excess > 0, let member = members[pid], let page = member.page, !member.isZombie,
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
