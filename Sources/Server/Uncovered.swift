internal import Beancounters
internal import CLinux
internal import Command
internal import Recount
internal import Wire

/// What the shim is not in: named, and counted from outside.
extension Accounting {
  /// Of the levels above and this, the one with the least room: it is what refuses.
  func tightest(_ resource: Resource) -> Accounting {
    upwards.min { $0.ledger.room(resource, .hard) < $1.ledger.room(resource, .hard) } ?? self
  }

  func noteIfUncoverable(_ pid: Int32, _ path: String?) {
    guard let path, let found = Executable.resolve(path) else { return }
    if let reason = Executable.resolve(path, of: pid).flatMap(Executable.reasonUncovered) {
      note(pid, found, reason)
    } else if let reason = members[pid].flatMap(silenceReason),
      !uncovered.contains(where: { $0.pid == pid && $0.reason == reason })
    {
      note(pid, Procfs.executable(pid) ?? found, reason)
    }
  }

  /// The latest of them; a server may live for years.
  private static let mostUncovered = 1024

  func note(_ pid: Int32, _ executable: String, _ reason: String) {
    guard
      !uncovered.contains(where: {
        $0.pid == pid && $0.executable == executable && $0.reason == reason
      })
    else { return }
    if uncovered.count >= Accounting.mostUncovered { uncovered.removeFirst() }
    uncovered.append(Report.Uncovered(pid: pid, executable: executable, reason: reason))
    host.events.add(.uncovered, of: self, pid: pid, "\(executable): \(reason)")
  }

  func becomeSealed(_ pid: Int32) {
    members[pid]?.isSealed = true
    becomeUncovered(
      pid, Procfs.executable(pid) ?? "?", members[pid].flatMap(silenceReason) ?? "seccomp filter")
  }

  private func silenceReason(_ member: Member) -> String? {
    switch UInt32(bitPattern: member.silence) {
    case BC_MUTED_NOT.rawValue: nil
    case BC_MUTED_FAR.rawValue: "out of reach of the server"
    case BC_MUTED_UNSEEN.rawValue: "library out of sight"
    default: "seccomp filter"
    }
  }

  func becomeUncovered(_ pid: Int32, _ path: String, _ reason: String) {
    members[pid]?.coverage = .uncovered
    takeBirths(pid)
    if let member = members[pid] {
      for r in Accounting.things {
        giveBack(member.slot, r, member.takeCredit(r, granted: ledger.granted(member.slot, r)))
      }
    }
    leaveSeat(pid)
    members[pid]?.dropPage(host.pages)
    note(pid, path, reason)
    if let member = members[pid] {
      put(member.slot, .numproc, to: ownTasks(pid, Procfs.tasks(pid) ?? 1))
    }
  }
}
