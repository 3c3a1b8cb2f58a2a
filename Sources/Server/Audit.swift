internal import Beancounters
internal import CLinux
internal import Command
internal import Recount
internal import Wire

/// What is looked at without anybody asking: every 20 ms, once around all beancounters and members,
/// or as far as one millisecond goes; then the rest of them next time. However many there are,
/// questions do not wait longer for it.
final class Audit {
  private static let milliseconds = 1.0

  private var beancounters: [Accounting] = []
  private var looksAt: Accounting?
  private var members: [Int32] = []

  func step(_ host: Host) {
    if looksAt == nil { beancounters = Array(host.beancounters.values) }
    let end = Clock.precise() + Audit.milliseconds
    repeat {
      if let pid = members.popLast() {
        if let one = looksAt, host.owner[pid] === one { one.audit(pid) }
      } else {
        if let one = looksAt, host.beancounters[one.id] === one { one.auditBooks() }
        looksAt = beancounters.popLast()
        guard let one = looksAt else { return }
        members = Array(one.members.keys)
      }
    } while Clock.precise() < end
  }
}

/// Looks that cost more the more members there are, and keep away for as long as makes them a small
/// part of the time.
struct Rest {
  private var until: Int64 = 0

  var isOver: Bool { until == 0 || Clock.milliseconds() >= until }

  /// Counted, not timed: what is exact must not depend on how busy the machine is. `few` cost
  /// nothing worth a rest.
  mutating func begin(_ members: Int, few: Int, microsecondsEach: Double) {
    guard members > few else { return until = 0 }
    until = Clock.milliseconds() + Int64(Double(members) * microsecondsEach * Rest.factor / 1000)
  }

  /// … or timed, where it is the kernel that makes each look wait.
  mutating func begin(after milliseconds: Double) {
    until =
      milliseconds < Rest.brief ? 0 : Clock.milliseconds() + Int64(milliseconds * Rest.longFactor)
  }

  private static let factor = 20.0
  private static let longFactor = 200.0
  private static let brief = 1.0
}

/// Counts that nobody would be refused without, only a maximum rests on them: so many at once, and
/// then so many a second. A program that shares and closes descriptors all the time makes its books
/// unsure as often.
struct Allowance {
  private var left = Allowance.most
  private var since = Clock.milliseconds()
  private static let most = 64.0
  private static let each = 5.0  // milliseconds until there is one more

  mutating func take(_ weight: Double) -> Bool {
    let now = Clock.milliseconds(), weight = min(weight, Allowance.most)
    left = min(Allowance.most, left + Double(now - since) / Allowance.each)
    since = now
    guard left >= weight else { return false }
    left -= weight
    return true
  }
}

extension Accounting {
  /// The audit of all of this beancounter: finds children that nobody announced and images that
  /// never said hello, keeps those ahead that cannot ask.
  public func tick() {
    for pid in Array(members.keys) { audit(pid) }
    auditBooks()
  }

  func audit(_ pid: Int32) {
    settleImage(pid)
    guard let member = members[pid] else { return }
    // Kernels before 6.9 do not say when a zombie is reaped. Its number may be another's by then.
    if member.hasGone { return ended(pid) }
    if member.isZombie { return }
    if member.pidfd < 0, Procfs.stat(pid).map({ "ZX".contains($0.state) }) ?? true {
      return ended(pid)
    }
    for child in Procfs.children(pid) where host.owner[child] == nil { adopt(child, parent: pid) }
    if let page = members[pid]?.page {
      if page.pointee.raw_calls != 0, let path = Procfs.executable(pid) {
        note(pid, path, "raw system calls")
      }
      auditPage(pid, page)
    }
    readMail(of: pid)
    takeNotes(of: pid)
    checkImage(pid)
    lookWhetherIdle(pid)
    lookForUnseen(pid)
  }

  func auditBooks() {
    readSpares()
    lookAtMaxima()
    keepAhead()
    if leased, memoryRest.isOver {
      memoryRest.begin(root.inTree, few: 16, microsecondsEach: 6)
      saw(.privvmpages, held: memoryHeld())
    }
    holdDown()
    observeIfDue()
    settleKept()
    lookAtDescriptors()
    tickWatch()
  }

  /// Beyond this, in either direction, no race of charges, releases and recounts brings a word.
  private static let mostDrift: Int64 = 1 << 16

  /// Words that the shim cannot have written cost the member its credit, and it is named.
  private func auditPage(_ pid: Int32, _ page: UnsafeMutablePointer<bc_page>) {
    guard let member = members[pid] else { return }
    for r in Accounting.things {
      guard let cell = bc_page_cell(page, UInt32(r.rawValue)) else { continue }
      let frozen = isModal(r) && isSlow(r) ? bc_frozen() : 0
      let credit = bc_load(&cell.pointee.credit) &- frozen, granted = ledger.granted(member.slot, r)
      guard credit < -Accounting.mostDrift || credit > granted + Accounting.mostDrift else {
        continue
      }
      _ = bc_exchange(&cell.pointee.credit, frozen)
      becomeCorrupt(pid, "credit of \(r.name)")
    }
    if page.pointee.magic != BC_WIRE_MAGIC { becomeCorrupt(pid, "no page of cells") }
  }

  private func becomeCorrupt(_ pid: Int32, _ what: String) {
    guard members[pid]?.isCorrupt == false else { return }
    members[pid]?.isCorrupt = true
    host.events.add(.corrupt, of: self, pid: pid, what)
    note(pid, Procfs.executable(pid) ?? "?", "corrupted cells")
  }

  /// A peak that lasts as long as a tick is not missed.
  private func lookAtMaxima() {
    guard maximaRest.isOver else { return }
    maximaRest.begin(
      root.inTree, few: Accounting.few,
      microsecondsEach: 0.1 * Double(Accounting.descriptions.count))
    observeTasks()
    for r in Accounting.descriptions {
      guard ledger[r].granted > ledger[r].maxheld, usedTotal(r) > ledger[r].maxheld else {
        continue
      }
      makeSure(r)
      guard usedTotal(r) > ledger[r].maxheld, let held = certain(r) else { continue }
      saw(r, held: held)
    }
    // Who is sure shows its maximum in its cell; and locks that it gives up while they are counted
    // would stand in the books until the next count.
    guard root.locksRest.isOver, isUnsure(.numflock),
      usedTotal(.numflock) > ledger[.numflock].maxheld
    else { return }
    recount(.numflock)
  }

  /// So many members are looked at before each maximum, which is then exact; of more, only now and
  /// then.
  static let few = 256

  /// maxheld of numproc, when no note stands for a child that has gone.
  func observeTasks() {
    guard !host.isSettling,
      upwards.contains(where: { $0.ledger[.numproc].granted > $0.ledger[.numproc].maxheld }),
      root.tasksRest.isOver
    else { return }
    root.tasksRest.begin(root.inTree, few: Accounting.few, microsecondsEach: 1)
    guard upwards.contains(where: { $0.usedTotal(.numproc) > $0.ledger[.numproc].maxheld }) else {
      return
    }
    // Threads that have ended are in the books until they are counted.
    guard !root.subtree.contains(where: { $0.members.values.contains { $0.isUnsure(.numproc) } })
    else {
      host.isSettling = true
      defer { host.isSettling = false }
      return root.recountTasks()
    }
    for _ in 0..<8 {
      settleTasks()
      let totals = upwards.map { ($0, $0.usedTotal(.numproc)) }
      // Those that are there now were there when the others were read: the sum was true at one
      // moment.
      guard root.everyoneIsThere else { continue }
      for (level, total) in totals { level.saw(.numproc, held: total) }
      return
    }
  }

  /// A forked child that charges nothing is silent too: only an image that cannot be entered is
  /// uncovered.
  private func checkImage(_ pid: Int32) {
    guard let member = members[pid], !member.isSealed,
      member.coverage != .joined || member.execPath != nil
    else { return }
    guard let path = Procfs.executable(pid), path != member.checkedPath else { return }
    members[pid]?.checkedPath = path
    if let reason = Executable.reasonUncovered(path) {
      becomeUncovered(pid, path, reason)
    } else if member.coverage == .uncovered {
      members[pid]?.coverage = .expected
    }
  }
}
