internal import Beancounters
internal import CLinux
internal import Command
internal import Wire

/// A member with what a look at all cells needs of it, so that it costs one cache line each.
struct Rostered {
  unowned(unsafe) let of: Accounting
  let pid: Int32
  let slot: Ledger.Slot
  let page: UnsafeMutablePointer<bc_page>?
  let past: Pasts
  let isRelearned: Bool
  /// Nothing but its cells can make its figure unsure.
  let isSteady: Bool
}

extension Accounting {
  func isModal(_ resource: Resource) -> Bool { Accounting.descriptions.contains(resource) }

  /// Whether cells of its members are frozen, by this level or one above.
  func isSlow(_ resource: Resource) -> Bool { upwards.contains { $0.modes.isSlow(resource) } }

  /// Members here and below that are alive.
  func roster() -> [Rostered] {
    if rosterOf != Member.changes {
      rosterOf = Member.changes
      rostered = subtree.flatMap { one in
        one.members.values.filter { !$0.isZombie }.map {
          Rostered(
            of: one, pid: $0.pid, slot: $0.slot, page: $0.page, past: $0.past,
            isRelearned: $0.isRelearned, isSteady: $0.isSteady)
        }
      }
    }
    return rostered
  }

  /// Before a charge is decided: each level is in the mode that its switch says, and what the asker
  /// itself gave back to a frozen cell is in the books again. True where it is credit instead, for
  /// the row has become fast, and as much as is asked for.
  func chooseMode(_ pid: Int32, _ resource: Resource, _ n: Int64, _ severity: Severity) -> Bool {
    guard isModal(resource) else { return false }
    let wasSlow = isSlow(resource)
    let released = wasSlow ? released(pid, resource) : 0
    for level in upwards where level.ledger[resource].bounds.ceiling(.hard) != Bounds.unlimited {
      level.level.pointee.asked[resource.rawValue] += 1
      let mode = level.mode(pid, resource, n, released: released, severity)
      if mode == .slow, !level.modes.isSlow(resource) { level.goSlow(resource) }
      if mode == .fast, level.modes.isSlow(resource) { level.goFast(resource) }
    }
    if isSlow(resource) {
      if let member = members[pid] { collect(member.slot, member.page, resource) }
      return false
    }
    return wasSlow && released >= n
  }

  private func mode(
    _ pid: Int32, _ resource: Resource, _ n: Int64, released: Int64, _ severity: Severity
  ) -> Switch.Mode {
    if let mode = Modes.kept { return mode }
    let room = ledger.room(resource, severity), fits = n - released <= room
    let isSlow = modes.isSlow(resource)
    guard isSlow || !fits else { return .fast }  // nothing to decide
    let members = roster().count, question = host.askingTakes
    let look = modes.looks(resource, members: members)
    guard isSlow else {
      return modes.serve(
        resource, fast: question + look.fast,
        slow: question * (1 + unasked(resource)) + look.slow, members: members)
    }
    let way = modes.suppose(resource) {
      $0.charge(
        pid, n, released: released, room: room, batch: Accounting.batch(resource),
        members: ledger.members)
    }
    return modes.serve(
      resource, fast: way == .credit ? 0 : question + (way == .recall ? look.fast : 0),
      slow: question + (fits ? 0 : look.slow), members: members)
  }

  /// Charges from credit since this was last asked, which slow would have been asked for. Where
  /// levels share members, what one has counted the others miss: slow then seems cheaper to them.
  private func unasked(_ resource: Resource) -> UInt64 {
    let row = resource.rawValue
    let begun = roster().reduce(UInt64(0)) { sum, one in
      guard let page = one.page else { return sum }
      let now = bc_begun(bc_page_cell(page, UInt32(row))), before = one.past[resource].begun
      one.past[resource].begun = now
      return sum + UInt64((now &- before) & UInt32(BC_BEGUN_MOST))
    }
    let asked = level.pointee.asked[row]
    level.pointee.asked[row] = 0
    return begun > asked ? begun - asked : 0
  }

  /// A look at all cells, timed: what a charge that does not fit costs.
  func timed<Found>(_ resource: Resource, _ look: () -> Found) -> Found {
    guard isModal(resource) else { return look() }
    let start = Clock.nanoseconds()
    defer { modes.looked(resource, Clock.nanoseconds() - start) }
    return look()
  }

  private func goSlow(_ resource: Resource) {
    let start = Clock.nanoseconds()
    modes.change(resource, to: .slow)  // first: what is frozen stays so
    let roster = roster()
    for entry in roster where entry.page != nil {
      if let member = entry.of.members[entry.pid] { entry.of.freeze(member, resource) }
    }
    let took = Clock.nanoseconds() - start
    modes.changed(resource, to: .slow, took, members: roster.count)
    work.recalls += 1
    work.toSlow += 1
    work.switching += took
  }

  /// What members gave back meanwhile is their credit.
  private func goFast(_ resource: Resource) {
    let start = Clock.nanoseconds()
    modes.change(resource, to: .fast)
    let roster = roster()
    for entry in roster where entry.page != nil && !entry.of.isSlow(resource) {
      if let member = entry.of.members[entry.pid] { entry.of.unfreeze(member, resource) }
    }
    _ = unasked(resource)
    let took = Clock.nanoseconds() - start
    modes.changed(resource, to: .fast, took, members: roster.count)
    work.toFast += 1
    work.switching += took
  }

  private func released(_ pid: Int32, _ resource: Resource) -> Int64 {
    guard let member = members[pid], let cell = member.cell(resource) else { return 0 }
    return Member.unspent(
      bc_load(&cell.pointee.credit), granted: ledger.granted(member.slot, resource))
  }

  /// What was given back to a frozen cell.
  private func collect(
    _ slot: Ledger.Slot, _ page: UnsafeMutablePointer<bc_page>?, _ resource: Resource
  ) {
    guard let page else { return }
    let cell = bc_page_cell(page, UInt32(resource.rawValue))!
    guard bc_load(&cell.pointee.credit) != bc_frozen() else { return }
    let granted = ledger.granted(slot, resource)
    let back = Member.unspent(bc_exchange(&cell.pointee.credit, bc_frozen()), granted: granted)
    giveBack(slot, resource, back)
    bc_store(&cell.pointee.granted, granted - back)
  }

  /// A recall where all cells are frozen.
  func collect(_ resource: Resource) {
    for entry in roster() { entry.of.collect(entry.slot, entry.page, resource) }
  }

  /// What is held, if nothing has moved since the cells were frozen: while they are, it can only
  /// fall, and every fall shows in a word, so what is read one after another was so all the while.
  func certainSlowly(_ resource: Resource) -> Int64? {
    let at = UInt32(resource.rawValue)
    for entry in roster() {
      guard let page = entry.page, entry.isSteady else {
        guard let member = entry.of.members[entry.pid], entry.of.isCertain(member, resource) else {
          return nil
        }
        continue
      }
      guard bc_page_at_rest(page, at),
        bc_load(&bc_page_cell(page, at).pointee.credit) == bc_frozen()
      else { return nil }
    }
    return ledger[resource].granted
  }

  /// n units go to a member with the answer, for its cell is frozen: they are charged, and their
  /// call is under way.
  func take(_ pid: Int32, _ resource: Resource, forced: Bool) {
    guard let cell = members[pid]?.cell(resource) else { return }
    for level in upwards
    where !forced && level.ledger[resource].granted > level.ledger[resource].maxheld {
      if let held = level.certain(resource) { level.saw(resource, held: held) }
    }
    _ = bc_add32(&cell.pointee.pending, 1)
    mirror(pid, resource)
  }
}
