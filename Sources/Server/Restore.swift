internal import Beancounters
internal import CLinux
internal import Recount

/// A server that comes back: bounds and counters from the state, members and what they hold from the kernel.
extension Host {
  public func restore() {
    for saved in state?.alive() ?? [] {
      do {
        try create(
          name: saved.name, id: saved.id, parent: saved.parent.flatMap { beancounters[$0] }, settings: saved.settings,
          token: saved.token)
      } catch {
        // Two of one name: the state was not ours alone. The other is kept.
      }
    }
    guard !beancounters.isEmpty else { return }
    for one in beancounters.values { state?.resumeKept(one) }
    for pid in Procfs.processes() {
      guard let text = Procfs.environment(pid, "BC_TOKEN"), let token = Token(text), let one = find(token) else { continue }
      one.relearn(pid)
    }
    for one in beancounters.values where one.parent == nil && !one.keptBelow.isEmpty {
      one.recount(.shmpages)
      one.recount(.lockedpages)
    }
  }
}

extension Accounting {
  /// A member of the server before this one: what it holds is counted, not asked.
  func relearn(_ pid: Int32) {
    guard host.owner[pid] == nil, adopt(pid, parent: 0) else { return }
    put(members[pid]!.slot, .numproc, to: Procfs.tasks(pid) ?? 1)
    imageStarted(pid)
  }
}
