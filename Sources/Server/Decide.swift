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
    case refused(Accounting)
  }

  enum Charged {
    /// The units are in its cell.
    case credited
    /// … are charged, and their call is under way.
    case taken
    case refused(Accounting)
  }

  /// Decides on n units for a member.
  func charge(_ pid: Int32, _ resource: Resource, _ n: Int64, _ severity: Severity) -> Charged {
    makeSure(resource)
    chooseMode(pid, resource, n, severity)
    defer { paidForAsking(resource) }
    guard let slot = members[pid]?.slot else { return .credited }  // it has died asking
    let slow = isModal(resource) && isSlow(resource)
    if severity == .force { members[pid]?.hasForced = true }
    let had = ledger.granted(slot, resource)
    switch obtain(slot, resource, n, batch: slow || injects(resource) ? 0 : Accounting.batch[resource] ?? 0, severity) {
    case .granted(let amount):
      if slow { take(pid, resource, forced: severity == .force) }
      else { addCredit(pid, resource, amount, forced: severity == .force) }
      sample(resource, pid, amount, had: had)
      noteBarrier(resource, pid, severity)
      return slow ? .taken : .credited
    case .refused(let level):
      return .refused(level)
    }
  }

  /// At least n units for one slot of these books, at every level or at none.
  func obtain(_ slot: Ledger.Slot, _ resource: Resource, _ n: Int64, batch: Int64, _ severity: Severity) -> Outcome {
    var want = n + batch
    var tries: [ObjectIdentifier: Int] = [:]
    while true {
      guard let level = refusing(resource, n, severity) else { break }
      want = n
      let stage = tries[ObjectIdentifier(level), default: 0]
      tries[ObjectIdentifier(level)] = stage + 1
      switch stage {
      case 0: level.recall(resource)
      case 1:
        // Where nothing is uncertain the estimate is the truth: there is nothing to find.
        if let held = level.certain(resource) {
          level.ledger.observe(resource, held: held)
          return .refused(level)
        }
        guard level.ledger.room(resource, severity) < n else { continue }  // given back just now
        level.recount(resource)
      // A question of another process may have been open during the scan and counted: look once more.
      case 2 where level.certain(resource) == nil: level.recount(resource)
      default: return .refused(level)
      }
    }
    let amount = upwards.reduce(want) { least, level in
      min(least, level.ledger.offer(resource, least: n, want: want, severity: severity) ?? n)
    }
    put(slot, resource, to: ledger.granted(slot, resource) + amount)
    return .granted(amount)
  }

  /// The lowest level whose bounds refuse n more.
  private func refusing(_ resource: Resource, _ n: Int64, _ severity: Severity) -> Accounting? {
    upwards.first { $0.ledger.room(resource, severity) < n }
  }

  /// All members' unspent credit of one resource comes back: a memory operation each, whatever state they are in.
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

  func verify(_ pid: Int32, _ resource: Resource) {
    if resource == .numproc { recountTasks(only: pid) } else { recount(resource) }
  }

  private func noteBarrier(_ resource: Resource, _ pid: Int32, _ severity: Severity) {
    guard severity != .hard else { return }
    for level in upwards where level.ledger[resource].granted > level.ledger[resource].bounds.barrier {
      host.events.add(.barrier, of: level, resource, pid: pid)
    }
  }

  // MARK: New bounds while it runs

  /// New bounds, also below what is held: what exists stays, new charges fail. Credit that is out beyond the new barrier
  /// comes back at once.
  public func setBounds(_ bounds: [Resource: Bounds]) {
    for (resource, bound) in bounds {
      let wasLeased = leased
      settings.bounds[resource] = bound
      ledger.setBounds(bound, of: resource)
      host.events.add(.set, of: self, resource)
      if ledger[resource].granted > bound.ceiling(.hard) {
        if Accounting.things.contains(resource) { recall(resource) }
        if resource == .privvmpages, wasLeased { recallMemory(except: 0) }
        if ledger[resource].granted > bound.ceiling(.hard) { host.events.add(.over, of: self, resource) }
      }
      if resource == .vmguarpages, leased, ledger.room(.privvmpages, .hard) < 0 { recallMemory(except: 0) }
      if resource == .oomguarpages { observe() }
      if resource == .privvmpages { for one in subtree { one.leasesChanged(were: wasLeased) } }
    }
    host.state?.save(self)
  }
}
