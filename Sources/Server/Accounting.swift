public import Beancounters
internal import CLinux
public import Command
internal import Recount
internal import Wire

/// One beancounter at work: its ledger, its members, its place in the tree. Decisions are in
/// Decide.swift, the kernel's figures come in through Recounts.swift. I/O is limited to the
/// members' pages and to what Recount reads; the sockets are Server's.
public final class Accounting {
  public let id: Int
  public let name: String
  public let token: Token
  public internal(set) var settings: Settings
  /// What charges change, at a place of its own that they reach without this object.
  let level: UnsafeMutablePointer<Level>
  public internal(set) var ledger: Ledger {
    _read { yield level.pointee.ledger }
    _modify { yield &level.pointee.ledger }
  }
  public internal(set) var denials: [Report.Denial] = []
  var changedDenials: Set<Int> = []  // indices, since the last flush
  public internal(set) var uncovered: [Report.Uncovered] = []
  public internal(set) var work: Report.Work {
    _read { yield level.pointee.work }
    _modify { yield &level.pointee.work }
  }
  /// The members' beancounter above, whose bounds hold for what is held here too.
  public let parent: Accounting?
  public internal(set) var children: [Accounting] = []
  let place: Ledger.Slot?  // in the parent's books

  unowned let host: Host
  var hasReported = false
  /// Keys of images that the head room is enough for, and the pages they took: of the whole tree,
  /// so the root has them.
  var known: [UInt64: Int64] = [:]
  var knownKeys: [UInt64] = []
  var members: [Int32: Member] = [:]
  /// Units whose holder died while others may go on holding them: an upper estimate until the next
  /// recount.
  let estate: Ledger.Slot
  public internal(set) var outside: [Outside]
  /// Shared memory that members made, also those that have ended: it keeps the beancounter.
  var kept: Set<Kept> = []
  var keptLookedAt: Int64 = 0  // milliseconds of Clock
  /// Seconds since the epoch: a file under /dev/shm that is older was not made here.
  public internal(set) var born = Int64(time(nil))
  var observed = Observed()
  /// Members of all beancounters of this tree; counted at the root.
  var inTree = 0
  var tasksRest = Rest()
  /// When members that nobody asks are looked at again, in milliseconds.
  var silentLooksAt: Int64 = 0
  var peaksRest: [Rest] = Array(repeating: Rest(), count: Int(BC_RESOURCES.rawValue))
  var maximaRest = Rest()
  var doubtRests: [Rest] = Array(repeating: Rest(), count: Int(BC_RESOURCES.rawValue))
  /// To read /proc/locks takes the kernel a grace period of RCU, some 6 ms (fs/locks.c,
  /// percpu_down_write in locks_start): it is done for whoever would be refused, and now and then
  /// at a tick for a maximum, while nobody waits.
  var locksRest = Rest()
  var memoryRest = Rest()
  var physical = PhysicalLimit()
  var bufferLook = BufferLook()
  /// Rows that the last look found beyond their bound.
  var beyond: Set<Resource> = []
  /// What its excess over oomguarpages adds to its members' `oom_score_adj`.
  var badness = 0
  var blame = Blame()
  var obtained = Obtained()
  var sightings = Sightings()
  var watch = Watch()
  /// Descriptors charged to processes when they ended.
  var leftOpen: Int64 = 0
  var injecting: [Resource: Injecting]
  var modes = Modes() { didSet { level.pointee.slow = modes.slow } }
  var rostered: [Rostered] = []
  var rosterOf = -1
  /// The last one, in nanoseconds.
  var recountTook: UInt64 = 0

  /// In one message: pages of all the bytes that 64 bits can name.
  static let mostAsked: Int64 = 1 << 53
  /// What one message may say that a member has, whatever the bounds: SCM_RIGHTS brings 253
  /// descriptors at most.
  static let mostForced: Int64 = 1024

  /// Units granted ahead. None of pages: they are asked for exactly.
  static func batch(_ resource: Resource) -> Int64 {
    switch resource {
    case .numfile: 64
    case .numtcpsock, .numothersock: 32
    case .numproc, .numflock, .numsiginfo: 16
    case .numpty, .numinotify: 4
    default: 0
    }
  }
  /// Rows that are charged through cells.
  static let things: [Resource] =
    [.numproc] + descriptions + [.numflock, .numsiginfo, .shmpages, .lockedpages]
  /// … of them, those that one look at the descriptors of all members counts.
  static let descriptions: [Resource] = [
    .numtcpsock, .numothersock, .numfile, .numpty, .numinotify,
  ]

  init(
    id: Int, name: String, token: Token, settings: Settings, outside: [Outside], host: Host,
    parent: Accounting?
  ) {
    self.id = id
    self.name = name
    self.token = token
    self.settings = settings
    self.outside = outside
    self.host = host
    self.parent = parent
    injecting = [:]
    place = parent?.ledger.join()
    level = .allocate(capacity: 1)
    level.initialize(to: Level(bounds: settings.bounds, parent: parent?.level, place: place ?? 0))
    estate = level.pointee.ledger.join()
    setFailures(settings.failures)
  }

  deinit {
    level.deinitialize(count: 1)
    level.deallocate()
  }

  public var liveMembers: Int { members.values.count { !$0.isZombie } }
  public var memberCount: Int { members.count }

  // MARK: The tree

  /// This one, then those above it: a charge goes this way.
  var upwards: UnfoldSequence<Accounting, (Accounting?, Bool)> {
    sequence(first: self) { $0.parent }
  }
  var root: Accounting { parent?.root ?? self }
  /// This one and all below it.
  var subtree: [Accounting] { children.isEmpty ? [self] : [self] + children.flatMap(\.subtree) }

  // MARK: The books. Every change of what is out here is a change of what is out above.

  private func tellParent(_ resource: Resource) {
    guard let parent, let place else { return }
    parent.put(place, resource, to: ledger[resource].granted)
  }

  func put(_ slot: Ledger.Slot, _ resource: Resource, to amount: Int64) {
    ledger.set(slot, resource, to: amount)
    tellParent(resource)
  }

  func giveBack(_ slot: Ledger.Slot, _ resource: Resource, _ amount: Int64) {
    guard amount > 0 else { return }
    ledger.giveBack(slot, resource, amount)
    tellParent(resource)
  }

  func leaveBooks(_ slot: Ledger.Slot) {
    ledger.leave(slot)
    if parent != nil { for resource in Resource.allCases { tellParent(resource) } }
  }

  func leaveParent() {
    if let place { parent?.leaveBooks(place) }
  }

  /// What could still be charged here, and at every level above.
  func room(_ resource: Resource, _ severity: Severity) -> Int64 {
    // A lease has a number also where physpages alone is bounded, and none grows by more than that
    // at once.
    let most = resource == .privvmpages ? physicalMost ?? Accounting.mostLeased : Bounds.unlimited
    return upwards.reduce(most) { min($0, $1.ledger.room(resource, severity)) }
  }

  /// Whether some level bounds it.
  func isBounded(_ resource: Resource) -> Bool {
    upwards.contains { $0.ledger[resource].bounds.ceiling(.hard) != Bounds.unlimited }
  }

  // MARK: What is in use

  func usedTotal(_ resource: Resource) -> Int64 {
    let here = members.values.reduce(ledger.granted(estate, resource)) {
      $0 + $1.used(resource, granted: ledger.granted($1.slot, resource))
    }
    return children.reduce(here) { $0 + $1.usedTotal(resource) }
  }

  /// The least that all but one member had in use, all the time since that one was last looked at.
  private func leastUsed(_ resource: Resource, since member: Member) -> Int64 {
    let here = members.values.reduce(Int64(0)) { sum, one in
      guard one.pid != member.pid else { return sum }
      let used = one.used(resource, granted: ledger.granted(one.slot, resource))
      if one.isUnsure(resource) { return sum }  // what may be counted twice is no maximum
      if one.page == nil {
        // A task that was there at the last look, and is now, was there all the time.
        guard resource == .numproc else { return sum + used }
        return sum + (one.adopted < member.lookedAt && kill(one.pid, 0) == 0 ? 1 : 0)
      }
      return sum + min(used, one.past[resource.rawValue].lastUsed)
    }
    return children.reduce(here) { $0 + $1.leastUsed(resource, since: member) }
  }

  private func isUnsure(_ resource: Resource) -> Bool {
    subtree.contains { one in
      one.ledger.granted(one.estate, resource) > 0
        || one.members.values.contains { $0.isUnsure(resource) }
    }
  }

  /// Whether all members are to be looked at for a maximum once more: always, while they are few.
  private func isPeakDue(_ resource: Resource) -> Bool { root.peaksRest[resource.rawValue].isOver }

  /// Before a maximum rests on them: estimates become counts.
  func makeSure(_ resource: Resource) {
    guard !host.isSettling, isPeakDue(resource),
      upwards.contains(where: { level in
        level.ledger[resource].granted > level.ledger[resource].maxheld
          && level.usedTotal(resource) > level.ledger[resource].maxheld
      })
    else { return }
    if resource == .numproc { settleTasks() }
    guard resource != .numsiginfo, resource != .numflock, root.doubtRests[resource.rawValue].isOver,
      certain(resource) == nil
    else { return }
    host.isSettling = true
    recount(resource)
    host.isSettling = false
    restIfVain(resource)
  }

  /// After a count that left something unsure, for it is on its way all the time (a handler asks in
  /// the midst of a call): for a maximum it is not counted again at once.
  func restIfVain(_ resource: Resource) {
    guard isModal(resource) else { return }
    let isVain = subtree.contains { one in
      one.members.values.contains { pendingNow($0, resource) > 0 || $0.isUnsure(resource) }
    }
    if isVain { root.doubtRests[resource.rawValue].begin(afterVain: root.recountTook) }
  }

  /// So much was held here at one moment.
  func saw(_ resource: Resource, held: Int64) {
    guard held > ledger[resource].maxheld else { return }
    ledger.observe(resource, held: held)
    host.state?.touch(self)
  }

  /// What the kernel counted, by beancounter: moves maxheld here and below, and above where all of
  /// it was counted.
  func observe(_ resource: Resource, counted: [ObjectIdentifier: Int64]) {
    @discardableResult func total(_ one: Accounting) -> Int64 {
      let sum = one.children.reduce(counted[ObjectIdentifier(one)] ?? 0) { $0 + total($1) }
      one.saw(resource, held: sum)
      return sum
    }
    total(self)
  }

  /// maxheld from what one member's cell shows of its peak since the last look. What the others had
  /// in use at that moment is not known: they count with the least of what they had at their own
  /// last look and have now, for no figure is invented. `gone`: it has ended, so what the others
  /// have now may have come after.
  func observePeak(_ member: Member, _ resource: Resource, grantedBefore: Int64, gone: Bool = false)
  {
    // A recount tells what of it is its own
    if member.hasInherited, Accounting.descriptions.contains(resource) { return }
    let peak = member.peak(resource, granted: grantedBefore)
    let now = member.used(resource, granted: grantedBefore)
    for level in upwards
    where isPeakDue(resource) && level.ledger[resource].granted > level.ledger[resource].maxheld {
      let own = member.used(resource, granted: ledger.granted(member.slot, resource))
      // Children may have been reaped that are still in the books: observeTasks looks closer.
      let sum = gone || resource == .numproc ? 0 : level.usedTotal(resource) - own + now
      // In this order: what is charged twice was unsure before
      let total = level.isUnsure(resource) ? 0 : sum
      // Others that let go and took again in between were not at this sum, but nobody ever is above
      // the bounds by a charge.
      let then = min(
        level.leastUsed(resource, since: member) + peak,
        level.ledger[resource].bounds.ceiling(.soft))
      level.saw(resource, held: min(max(total, then), level.ledger[resource].granted))
    }
    root.peaksRest[resource.rawValue].begin(root.inTree, few: Accounting.few, microsecondsEach: 0.3)
    members[member.pid]?.past[resource.rawValue].lastUsed = now
    if resource == .numproc {
      members[member.pid]?.lookedAt = host.nextMoment()
      if let cell = member.cell(.numproc) {
        members[member.pid]?.startPeak(.numproc, from: bc_load(&cell.pointee.credit))
      }
    }
  }

  /// What keeps below the known maxima makes no new one, however unsure it is: the member is not to
  /// ask about that. Other threads may be busy all the time, or one waits in the kernel, so that it
  /// is never sure for long.
  func allowBelowMaximum(_ pid: Int32, _ resource: Resource, after n: Int64) {
    guard let cell = members[pid]?.cell(resource), bc_load(&cell.pointee.low) < Member.unknownLow
    else { return }
    let room = upwards.reduce(Int64.max) { least, level in
      let members = level.subtree.reduce(0) { $0 + $1.members.count }
      return min(
        least, (level.ledger[resource].maxheld - level.usedTotal(resource)) / Int64(max(1, members))
      )
    }
    let credit = bc_load(&cell.pointee.credit)
    if room > 0, credit > 0 { members[pid]?.startPeak(resource, below: max(0, credit - n - room)) }
  }

  // MARK: Cells

  /// `forced`: what it is for may be in the books of somebody else too, and makes no maximum.
  func addCredit(_ pid: Int32, _ resource: Resource, _ amount: Int64, forced: Bool = false) {
    guard let member = members[pid], let cell = member.cell(resource) else { return }
    if !forced {
      observePeak(member, resource, grantedBefore: ledger.granted(member.slot, resource) - amount)
    }
    let before = bc_add(&cell.pointee.credit, amount)
    members[pid]?.startPeak(resource, from: max(0, before) &+ amount)  // the word may be anything
    bc_store(&cell.pointee.granted, ledger.granted(member.slot, resource))
    arm(cell, resource)
  }

  func mirror(_ pid: Int32, _ resource: Resource) {
    guard let member = members[pid], let cell = member.cell(resource) else { return }
    bc_store(&cell.pointee.granted, ledger.granted(member.slot, resource))
  }
}
