public import Beancounters
internal import CLinux
public import Command
internal import Recount
internal import Wire

/// One beancounter at work: its ledger, its members, its place in the tree. Decisions are in Decide.swift, the kernel's
/// figures come in through Recounts.swift. I/O is limited to the members' pages and to what Recount reads; the sockets are
/// Server's.
public final class Accounting {
  public let id: Int
  public let name: String
  public let token: Token
  public internal(set) var settings: Settings
  public internal(set) var ledger: Ledger
  public internal(set) var denials: [Report.Denial] = []
  var changedDenials: Set<Int> = []  // indices, since the last flush
  public internal(set) var uncovered: [Report.Uncovered] = []
  public internal(set) var work = Report.Work()
  /// The members' beancounter above, whose bounds hold for what is held here too.
  public let parent: Accounting?
  public internal(set) var children: [Accounting] = []
  let place: Ledger.Slot?  // in the parent's books

  unowned let host: Host
  var hasReported = false
  var firstLeasePages: Int64 = 0
  var members: [Int32: Member] = [:]
  /// Units whose holder died while others may go on holding them: an upper estimate until the next recount.
  let estate: Ledger.Slot
  public internal(set) var outside: [Outside]
  var denialPlaces: [DenialKey: Int] = [:]

  static let batch: [Resource: Int64] = [.numfile: 64, .numtcpsock: 32, .numothersock: 32, .numproc: 16]
  static let things: [Resource] = [.numproc, .numtcpsock, .numothersock, .numfile]
  static let descriptions: [Resource] = [.numtcpsock, .numothersock, .numfile]

  init(id: Int, name: String, token: Token, settings: Settings, outside: [Outside], host: Host, parent: Accounting?) {
    self.id = id
    self.name = name
    self.token = token
    self.settings = settings
    self.outside = outside
    self.host = host
    self.parent = parent
    ledger = Ledger(bounds: settings.bounds)
    estate = ledger.join()
    place = parent?.ledger.join()
  }

  public var liveMembers: Int { members.values.count { !$0.isZombie } }
  public var memberCount: Int { members.count }

  // MARK: The tree

  /// This one, then those above it: a charge goes this way.
  var upwards: UnfoldSequence<Accounting, (Accounting?, Bool)> { sequence(first: self) { $0.parent } }
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
    upwards.reduce(Bounds.unlimited) { min($0, $1.ledger.room(resource, severity)) }
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

  /// So much is in use now, here and above: moves maxheld.
  func observe(_ resource: Resource) {
    for level in upwards { level.ledger.observe(resource, held: level.usedTotal(resource)) }
    host.state?.isDirty = true
  }

  /// maxheld from what one member's cell shows of its peak, and what the others have in use now.
  func observePeak(_ member: Member, _ resource: Resource, grantedBefore: Int64) {
    for level in upwards where level.ledger[resource].granted > level.ledger[resource].maxheld {
      let own = ledger.granted(member.slot, resource)
      let above = member.peak(resource, granted: grantedBefore) - member.used(resource, granted: own)
      let total = level.usedTotal(resource) + above
      level.ledger.observe(resource, held: min(total, level.ledger[resource].granted))
      host.state?.isDirty = true
    }
  }

  // MARK: Cells

  func addCredit(_ pid: Int32, _ resource: Resource, _ amount: Int64) {
    guard let member = members[pid], let cell = member.cell(resource) else { return }
    observePeak(member, resource, grantedBefore: ledger.granted(member.slot, resource) - amount)
    let before = bc_add(&cell.pointee.credit, amount)
    bc_store(&cell.pointee.low, max(0, before) + amount)
    bc_store(&cell.pointee.granted, ledger.granted(member.slot, resource))
  }

  func mirror(_ pid: Int32, _ resource: Resource) {
    guard let member = members[pid], let cell = member.cell(resource) else { return }
    bc_store(&cell.pointee.granted, ledger.granted(member.slot, resource))
  }
}
