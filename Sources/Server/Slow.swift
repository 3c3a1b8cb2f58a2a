internal import Beancounters
internal import CLinux
internal import Command
internal import Wire

/// The two modes of a row that is charged through cells. *Fast*: members have credit, and a charge
/// that does not fit takes back all of it. *Slow*: cells are frozen, every charge asks, and whether
/// it fits is read from words that have not moved. When to change is Beancounters/Switch.swift's to
/// say; prices are what each change took when it was last made.
struct Modes {
  enum Policy { case automatic, fast, slow }
  /// For measurements: BC_MODE=fast or slow in the environment of the server keeps all rows in one
  /// mode.
  static let policy: Policy = {
    switch getenv("BC_MODE").map({ String(cString: $0) }) {
    case "fast": .fast
    case "slow": .slow
    default: .automatic
    }
  }()

  private var switches: [Resource: Switch] = [:]
  private(set) var slow: UInt32 = 0

  func isSlow(_ resource: Resource) -> Bool { slow >> UInt32(resource.rawValue) & 1 == 1 }

  /// The mode to serve a charge in; `fits` by what is out, `expecting` what it costs in nanoseconds
  /// to be asked.
  mutating func serve(_ resource: Resource, fits: Bool, expecting: UInt64) -> Switch.Mode {
    switch Modes.policy {
    case .fast: return .fast
    case .slow: return .slow
    case .automatic: break
    }
    if fits, !isSlow(resource) { return .fast }  // nothing to decide: the fast path of every charge
    return switches[resource, default: Switch(prices: .init(toSlow: 0, toFast: 0))].serve(
      fits: fits, expecting: expecting)
  }

  mutating func paid(_ resource: Resource, _ nanoseconds: UInt64) {
    switches[resource]?.paid(nanoseconds)
  }

  /// A change has been made, and took so long.
  mutating func changed(_ resource: Resource, to mode: Switch.Mode, _ nanoseconds: UInt64) {
    let bit: UInt32 = 1 << UInt32(resource.rawValue)
    slow = mode == .slow ? slow | bit : slow & ~bit
    if mode == .slow {
      switches[resource]?.prices.toSlow = nanoseconds
    } else {
      switches[resource]?.prices.toFast = nanoseconds
    }
  }
}

/// A member with what a look at all cells needs of it, so that it costs one cache line each.
struct Rostered {
  unowned(unsafe) let of: Accounting
  let pid: Int32
  let slot: Ledger.Slot
  let page: UnsafeMutablePointer<bc_page>?
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
          Rostered(of: one, pid: $0.pid, slot: $0.slot, page: $0.page, isSteady: $0.isSteady)
        }
      }
    }
    return rostered
  }

  /// Before a charge is decided: what the asker itself gave back is its own again, and each level
  /// is in the mode that its switch says. What serving it slowly takes is then to be paid.
  func chooseMode(_ pid: Int32, _ resource: Resource, _ n: Int64, _ severity: Severity) {
    guard isModal(resource) else { return }
    if isSlow(resource), let member = members[pid] { collect(member.slot, member.page, resource) }
    for level in upwards where level.ledger[resource].bounds.ceiling(.hard) != Bounds.unlimited {
      let fits = level.ledger.room(resource, severity) >= n
      let mode = level.modes.serve(resource, fits: fits, expecting: host.askingTakes)
      if mode == .slow, !level.modes.isSlow(resource) { level.goSlow(resource) }
      if mode == .fast, level.modes.isSlow(resource) { level.goFast(resource) }
    }
  }

  func paidForAsking(_ resource: Resource) {
    guard isModal(resource) else { return }
    for level in upwards where level.modes.isSlow(resource) {
      level.modes.paid(resource, host.askingTakes)
    }
  }

  private func goSlow(_ resource: Resource) {
    let start = Clock.nanoseconds()
    modes.changed(resource, to: .slow, 0)  // first: what is frozen stays so
    for entry in roster() where entry.page != nil {
      if let member = entry.of.members[entry.pid] { entry.of.freeze(member, resource) }
    }
    let took = Clock.nanoseconds() - start
    modes.changed(resource, to: .slow, took)
    work.recalls += 1
    work.toSlow += 1
    work.switching += took
  }

  private func goFast(_ resource: Resource) {
    let start = Clock.nanoseconds()
    modes.changed(resource, to: .fast, 0)
    for entry in roster() where entry.page != nil && !entry.of.isSlow(resource) {
      if let member = entry.of.members[entry.pid] { entry.of.unfreeze(member, resource) }
    }
    let took = Clock.nanoseconds() - start
    modes.changed(resource, to: .fast, took)
    work.toFast += 1
    work.switching += took
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
