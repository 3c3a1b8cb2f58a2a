public import Beancounters
internal import CLinux
internal import Command
internal import Recount
internal import Wire

/// The kernel's own figures brought into the books. Charges may go on meanwhile: a frozen cell lets
/// none begin, what has begun counts as held.
extension Accounting {
  func recount(_ resource: Resource) {
    let start = Clock.nanoseconds(), isInner = host.isRecounting
    host.isRecounting = true
    defer {
      host.isRecounting = isInner
      root.recountTook = Clock.nanoseconds() - start
      // Others are served meanwhile, which may need a count of theirs: its time is in this one.
      if !isInner { work.recounting += root.recountTook }
    }
    if resource == .numproc {
      recountTasks()
    } else if Accounting.descriptions.contains(resource) {
      recountDescriptions(all: false)
    } else {
      recountOther(resource)
    }
  }

  /// What is held, where the estimate is the truth, so that a recount would find nothing: what was
  /// recalled is still gone, nothing is on its way, nothing is unsure, everybody is there. nil
  /// where it may not be. Looked at with the cells frozen, for a unit that is given back must not
  /// be spent again meanwhile (Tests/Model has the interleavings).
  func certain(_ resource: Resource) -> Int64? {
    // Locks, signals and memory come back in ways that nobody sees.
    guard resource == .numproc || Accounting.descriptions.contains(resource) else { return nil }
    host.settleDeaths()
    if isModal(resource), isSlow(resource) {
      return subtree.allSatisfy { $0.ledger.granted($0.estate, resource) == 0 }
        ? certainSlowly(resource) : nil
    }
    let level = subtree
    for one in level { for member in one.members.values { one.freeze(member, resource) } }
    let certain = level.allSatisfy { one in
      one.ledger.granted(one.estate, resource) == 0
        && one.members.values.allSatisfy { one.isCertain($0, resource) }
    }
    let held = ledger[resource].granted
    for one in level { for member in one.members.values { one.unfreeze(member, resource) } }
    return certain ? held : nil
  }

  func isCertain(_ member: Member, _ resource: Resource) -> Bool {
    guard !member.isZombie else { return true }
    guard member.execPath == nil, member.pendingForks == 0, !member.isCorrupt,
      kill(member.pid, 0) == 0
    else { return false }
    if member.hasForced, Accounting.descriptions.contains(resource) { return false }
    guard let page = member.page, let cell = member.cell(resource) else {
      return member.coverage != .uncovered
        && (resource == .numproc || ledger.granted(member.slot, resource) == 0)
    }
    if resource == .numproc, member.hasThreads { return false }
    return bc_page_at_rest(page, UInt32(resource.rawValue))
      && bc_load(&cell.pointee.credit) == bc_frozen()
  }

  /// Where a refusal does not rest on what is certain: whether what could not be seen at rest may
  /// give some back in a moment. A refusal waits for that, but not for long: what is on its way
  /// counts as held, and the members of a stopped or very busy tree may be so for ever.
  func isMoving(_ resource: Resource, _ ground: Ground, again: UInt32) -> Bool {
    let waited = 1_000_000 * UInt64(bc_waited(min(again, 1000)))
    // Of the server before this one, and not heard of yet: the socket of a question that has no
    // mark yet is nobody's that can be told.
    if again < 3, roster().contains(where: \.isRelearned) { return true }
    let counting = ground == .counted ? UInt64(again) * root.recountTook : 0
    guard ground != .certain, max(waited, counting) < Accounting.longestMove else { return false }
    return roster().contains { mayMove($0, resource) && Procfs.isRunning($0.pid) }
  }

  private func mayMove(_ one: Rostered, _ resource: Resource) -> Bool {
    guard let page = one.page else { return one.of.members[one.pid].map(one.of.mayAsk) ?? false }
    let cell = bc_page_cell(page, UInt32(resource.rawValue))!
    return bc_pending(cell) > 0 || bc_is_unsure(cell) || bc_page_question_moves(page)
      || (!one.isSteady && one.of.members[one.pid]?.isUnsure(resource) == true)
  }

  /// Whether a count would look at anybody: it does at those whose own books may be wrong
  /// (DescriptionCount). What is only on its way it would not find, and where many members run
  /// there is always some.
  func mayFind(_ resource: Resource) -> Bool {
    guard isModal(resource) else { return true }
    if root.subtree.contains(where: { one in
      Accounting.descriptions.contains { one.ledger.granted(one.estate, $0) > 0 }
    }) {
      return true
    }
    return root.roster().contains { one in
      guard let page = one.page, one.isSteady, bc_page_shares_nothing(page) else { return true }
      return Accounting.descriptions.contains {
        bc_load32(&bc_page_cell(page, UInt32($0.rawValue)).pointee.uncertain) != BC_SURE.rawValue
      }
    }
  }
  private static let longestMove: UInt64 = 100_000_000  // nanoseconds

  /// No charge can begin; what is unspent comes back.
  func freeze(_ member: Member, _ resource: Resource) {
    guard member.page != nil else { return }
    let granted = ledger.granted(member.slot, resource)
    observePeak(member, resource, grantedBefore: granted)
    giveBack(
      member.slot, resource, member.takeCredit(resource, granted: granted, leaving: bc_frozen()))
  }

  /// … and what makes it unsure from now on is a matter for the next count. First all are frozen,
  /// for their peaks are worth nothing once one of them has forgotten that it is unsure. Those that
  /// were unsure.
  func freezeToCount(_ members: [(of: Accounting, member: Member)], _ resource: Resource) -> Set<
    Int32
  > {
    for (one, member) in members { one.freeze(member, resource) }
    return Set(
      members.compactMap { _, member in
        member.cell(resource).map { bc_exchange32(&$0.pointee.uncertain, 0) != 0 } ?? true
          ? member.pid : nil
      })
  }

  /// What was given back while the cell was frozen is credit again.
  func unfreeze(_ member: Member, _ resource: Resource) {
    guard let cell = member.cell(resource), !isModal(resource) || !isSlow(resource) else { return }
    // Wrapping: the word may be anything.
    let released = max(
      0, min(bc_load(&cell.pointee.credit) &- bc_frozen(), ledger.granted(member.slot, resource)))
    members[member.pid]?.startPeak(resource, from: released)
    bc_store(&cell.pointee.granted, ledger.granted(member.slot, resource))
    // Corrupted, or a release meanwhile: the word is brought back to small numbers by the same
    // amount either way.
    arm(cell, resource)
    let word = bc_add(&cell.pointee.credit, -bc_frozen()) &- bc_frozen()
    if word < 0 || word > ledger.granted(member.slot, resource) {
      _ = bc_exchange(&cell.pointee.credit, 0)
    }
  }

  /// Charges that had begun before the freeze end within microseconds, unless they block in the
  /// kernel or are stopped: who has no thread that runs is not waited for, and nobody for long.
  func drain(_ resources: [Resource], _ members: [Member]) {
    func isPending(_ m: Member) -> Bool {
      resources.contains { r in pendingNow(m, r) > (m.isViewing && r == .numfile ? 1 : 0) }
    }
    var awaited = members.filter(isPending)
    guard !awaited.isEmpty else { return }
    let end = Clock.nanoseconds() + Accounting.longestDrain
    var turn = 0
    while !awaited.isEmpty, Clock.nanoseconds() < end {
      host.pause()
      sched_yield()
      turn += 1
      awaited.removeAll { !isPending($0) }
      if turn % 32 == 0 { awaited.removeAll { !Procfs.isRunning($0.pid) } }
    }
  }
  private static let longestDrain: UInt64 = 3_000_000

  /// `wasSure`: what was out to it at the freeze is what it has and is about to have.
  func thaw(
    _ member: Member, _ resource: Resource, counted: Int64, pendingBefore: Int32, wasSure: Bool
  ) {
    guard isMember(member.pid, member.slot), members[member.pid]?.isZombie == false else { return }
    var amount = counted
    if let cell = member.cell(resource) {
      // What is pending may or may not have been counted, and is two units for a pair; pages come
      // by the thousand. The estimate from before bounds it too.
      let pending = Int64(max(0, pendingBefore, bc_pending(cell)))
      let most = ledger.granted(member.slot, resource)
      let isPages = resource == .shmpages || resource == .lockedpages
      amount = max(
        counted,
        pending == 0
          ? 0 : isPages ? most : min(counted + (resource == .numproc ? 1 : 2) * pending, most))
      // What ended meanwhile may have been counted, and stand in the books twice.
      if amount > counted, !wasSure { _ = bc_exchange32(&cell.pointee.uncertain, 1) }
      members[member.pid]?.startPeak(resource, from: 0)
      bc_store(&cell.pointee.granted, amount)
      arm(cell, resource)
      // Released while it was counted: it may have been counted all the same.
      if bc_exchange(&cell.pointee.credit, isModal(resource) && isSlow(resource) ? bc_frozen() : 0)
        != bc_frozen()
      {
        _ = bc_exchange32(&cell.pointee.uncertain, 1)
      }
    }
    put(member.slot, resource, to: amount)
    if resource == .numfile { members[member.pid]?.unseen = Unseen() }
  }

  func pendingNow(_ member: Member, _ resource: Resource) -> Int32 {
    member.cell(resource).map { bc_pending($0) } ?? 0
  }

  /// Members of its tree wait meanwhile, others are served: a charge that was answered within a
  /// count of its own beancounter would be forgotten by it.
  func holdOthers<T>(_ count: () -> T) -> T {
    let isOuter = host.counting.insert(ObjectIdentifier(root)).inserted
    defer { if isOuter { host.counting.remove(ObjectIdentifier(root)) } }
    return count()
  }

  func recountTasks(only: Int32? = nil) { holdOthers { countTasks(only: only) } }

  private func countTasks(only: Int32?) {
    work.recounts += 1
    guard only == nil else {
      _ = recountOwnTasks(only: only)
      return
    }
    let counted = subtree.map { (ObjectIdentifier($0), $0.recountOwnTasks(only: nil)) }
    // Those that are there now were there when the others were counted: the sum was true at one
    // moment.
    if everyoneIsThere { observe(.numproc, counted: Dictionary(uniqueKeysWithValues: counted)) }
  }

  private func recountOwnTasks(only: Int32?) -> Int64 {
    var total: Int64 = 0
    for pid in only.map({ [$0] }) ?? Array(members.keys) { takeNotes(of: pid) }
    let frozen = only == nil ? Array(members.values) : [members[only!]].compactMap { $0 }
    let unsure = freezeToCount(frozen.map { (self, $0) }, .numproc)
    drain([.numproc], frozen)
    let before = Dictionary(uniqueKeysWithValues: frozen.map { ($0.pid, pendingNow($0, .numproc)) })
    // Forks that ended since the freeze: what their parents charged is their children's now.
    for member in frozen { takeNotes(of: member.pid) }
    for member in only == nil ? Array(members.values) : [members[only!]].compactMap({ $0 }) {
      let tasks = Procfs.tasks(member.pid) ?? 0
      total += tasks
      // One that came just now has what its parent charged.
      guard let pending = before[member.pid] else { continue }
      // Threads that had ended are not in this count: the shim is not to give them back as well.
      if let page = member.page { bc_page_threads_counted(page, Int32(max(1, tasks))) }
      thaw(
        member, .numproc, counted: ownTasks(member.pid, tasks), pendingBefore: pending,
        wasSure: !unsure.contains(member.pid))
      members[member.pid]?.hasThreads = tasks > 1
    }
    return total
  }

  /// Locks, signals, shared and locked memory: counted over the tree too, for what several share is
  /// put down to the first.
  private func recountOther(_ resource: Resource) { holdOthers { countOther(resource) } }

  private func countOther(_ resource: Resource) {
    work.recounts += 1
    root.knowEveryone()
    let tree = root.subtree
    let all = tree.flatMap { one in one.members.values.map { (of: one, member: $0) } }.sorted {
      $0.member.pid < $1.member.pid
    }
    let living = all.filter { !$0.member.isZombie }
    let unsure = freezeToCount(living, resource)
    drain([resource], living.map(\.member))
    let before = living.map { pendingNow($0.member, resource) }
    let start = Clock.precise()
    let (counts, orphans) = root.count(resource, all.map(\.member.pid))
    if resource == .numflock { root.locksRest.begin(after: Clock.precise() - start) }
    var totals: [ObjectIdentifier: Int64] = [:]
    for one in tree {
      let orphaned = one.kept.reduce(0) { $0 + (orphans[$1] ?? 0) }
      one.put(one.estate, resource, to: orphaned)
      totals[ObjectIdentifier(one)] = orphaned
    }
    var i = 0
    for (k, (one, member)) in all.enumerated() {
      let count = k < counts.count ? counts[k] : 0
      totals[ObjectIdentifier(one), default: 0] += count
      if member.isZombie, one.isMember(member.pid, member.slot) {
        one.put(member.slot, resource, to: count)  // a segment outlives its maker
      } else if !member.isZombie {
        one.thaw(
          member, resource, counted: count, pendingBefore: before[i],
          wasSure: !unsure.contains(member.pid))
        i += 1
      }
    }
    root.observe(resource, counted: totals)
  }

  /// A child that only its parent knows of may be the last that holds what the parent opened.
  func knowEveryone() {
    takeNotes()
    for one in subtree {
      for member in Array(one.members.values) where one.isForking(member) {
        if Procfs.stat(member.pid).map({ "ZX".contains($0.state) }) ?? true {
          one.ended(member.pid)
        }
      }
    }
  }

  private func count(_ resource: Resource, _ pids: [Int32]) -> (
    perProcess: [Int64], orphans: [Kept: Int64]
  ) {
    switch resource {
    case .numflock: return (Locks.count(pids)?.perProcess ?? [], [:])
    case .numsiginfo: return (Signals.held(pids).perProcess, [:])
    case .lockedpages: return LockedMemory.count(pids, known: keptBelow)
    default: return countShared(pids)
    }
  }

  /// It has no page to show its first question in, and has a socket that may be that.
  func mayAsk(_ member: Member) -> Bool {
    member.page == nil && member.coverage != .uncovered
      && ledger.granted(member.slot, .numothersock) > 0
  }

  /// The shim's own sockets, open while it asks.
  static func asking(_ member: Member) -> [Int32] {
    guard let page = member.page else { return [member.question] }
    return [member.question]
      + (0..<UInt32(BC_ASKING)).compactMap { i in
        let fd = bc_page_asking(page, i)
        return fd >= 0 ? fd : nil
      }
  }

  /// Held of every row that is charged, freshly recounted.
  public func heldNow() -> [Resource: Int64] {
    recountTasks()
    recountDescriptions(all: true)
    for r in [Resource.numflock, .numsiginfo, .shmpages, .lockedpages] where ledger[r].granted > 0 {
      recountOther(r)
    }
    var held: [Resource: Int64] = [.privvmpages: observeMemory()]
    for r in Accounting.things { held[r] = usedTotal(r) }
    return held
  }
}
