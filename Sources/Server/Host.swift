internal import Beancounters
internal import CLinux
internal import Command
internal import Recount

/// All beancounters of one server, and which process belongs to which.
public final class Host {
  public private(set) var beancounters: [Int: Accounting] = [:]
  private var byToken: [Token: Accounting] = [:]
  private var byName: [String: Accounting] = [:]
  /// The beancounter of every member.
  var owner: [Int32: Accounting] = [:]
  public let events = Events()
  var watch: (Int32, Int32) -> Void = { _, _ in }  // pidfd, pid
  var unwatch: (Int32) -> Void = { _ in }  // pidfd, about to be closed
  /// What outlives this process; nil for a private server, which has nobody to tell.
  public var state: State? {
    didSet {
      isKept = state != nil
      seats.writesMaxima.pointee = isKept
    }
  }
  private(set) var isKept = false
  let seats = Seats()
  let pages = MemberPages()
  let mailboxes = Mailboxes()
  let views = ViewFiles()
  public let witnesses = Witnesses()
  var isSettling = false
  var isRecounting = false
  private let audit = Audit()
  /// When a look that nobody asked for may be taken, in milliseconds of `Clock.precise`.
  var looksAgain = 0.0
  /// Whether there is a descriptor to watch one more process with.
  var mayWatch: () -> Bool = { true }
  let physical = PhysicalPages()
  /// Those that have ended, and nobody has heard of yet.
  var settleDeaths: () -> Void = {}
  /// Called while something takes long: others are served meanwhile.
  var pause: () -> Void = {}
  /// Trees that are being counted: their members wait.
  var counting: Set<ObjectIdentifier> = []
  /// What a question that needs no look costs the server, in nanoseconds of the processor, from one
  /// wait to the next.
  private(set) var askingTakes: UInt64 = 5000
  func asked(_ nanoseconds: UInt64) {
    askingTakes = (askingTakes * 7 + min(nanoseconds, 2 * askingTakes)) / 8
  }
  private var moment = 0
  func nextMoment() -> Int {
    moment += 1
    return moment
  }
  var guarantee = Guarantee()

  public init() {
    pages.forget = { [unowned mailboxes] in mailboxes.forget($0) }
  }

  /// All below it are in use, or known.
  private var leastFree = 1

  /// Real parsers of /proc/user_beancounters lose a container whose id has nine digits.
  public static let greatestId = 99_999_999

  /// Why something asked of the host cannot be done: text for people.
  public struct Refusal: Error {
    public var text: String
  }

  /// A new beancounter, or an earlier one of the same id come to life again with its counters.
  @discardableResult public func create(
    name: String, id: Int? = nil, parent: Accounting? = nil, settings: Settings,
    outside: [Outside] = [],
    token: Token = Token()
  ) throws(Refusal) -> Accounting {
    if let over = byName[name], over.isOver, over.parent === parent, id == nil || id == over.id {
      over.revive(settings)
      return over
    }
    // A container is called by its number, as OpenVZ's are: its id is the same, or `find` could
    // mean either of two.
    let number = name.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(name) ?? .max : nil
    if let number, let id, number != id {
      throw Refusal(text: "\(name) is a number, as ids are, and not \(id); give both the same")
    }
    let asked = id ?? number
    if byName[name] != nil {
      throw Refusal(text: "there is a beancounter \(name) already; choose another name")
    }
    if let id = asked {
      guard 1...Host.greatestId ~= id else {
        throw Refusal(text: "id \(id); accepted: 1 to \(Host.greatestId)")
      }
      if let other = beancounters[id] {
        throw Refusal(text: "id \(id) is \(other.name)'s; choose another")
      }
    }
    if asked == nil {
      while beancounters[leastFree] != nil || state?.isKnown(leastFree) == true { leastFree += 1 }
    }
    let id = asked ?? leastFree
    let one = Accounting(
      id: id, name: name, token: token, settings: settings, outside: outside, host: self,
      parent: parent)
    state?.resume(one)
    beancounters[id] = one
    byName[name] = one
    byToken[token] = one
    parent?.children.append(one)
    state?.save(one)
    events.add(.created, of: one)
    return one
  }

  /// Forgets a beancounter that nobody is in any more.
  public func remove(_ one: Accounting) throws(Refusal) {
    if one.memberCount > 0 {
      throw Refusal(
        text:
          "\(one.name) has \(Display.plural(Int64(one.memberCount), "member")); it can be removed when they have ended"
      )
    }
    if let child = one.children.first {
      throw Refusal(text: "\(one.name) is the parent of \(child.name); remove that first")
    }
    let kept = one.keptNow()
    if kept > 0 {
      throw Refusal(
        text:
          "\(one.name) holds \(kept) pages of shared memory that nobody has removed (\(one.keptNames)); remove that first"
      )
    }
    events.add(.removed, of: one)
    one.leaveParent()
    one.parent?.children.removeAll { $0 === one }
    beancounters[one.id] = nil
    leastFree = min(leastFree, one.id)
    byName[one.name] = nil
    byToken[one.token] = nil
    state?.forget(one)
  }

  /// The beancounter of a run goes when its report has been given and the last member has gone; its
  /// counters stay known.
  func removeIfOver(_ one: Accounting) {
    guard one.settings.ofOneRun, one.hasReported, one.memberCount == 0, one.children.isEmpty else {
      return
    }
    try? remove(one)
  }

  /// By name, or by numeric id.
  public func find(_ nameOrId: some StringProtocol) throws(Refusal) -> Accounting {
    if let one = byName[String(nameOrId)] ?? Int(nameOrId).flatMap({ beancounters[$0] }) {
      return one
    }
    let known = beancounters.values.map(\.name).sorted().prefix(12).joined(separator: ", ")
    throw Refusal(
      text: "no beancounter \(nameOrId)"
        + (known.isEmpty ? "; there is none yet" : "; there are \(known)"))
  }

  func find(_ token: Token) -> Accounting? { byToken[token] }

  public var inOrder: [Accounting] { beancounters.values.sorted { $0.id < $1.id } }

  public func tick() {
    audit.step(self)
    witnesses.tick()
    spareMemory.giveBack(members: owner.count)
  }
  private var spareMemory = SpareMemory()
}

/// Membership: whoever names it, and is let in by the kernel's credentials, belongs to the
/// beancounter.
public struct Token: Hashable, Sendable {
  let high, low: UInt64

  public init() {
    var words: (UInt64, UInt64) = (0, 0)
    withUnsafeMutableBytes(of: &words) {
      precondition(getrandom($0.baseAddress!, $0.count, 0) == $0.count)
    }
    (high, low) = words
  }

  init(_ high: UInt64, _ low: UInt64) { (self.high, self.low) = (high, low) }

  /// From its text; nil for anything but 32 hexadecimal digits.
  public init?(_ text: some StringProtocol) {
    guard text.utf8.count == 32, let high = UInt64(text.prefix(16), radix: 16),
      let low = UInt64(text.suffix(16), radix: 16)
    else { return nil }
    (self.high, self.low) = (high, low)
  }

  public var text: String { Token.hex(high) + Token.hex(low) }

  private static func hex(_ word: UInt64) -> String {
    let digits = String(word, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}

/// Descriptors that were open before a beancounter was: who opened them pays for them. Told apart
/// by kcmp with a process that holds them still.
public struct Outside: Sendable {
  public var pid: Int32
  public var fds: [Int32]
  /// What they were of, where the process is a member itself, which may close them.
  var files: [Int32: Descriptors.Identity]?

  public init(pid: Int32, fds: [Int32]) {
    self.pid = pid
    self.fds = fds
  }

  init(pid: Int32, fds: [Int32], files: [Int32: Descriptors.Identity]) {
    self.init(pid: pid, fds: fds)
    self.files = files
  }
}
