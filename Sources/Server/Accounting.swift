public import Beancounters
internal import CLinux
internal import Recount
internal import Wire

/// One beancounter at work: its ledger, its members, and the decisions in their order: batch, exactly n, recall all,
/// recount, deny. I/O is limited to the members' pages and to what Recount reads; the sockets are Server's.
public final class Accounting {
  public let settings: Settings
  public internal(set) var ledger: Ledger
  public internal(set) var denials: [Denial] = []
  public internal(set) var uncovered: [Uncovered] = []
  public internal(set) var work = Work()
  var firstLeasePages: Int64 = 0

  var members: [Int32: Member] = [:]
  /// Units whose holder died while children may go on holding them: an upper estimate until the next recount.
  let estate: Ledger.Slot
  let ownPid = getpid()
  /// Descriptors that were open here before the server opened any of its own: who opened them pays for them.
  let outsideFds: [Int32]
  var watch: (Int32, Int32) -> Void = { _, _ in }  // pidfd, pid
  var unwatch: (Int32) -> Void = { _ in }  // pidfd, about to be closed

  static let batch: [Resource: Int64] = [.numfile: 64, .numtcpsock: 32, .numothersock: 32, .numproc: 16]
  static let things: [Resource] = [.numproc, .numtcpsock, .numothersock, .numfile]
  static let descriptions: [Resource] = [.numtcpsock, .numothersock, .numfile]

  public init(settings: Settings, outsideFds: [Int32]) {
    self.settings = settings
    self.outsideFds = outsideFds
    ledger = Ledger(bounds: settings.bounds)
    estate = ledger.join()
  }

  public var liveMembers: Int { members.values.count { !$0.isZombie } }
  public var memberCount: Int { members.count }

  // MARK: Charges

  /// Decides on n units for a member. True: they are in its cell.
  func charge(_ pid: Int32, _ resource: Resource, _ n: Int64, _ severity: Severity) -> Bool {
    guard let slot = members[pid]?.slot, n >= 0,
      let amount = obtain(slot, resource, n, batch: Accounting.batch[resource] ?? 0, severity)
    else { return false }
    addCredit(pid, resource, amount)
    return true
  }

  /// The order of every decision (design §4): batch, exactly n, recall all, recount; nil is a denial.
  func obtain(_ slot: Ledger.Slot, _ resource: Resource, _ n: Int64, batch: Int64, _ severity: Severity) -> Int64? {
    func grant(_ want: Int64) -> Int64? { ledger.grant(slot, resource, least: n, want: want, severity: severity) }
    if let amount = grant(n + batch) { return amount }
    recall(resource)
    if let amount = grant(n) { return amount }
    recount(resource)
    if let amount = grant(n) { return amount }
    // A question of another process may have been open during the scan and counted: look once more.
    recount(resource)
    return grant(n)
  }

  func verify(_ pid: Int32, _ resource: Resource) {
    if resource == .numproc { recountTasks(only: pid) } else { recountDescriptions() }
  }

  func addCredit(_ pid: Int32, _ resource: Resource, _ amount: Int64) {
    guard let member = members[pid], let cell = member.cell(resource) else { return }
    observePeak(member, resource, grantedBefore: ledger.granted(member.slot, resource) - amount)
    let before = bc_add(&cell.pointee.credit, amount)
    bc_store(&cell.pointee.low, max(0, before) + amount)
    bc_store(&cell.pointee.granted, ledger.granted(member.slot, resource))
  }

  /// All members' unspent credit of one resource comes back: a memory operation each, whatever state they are in.
  func recall(_ resource: Resource) {
    work.recalls += 1
    for member in members.values {
      guard let cell = member.cell(resource) else { continue }
      let granted = ledger.granted(member.slot, resource)
      observePeak(member, resource, grantedBefore: granted)
      let credit = member.takeCredit(resource, granted: granted)
      ledger.giveBack(member.slot, resource, credit)
      bc_store(&cell.pointee.low, 0)
      bc_store(&cell.pointee.granted, granted - credit)
    }
  }

  /// maxheld from what one member's cell shows of its peak, and what the others have in use now.
  func observePeak(_ member: Member, _ resource: Resource, grantedBefore: Int64) {
    guard ledger[resource].granted > ledger[resource].maxheld else { return }
    var total = member.peak(resource, granted: grantedBefore) + ledger.granted(estate, resource)
    for other in members.values where other.pid != member.pid {
      total += other.used(resource, granted: ledger.granted(other.slot, resource))
    }
    ledger.observe(resource, held: min(total, ledger[resource].granted))
  }

  // MARK: Recounts

  func recount(_ resource: Resource) {
    if resource == .numproc { recountTasks() } else { recountDescriptions() }
  }

  private func freeze(_ member: Member, _ resource: Resource) {
    guard let cell = member.cell(resource) else { return }
    let granted = ledger.granted(member.slot, resource)
    observePeak(member, resource, grantedBefore: granted)
    _ = bc_exchange32(&cell.pointee.uncertain, 0)
    ledger.giveBack(member.slot, resource, member.takeCredit(resource, granted: granted, leaving: bc_frozen()))
  }

  /// Charges that had begun before the freeze end within microseconds, unless they block in the kernel or are stopped.
  private func drain(_ resources: [Resource]) {
    for _ in 0..<2000 where pending(resources) { sched_yield() }
  }

  private func pending(_ resources: [Resource]) -> Bool {
    members.values.contains { member in
      resources.contains { r in member.cell(r).map { bc_load32(&$0.pointee.pending) > 0 } ?? false }
    }
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
    ledger.set(member.slot, resource, to: amount)
  }

  private func pendingNow(_ member: Member, _ resource: Resource) -> Int32 {
    member.cell(resource).map { bc_load32(&$0.pointee.pending) } ?? 0
  }

  func recountTasks(only: Int32? = nil) {
    work.recounts += 1
    let counted = members.values.filter { only == nil || $0.pid == only }
    for member in counted { freeze(member, .numproc) }
    drain([.numproc])
    for member in counted {
      let before = pendingNow(member, .numproc)
      let tasks = Procfs.tasks(member.pid) ?? 0
      thaw(member, .numproc, counted: tasks + member.pendingForks, pendingBefore: before)
    }
    ledger.observe(.numproc, held: usedTotal(.numproc))
  }

  func recountDescriptions() {
    work.recounts += 1
    // Parents first: what a child inherited is put down to whoever opened it.
    let living = members.values.filter { !$0.isZombie }.sorted { $0.pid < $1.pid }
    for member in living { for r in Accounting.descriptions { freeze(member, r) } }
    drain(Accounting.descriptions)
    let before = living.map { m in Accounting.descriptions.map { pendingNow(m, $0) } }
    let found = Descriptors.count(
      living.map { member in .init(pid: member.pid) { Accounting.asking(member) } }, outside: ownPid,
      outsideFds: outsideFds)
    for r in Accounting.descriptions { ledger.set(estate, r, to: 0) }
    for (i, member) in living.enumerated() {
      let count = found.perProcess[i]
      members[member.pid]?.holdsShared = found.shares[i]
      thaw(member, .numtcpsock, counted: count.tcpSockets, pendingBefore: before[i][0])
      thaw(member, .numothersock, counted: count.otherSockets, pendingBefore: before[i][1])
      thaw(member, .numfile, counted: count.files, pendingBefore: before[i][2])
    }
    for r in Accounting.descriptions { ledger.observe(r, held: usedTotal(r)) }
  }

  /// The shim's own sockets, open while it asks.
  static func asking(_ member: Member) -> [Int32] {
    guard let page = member.page else { return [member.question] }
    return [member.question] + (0..<UInt32(BC_ASKING)).compactMap { i in
      let fd = bc_page_asking(page, i)
      return fd >= 0 ? fd : nil
    }
  }

  func usedTotal(_ resource: Resource) -> Int64 {
    members.values.reduce(ledger.granted(estate, resource)) {
      $0 + $1.used(resource, granted: ledger.granted($1.slot, resource))
    }
  }

  // MARK: Denials

  func deny(_ resource: Resource, pid: Int32, error: Int32, call: String, detail: String, amount: Int64) {
    ledger.refuse(resource)
    if let i = denials.firstIndex(where: {
      $0.resource == resource && $0.pid == pid && $0.call == call && $0.error == error
    }) {
      denials[i].count += 1
    } else {
      let comm = Procfs.stat(pid)?.comm ?? "?"
      denials.append(
        Denial(
          resource: resource, error: error, pid: pid, comm: comm, call: call, detail: detail, amount: amount, count: 1))
    }
  }

  // MARK: The state now, for a report

  /// Held of every enforced row, freshly recounted.
  public func heldNow() -> [Resource: Int64] {
    recountTasks()
    recountDescriptions()
    var held: [Resource: Int64] = [.privvmpages: observeMemory()]
    for r in Accounting.things { held[r] = usedTotal(r) }
    return held
  }
}
