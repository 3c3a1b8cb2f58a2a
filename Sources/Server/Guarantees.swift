internal import Beancounters
internal import CLinux
internal import Recount

/// oomguarpages: what a beancounter has beyond its guarantee makes the kernel take from it first
/// when the machine is out of memory. OpenVZ took the beancounter with the greatest excess. Here
/// each member's `oom_score_adj` (proc(5)) is raised by the excess as a share of the machine's
/// memory, which adds just that many pages to its badness (mm/oom_kill.c oom_badness).
struct Guarantee {
  /// What was done to one member.
  struct Raised {
    /// Its own value.
    var own: Int
    /// What was written over it.
    var set: Int
  }

  fileprivate(set) var raised: [Int32: Raised] = [:]

  /// Of the range −1000 to 1000. Any excess is worth 1.
  static func bonus(excess: Int64, machine: Int64) -> Int {
    guard excess > 0, machine > 0 else { return 0 }
    return Int(min(1000, (min(excess, machine) * 1000 + machine - 1) / machine))
  }

  /// Puts what `bonus` says on each of `pids`, or takes it back with 0. A value is never below what
  /// the process had by itself; −1000, which forbids to kill it, is left alone.
  mutating func apply(to pids: [Int32], _ bonus: (Int32) -> Int) {
    let before = raised
    for pid in pids {
      guard let now = OomScore.read(pid) else { continue }
      let own = own(pid, now, before)
      let goal = own == OomScore.never ? own : min(OomScore.most, own + bonus(pid))
      // The way down may be refused: below what a privileged process set last it needs
      // CAP_SYS_RESOURCE.
      let isThere = goal == now || OomScore.write(pid, goal)
      let set = isThere ? goal : now
      raised[pid] = set == own ? nil : Raised(own: own, set: set)
    }
  }

  mutating func forget(_ isGone: (Int32) -> Bool) { raised = raised.filter { !isGone($0.key) } }

  /// What the process had by itself: a fork copies what was put on the parent, and the program may
  /// write its own.
  private func own(_ pid: Int32, _ now: Int, _ before: [Int32: Raised]) -> Int {
    if let mine = before[pid] { return mine.set == now ? mine.own : now }
    if let parent = Procfs.stat(pid)?.parent, let theirs = before[parent] {
      return theirs.set == now ? theirs.own : now
    }
    // Its parent has ended: one that stands at the same value was raised together with it.
    return before.values.first { $0.set == now }?.own ?? now
  }
}

extension Accounting {
  /// A barrier of 0 or none guarantees nothing in particular.
  private var outOfMemoryGuarantee: Int64? {
    let barrier = ledger[.oomguarpages].bounds.barrier
    return barrier == 0 || barrier == Bounds.unlimited ? nil : barrier
  }

  /// Called after every look: with a barrier set there is one at least each half second, unless
  /// looking is dear. A member has the greatest bonus of all the levels that it is in.
  func protectOthers(from held: Observed.Held) {
    let excess = outOfMemoryGuarantee.map { held.total(.oomguarpages) - $0 } ?? 0
    badness = Guarantee.bonus(excess: excess, machine: Resident.machinePages)
    guard badness > 0 || !host.guarantee.raised.isEmpty else { return }
    host.guarantee.apply(to: held.perMember.map(\.pid)) { [host] pid in
      host.owner[pid]?.upwards.map(\.badness).max() ?? 0
    }
    host.guarantee.forget { [host] in host.owner[$0] == nil }
  }
}
