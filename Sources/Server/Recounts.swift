public import Beancounters
internal import CLinux
internal import Command
internal import Recount
internal import Wire

/// The kernel's own figures brought into the books. Charges may go on meanwhile: a frozen cell lets none begin, what has
/// begun counts as held.
extension Accounting {
  func recount(_ resource: Resource) {
    if resource == .numproc { recountTasks() } else { recountDescriptions() }
  }

  /// Whether the estimate is the truth, so that a recount would find nothing.
  func isCertain(_ resource: Resource) -> Bool {
    subtree.allSatisfy { one in
      one.ledger.granted(one.estate, resource) == 0
        && one.members.values.allSatisfy { member in
          guard let cell = member.cell(resource) else {
            return member.coverage != .uncovered && (resource == .numproc || one.ledger.granted(member.slot, resource) == 0)
          }
          return bc_load32(&cell.pointee.uncertain) == 0 && bc_load32(&cell.pointee.pending) == 0
            && member.execPath == nil && member.pendingForks == 0 && member.page?.pointee.raw_calls == 0
        }
    }
  }

  private func freeze(_ member: Member, _ resource: Resource) {
    guard let cell = member.cell(resource) else { return }
    let granted = ledger.granted(member.slot, resource)
    observePeak(member, resource, grantedBefore: granted)
    _ = bc_exchange32(&cell.pointee.uncertain, 0)
    giveBack(member.slot, resource, member.takeCredit(resource, granted: granted, leaving: bc_frozen()))
  }

  /// Charges that had begun before the freeze end within microseconds, unless they block in the kernel or are stopped.
  private func drain(_ resources: [Resource], _ members: [Member]) {
    func pending() -> Bool {
      members.contains { m in resources.contains { r in m.cell(r).map { bc_load32(&$0.pointee.pending) > 0 } ?? false } }
    }
    for _ in 0..<2000 where pending() { sched_yield() }
  }

  private func thaw(_ member: Member, _ resource: Resource, counted: Int64, pendingBefore: Int32) {
    var amount = counted
    if let cell = member.cell(resource) {
      // What is pending may or may not have been counted; the estimate from before bounds it too.
      let pending = Int64(max(0, max(pendingBefore, bc_load32(&cell.pointee.pending))))
      amount = max(counted, min(counted + pending, ledger.granted(member.slot, resource)))
      bc_store(&cell.pointee.low, 0)
      bc_store(&cell.pointee.granted, amount)
      _ = bc_exchange(&cell.pointee.credit, 0)
    }
    put(member.slot, resource, to: amount)
  }

  private func pendingNow(_ member: Member, _ resource: Resource) -> Int32 {
    member.cell(resource).map { bc_load32(&$0.pointee.pending) } ?? 0
  }

  func recountTasks(only: Int32? = nil) {
    work.recounts += 1
    for one in only == nil ? subtree : [self] { one.recountOwnTasks(only: only) }
    observe(.numproc)
  }

  private func recountOwnTasks(only: Int32?) {
    let counted = only == nil ? Array(members.values) : [members[only!]].compactMap { $0 }
    for member in counted { freeze(member, .numproc) }
    drain([.numproc], counted)
    for member in counted {
      let before = pendingNow(member, .numproc)
      let tasks = Procfs.tasks(member.pid) ?? 0
      thaw(member, .numproc, counted: tasks + member.pendingForks, pendingBefore: before)
    }
  }

  /// A description that members of several beancounters of one tree have is held by the first of them, so the tree is
  /// counted as one.
  func recountDescriptions() {
    work.recounts += 1
    let tree = root.subtree
    // Parents first: what a child inherited is put down to whoever opened it.
    let living = tree.flatMap { one in one.members.values.filter { !$0.isZombie }.map { (of: one, member: $0) } }
      .sorted { $0.member.pid < $1.member.pid }
    for (one, member) in living { for r in Accounting.descriptions { one.freeze(member, r) } }
    drain(Accounting.descriptions, living.map(\.member))
    let before = living.map { m in Accounting.descriptions.map { pendingNow(m.member, $0) } }
    let found = Descriptors.count(
      living.map { one, member in .init(pid: member.pid) { Accounting.asking(one.members[member.pid] ?? member) } },
      outside: root.outsides)
    for one in tree { for r in Accounting.descriptions { one.put(one.estate, r, to: 0) } }
    for (i, (one, member)) in living.enumerated() {
      let count = found.perProcess[i]
      one.members[member.pid]?.holdsShared = found.shares[i]
      one.thaw(member, .numtcpsock, counted: count.tcpSockets, pendingBefore: before[i][0])
      one.thaw(member, .numothersock, counted: count.otherSockets, pendingBefore: before[i][1])
      one.thaw(member, .numfile, counted: count.files, pendingBefore: before[i][2])
    }
    for one in tree where one.children.isEmpty { for r in Accounting.descriptions { one.observe(r) } }
  }

  /// The shim's own sockets, open while it asks.
  static func asking(_ member: Member) -> [Int32] {
    guard let page = member.page else { return [member.question] }
    return [member.question] + (0..<UInt32(BC_ASKING)).compactMap { i in
      let fd = bc_page_asking(page, i)
      return fd >= 0 ? fd : nil
    }
  }

  /// Held of every row that is charged, freshly recounted.
  public func heldNow() -> [Resource: Int64] {
    recountTasks()
    recountDescriptions()
    var held: [Resource: Int64] = [.privvmpages: observeMemory()]
    for r in Accounting.things { held[r] = usedTotal(r) }
    return held
  }
}
