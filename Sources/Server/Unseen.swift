internal import Beancounters
internal import Command
internal import Recount
internal import Wire

/// How many more descriptors a process has than it is charged with. What it inherited and what it
/// duplicates makes the difference, and closing makes it less; so does nothing else, but a system
/// call that the shim did not see. A look while it works may be wrong by what comes and goes
/// between two words: only what several looks in a row agree on is believed.
struct Unseen {
  /// Fewer are left to the next recount: libc keeps a few that are charged to nobody
  /// (Shim/calls.def).
  static let least: Int64 = 8
  private static let interval: Int64 = 50  // milliseconds

  // A process cannot have more descriptors than INT_MAX.
  private var seen = SIMD4<Int32>()
  private var lookedAt: Int64 = 0
  private var base: Int32?
  private var looks: UInt8 = 0

  /// At a moment when that is known.
  init(base: Int64? = nil) { self.base = base.map { Int32(clamping: $0) } }

  mutating func isDue(at now: Int64) -> Bool {
    guard now - lookedAt >= Unseen.interval else { return false }
    lookedAt = now
    return true
  }

  /// Whether there are too many now.
  mutating func saw(_ difference: Int64) -> Bool {
    let difference = Int32(clamping: difference)
    seen[Int(looks) % seen.scalarCount] = difference
    looks = looks < 7 ? looks + 1 : 4  // how many of the last four, and whose turn it is
    guard let base else {
      self.base = difference
      return false
    }
    guard looks >= seen.scalarCount else { return false }
    self.base = min(base, seen.max())
    return Int64(seen.min()) - Int64(base) >= Unseen.least
  }
}

extension Accounting {
  /// From the tick: inline system calls are noticed by what they leave.
  func lookForUnseen(_ pid: Int32) {
    guard members[pid]?.unseen.isDue(at: Clock.milliseconds()) == true, let member = members[pid],
      !member.isZombie, member.coverage != .uncovered,
      member.page?.pointee.raw_calls ?? 0 == BC_RAW_NONE.rawValue
    else { return }
    guard let before = chargedAtRest(member), let number = Descriptors.numberAtOnce(pid),
      number > 0,
      chargedAtRest(member) == before, members[pid]?.unseen.saw(number - before) == true
    else { return }
    findUnseen(pid)
  }

  /// nil while something is on its way, or the shim itself has a descriptor there.
  private func chargedAtRest(_ member: Member) -> Int64? {
    let used = member.used(.numfile, granted: ledger.granted(member.slot, .numfile))
    guard let page = member.page else { return mayAsk(member) ? nil : used }
    guard pendingNow(member, .numfile) == 0, !member.questionMoves,
      (0..<UInt32(BC_ASKING)).allSatisfy({ bc_page_asking(page, $0) < 0 })
    else { return nil }
    return used
  }

  /// It may have duplicated what it has. Where all of the tree hold more files than are charged to
  /// them, which a count tells, and it is charged with more of them by that, it has made system
  /// calls of its own; they are in the books now, and looked for from now on.
  private func findUnseen(_ pid: Int32) {
    guard root.unseenRest.isOver else { return }
    func charged() -> Int64 {
      members[pid].map { $0.used(.numfile, granted: ledger.granted($0.slot, .numfile)) } ?? 0
    }
    let start = Clock.precise()
    let (all, own) = (root.usedTotal(.numfile), charged())
    recountDescriptions(all: true)
    root.unseenRest.begin(after: Clock.precise() - start)
    members[pid]?.unseen = Unseen()
    guard root.usedTotal(.numfile) - all >= Unseen.least, charged() - own >= Unseen.least,
      let path = Procfs.executable(pid)
    else { return }
    if let page = members[pid]?.page {
      bc_page_makes_raw_calls(page)
      note(pid, path, "raw system calls")
    } else {
      becomeUncovered(pid, path, "raw system calls")
    }
  }
}
