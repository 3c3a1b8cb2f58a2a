public import Beancounters
internal import CLinux
internal import Command
internal import Recount
internal import Wire

/// A charge, decided in the order of design §4: batch, exactly n, recall all, recount, deny.
extension Accounting {
  enum Outcome {
    case granted(Int64)
    /// By this beancounter, or by one above it.
    case refused(Accounting, Ground)
  }

  /// What a refusal rests on.
  enum Ground {
    /// Cells that are all at rest: nothing can come back.
    case certain
    /// The kernel's figures.
    case counted
    /// Cells alone, of which some are not at rest: there is nothing that a count could tell.
    case moving
  }

  enum Charged {
    /// The units are in its cell.
    case credited
    /// … are charged, and their call is under way.
    case taken
    case refused(Accounting, Ground)
  }

  /// Decides on n units for a member.
  func charge(_ pid: Int32, _ resource: Resource, _ n: Int64, _ severity: Severity) -> Charged {
    if severity == .soft, isBounded(resource) { recount(resource) } else { makeSure(resource) }
    if chooseMode(pid, resource, n, severity), severity == .hard,
      resource != .numfile || !watch.isArmed(pid)
    {
      return .credited
    }
    defer {
      if isModal(resource) {
        for level in upwards { level.modes.decided(resource, members: level.roster().count) }
      }
    }
    guard let slot = members[pid]?.slot else { return .credited }  // it has died asking
    let slow = isModal(resource) && isSlow(resource)
    if severity == .force { members[pid]?.hasForced = true }
    if resource == .numfile { settleWatch(pid) }
    let n = shortfall(pid, resource, n, severity)
    let had = ledger.granted(slot, resource)
    switch obtain(
      pid, slot, resource, n, batch: slow ? 0 : ahead(resource, pid, at: had + n), severity)
    {
    case .granted(let amount):
      // Beyond the barrier cells show no maxima: every charge asks from then on (arm).
      if severity == .soft {
        for level in upwards { level.saw(resource, held: level.usedTotal(resource) - (amount - n)) }
      }
      if slow {
        take(pid, resource, forced: severity == .force)
      } else {
        addCredit(pid, resource, amount, forced: severity == .force)
      }
      sample(resource, pid, n, had: had)
      if resource == .numfile, !slow, watch.isArmed(pid) { withdraw(pid, resource, leaving: n) }
      passed(resource, pid, to: had + amount)
      noteBarrier(resource, pid, severity)
      return slow ? .taken : .credited
    case .refused(let level, let ground):
      return .refused(level, ground)
    }
  }

  /// At least n units for one slot of these books, at every level or at none.
  func obtain(
    _ pid: Int32, _ slot: Ledger.Slot, _ resource: Resource, _ n: Int64, batch: Int64,
    _ severity: Severity
  ) -> Outcome {
    var want = n + batch
    var tries: [ObjectIdentifier: Int] = [:]
    while true {
      guard let level = refusing(resource, n, severity) else { break }
      want = n
      let stage = tries[ObjectIdentifier(level), default: 0]
      tries[ObjectIdentifier(level)] = stage + 1
      switch stage {
      // Where cells are frozen and at rest, there is nothing to recall.
      case 0 where !level.isSlow(resource): level.timed(resource) { level.recall(resource) }
      case 0, 1:
        // Where nothing is uncertain the estimate is the truth: there is nothing to find.
        let held = level.timed(resource) { level.certain(resource) }
        // Given back just now, or left by one whose death was found at that look.
        guard level.ledger.room(resource, severity) < n else { continue }
        if let held {
          level.saw(resource, held: held)
          return .refused(level, .certain)
        }
        guard stage == 1 else {
          level.timed(resource) { level.recall(resource) }
          continue
        }
        guard level.mayFind(resource) else { return .refused(level, .moving) }
        level.recount(resource)
      // A question of another process may have been open during the scan and counted: look once
      // more.
      case 2:
        let isCertain = level.certain(resource) != nil
        guard level.ledger.room(resource, severity) < n else { continue }
        guard !isCertain else { return .refused(level, .certain) }
        guard level.mayFind(resource) else { return .refused(level, .moving) }
        level.recount(resource)
      default: return .refused(level, .counted)
      }
    }
    let amount = upwards.reduce(want) { least, level in
      min(least, level.ledger.offer(resource, least: n, want: want, severity: severity) ?? n)
    }
    // It has died asking, while others were served: it is to hold nothing, also until it is reaped.
    guard isMember(pid, slot), members[pid]?.isZombie == false else { return .granted(0) }
    put(slot, resource, to: ledger.granted(slot, resource) + amount)
    return .granted(amount)
  }

  /// What a charge of a file lacks, of what is there already: so that where every charge asks, what
  /// is out to a member is what it has had at once (Watch). Where even that is refused, all of it
  /// is asked for: what is there comes back with the recall.
  private func shortfall(_ pid: Int32, _ resource: Resource, _ n: Int64, _ severity: Severity)
    -> Int64
  {
    guard resource == .numfile, let cell = members[pid]?.cell(resource) else { return n }
    let lacking = Accounting.shortfall(cell, n)
    return refusing(resource, lacking, severity) == nil ? lacking : n
  }

  static func shortfall(_ cell: UnsafeMutablePointer<bc_cell>, _ n: Int64) -> Int64 {
    let credit = bc_load(&cell.pointee.credit)
    return credit > 0 && credit < n ? n - credit : n
  }

  /// The lowest level whose bounds refuse n more.
  private func refusing(_ resource: Resource, _ n: Int64, _ severity: Severity) -> Accounting? {
    upwards.first { $0.ledger.room(resource, severity) < n }
  }

  /// All members' unspent credit of one resource comes back: a memory operation each, whatever
  /// state they are in.
  func recall(_ resource: Resource) {
    let start = Clock.nanoseconds()
    defer { work.recalling += Clock.nanoseconds() - start }
    work.recalls += 1
    if isModal(resource), isSlow(resource) { return collect(resource) }
    if resource == .numproc { settleTasks() }
    for one in subtree {
      var back: [(Ledger.Slot, Int64)] = []
      for member in one.members.values {
        guard let cell = member.cell(resource) else { continue }
        let granted = one.ledger.granted(member.slot, resource)
        one.observePeak(member, resource, grantedBefore: granted)
        let credit = member.takeCredit(resource, granted: granted)
        one.members[member.pid]?.startPeak(resource, from: 0)
        bc_store(&cell.pointee.granted, granted - credit)
        one.arm(cell, resource)
        back.append((member.slot, credit))
      }
      for (slot, credit) in back { one.giveBack(slot, resource, credit) }
    }
  }

  /// Where every charge asks from now on, what is out to a member is what it has had at once: what
  /// was granted ahead of this charge comes back.
  private func withdraw(_ pid: Int32, _ resource: Resource, leaving n: Int64) {
    guard let member = members[pid], let cell = member.cell(resource) else { return }
    let granted = ledger.granted(member.slot, resource)
    var credit = bc_load(&cell.pointee.credit)  // the word may be anything
    while n < credit, credit <= granted {
      if bc_cas(&cell.pointee.credit, &credit, n) {
        giveBack(member.slot, resource, credit - n)
        break
      }
    }
    mirror(pid, resource)
  }

  func verify(_ pid: Int32, _ resource: Resource) {
    if resource == .numproc { recountTasks(only: pid) } else { recount(resource) }
  }

  // MARK: New bounds while it runs

  /// New bounds, also below what is held: what exists stays, new charges fail. Credit that is out
  /// beyond the new barrier comes back at once.
  public func setBounds(_ bounds: [Resource: Bounds]) {
    for (resource, bound) in bounds {
      let wasLeased = leased
      settings.bounds[resource] = bound
      ledger.setBounds(bound, of: resource)
      host.events.add(
        .set, of: self, resource, BoundsChange(barrier: bound.barrier, limit: bound.limit).text)
      if Resource.buffers.contains(resource) { for one in subtree { one.tellMembers() } }
      if ledger[resource].granted > bound.ceiling(.hard) {
        if Accounting.things.contains(resource) { recall(resource) }
        if resource == .privvmpages, wasLeased { recallMemory(except: 0) }
      }
      if resource == .vmguarpages, leased, ledger.room(.privvmpages, .hard) < 0 {
        recallMemory(except: 0)
      }
      if resource == .oomguarpages { observe() }
      if resource == .privvmpages || resource == .physpages {
        for one in subtree { one.leasesChanged(were: wasLeased) }
        for one in subtree { one.holdDown() }
      }
      tellIfOver(resource)
    }
    host.state?.save(self)
  }
}
