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
  var members = Members()
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
  var counts: [Allowance] = Array(repeating: Allowance(), count: Int(BC_RESOURCES.rawValue))
  /// To read /proc/locks takes the kernel a grace period of RCU, some 6 ms (fs/locks.c,
  /// percpu_down_write in locks_start): it is done for whoever would be refused, and now and then
  /// at a tick for a maximum, while nobody waits.
  var locksRest = Rest()
  var memoryRest = Rest()
  var holdsDown = false
  var unseenRest = Rest()
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

  // MARK: Cells

  /// `forced`: what it is for may be in the books of somebody else too, and makes no maximum.
  func addCredit(_ pid: Int32, _ resource: Resource, _ amount: Int64, forced: Bool = false) {
    guard let member = members[pid], let cell = member.cell(resource) else { return }
    if !forced {
      observePeak(member, resource, grantedBefore: ledger.granted(member.slot, resource) - amount)
    }
    let before = bc_add(&cell.pointee.credit, amount)
    // Frozen where it is counted and questions are answered meanwhile
    let unspent = Member.unspent(before, granted: ledger.granted(member.slot, resource))
    members[pid]?.startPeak(resource, from: unspent + amount)
    bc_store(&cell.pointee.granted, ledger.granted(member.slot, resource))
    arm(cell, resource)
  }

  func mirror(_ pid: Int32, _ resource: Resource) {
    guard let member = members[pid], let cell = member.cell(resource) else { return }
    bc_store(&cell.pointee.granted, ledger.granted(member.slot, resource))
  }
}
