internal import Beancounters
internal import CLinux
internal import Recount

/// Shared memory outlives who made it. Its maker's beancounter pays for it until it is removed, and
/// lives as long.
extension Accounting {
  var keptBelow: Set<Kept> { subtree.reduce(into: []) { $0.formUnion($1.kept) } }

  /// shmpages over a tree: what its members have, and what they left behind.
  func countShared(_ pids: [Int32]) -> (perProcess: [Int64], orphans: [Kept: Int64]) {
    let known = keptBelow
    var without = host.pages.inodes.union(host.views.inodes)
    // Files of other trees: whoever made them pays, also while a member here has them open.
    for other in host.beancounters.values where other.root !== root {
      for case .file(_, let inode) in other.kept { without.insert(inode) }
    }
    guard let held = SharedMemory.count(pids, known: known, without: without, born: born) else {
      return ([], [:])
    }
    for (one, i) in held.kept where !known.contains(one) { host.owner[pids[i]]?.keep(one) }
    for gone in known where held.kept[gone] == nil && held.orphans[gone] == nil {
      for one in subtree where one.kept.remove(gone) != nil { host.state?.saveKept(one) }
    }
    return (held.perProcess, held.orphans)
  }

  private func keep(_ one: Kept) {
    guard kept.insert(one).inserted else { return }
    host.state?.saveKept(self)
  }

  /// While a call makes such memory it shows in /proc/PID; when its process has ended, nothing says
  /// whose it was.
  func noteShared(_ pid: Int32) {
    guard let held = SharedMemory.count([pid], born: born) else { return }
    for (one, _) in held.kept where !root.keptBelow.contains(one) { keep(one) }
  }

  /// What nobody in it holds any more but was not removed, freshly counted.
  func keptNow() -> Int64 {
    guard !kept.isEmpty else { return 0 }
    recount(.shmpages)
    if ledger[.lockedpages].granted > 0 { recount(.lockedpages) }
    return kept.isEmpty ? 0 : max(1, ledger.granted(estate, .shmpages))
  }

  /// `segment 7, /dev/shm/x`, for people.
  var keptNames: String {
    kept.map { one in
      switch one {
      case .segment(let id): "segment \(id)"
      case .file(let path, _): path
      }
    }.sorted().prefix(4).joined(separator: ", ")
  }

  /// Nobody is in it, and nobody waits for its report: what is left of a run is what it left in
  /// memory.
  var isOver: Bool { settings.ofOneRun && hasReported && memberCount == 0 && children.isEmpty }

  /// The same beancounter runs another command: it counts on.
  func revive(_ again: Settings) {
    settings = again
    hasReported = false
    for r in Resource.allCases { ledger.setBounds(again.bounds[r] ?? Bounds(), of: r) }
    setFailures(again.failures)
    host.state?.save(self)
    host.events.add(.created, of: self, nil, "again")
  }

  /// A run that is over but for what it left in memory is over when that is gone.
  func settleKept() {
    guard isOver else { return }
    let now = Clock.milliseconds()
    guard now - keptLookedAt >= 1000 else { return }
    keptLookedAt = now
    host.removeIfOver(self)
  }
}
