internal import Beancounters
internal import CLinux
internal import Recount
internal import Wire

/// A server that comes back: bounds and counters from the state, members and what they hold from
/// the kernel.
extension Host {
  public func restore() {
    for saved in state?.alive() ?? [] {
      do {
        try create(
          name: saved.name, id: saved.id, parent: saved.parent.flatMap { beancounters[$0] },
          settings: saved.settings,
          outside: state?.outside(of: saved.id) ?? [], token: saved.token)
      } catch {
        // Two of one name: the state was not ours alone. The other is kept.
      }
    }
    guard !beancounters.isEmpty else { return }
    for one in beancounters.values { state?.resumeKept(one) }
    for pid in Procfs.processes() {
      guard let text = Procfs.environment(pid, "BC_TOKEN"), let token = Token(text),
        let one = find(token)
      else { continue }
      one.relearn(pid)
    }
    for one in beancounters.values where one.parent == nil && !one.keptBelow.isEmpty {
      one.recount(.shmpages)
      one.recount(.lockedpages)
    }
    // What several hold is in the books of each until now.
    for one in beancounters.values
    where one.parent == nil && one.subtree.contains(where: { $0.liveMembers > 0 }) {
      _ = one.heldNow()
    }
  }
}

extension Accounting {
  /// A member of the server before this one: what it holds is counted, not asked.
  func relearn(_ pid: Int32) {
    guard host.owner[pid] == nil, adopt(pid, parent: 0) else { return }
    let took = takeOldCredit(pid)
    put(members[pid]!.slot, .numproc, to: Procfs.tasks(pid) ?? 1)
    imageStarted(pid)
    trimLease(pid)
    members[pid]?.isRelearned = took
  }

  /// What the server before this one granted and is not spent: nobody has it in the books any more,
  /// and the member must ask for it anew before it is counted. Where we may not write to its memory
  /// (ptrace(2), access mode checks) it is spent first.
  private func takeOldCredit(_ pid: Int32) -> Bool {
    let memory = clinux_open("/proc/\(pid)/mem", O_RDWR | O_CLOEXEC)
    guard memory >= 0 else { return false }
    defer { close(memory) }
    // One from every server it has known.
    for page in Procfs.addresses(pid, of: "/memfd:beancounter") { takeOldCredit(page, in: memory) }
    return true
  }

  private func takeOldCredit(_ page: Int, in memory: Int32) {
    var old = bc_page()
    func look() -> Bool {
      pread(memory, &old, MemoryLayout<bc_page>.size, page) == MemoryLayout<bc_page>.size
        && old.magic == BC_WIRE_MAGIC
    }
    guard look() else { return }
    var none: Int64 = 0
    for r in Accounting.things {
      pwrite(memory, &none, 8, page + bc_page_credit_at(UInt32(r.rawValue)))
    }
    var noBirths: Int32 = 0
    pwrite(memory, &noBirths, 4, page + bc_page_births_at())
    // What had begun ends within microseconds, unless it blocks in the kernel: then it is counted
    // when it has ended.
    for _ in 0..<20 {
      guard look() else { return }
      let isPending = withUnsafeMutablePointer(to: &old) { old in
        Accounting.things.contains {
          bc_pending(bc_page_cell(old, UInt32($0.rawValue))) != 0
        }
      }
      if !isPending { return }
      usleep(500)
    }
  }
}
