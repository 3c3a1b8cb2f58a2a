internal import Beancounters
private import CLinux
internal import Wire

enum Clock {
  static func nanoseconds() -> UInt64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
  }

  static func milliseconds() -> Int64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now)
    return Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec) / 1_000_000
  }
}

/// A process in a beancounter, as the server knows it.
struct Member {
  enum Coverage {
    /// Forked, or about to run an image that has not said hello.
    case expected
    case joined
    /// The shim is not in it: counted in full, held by the kernel at its lease.
    case uncovered
  }

  /// Moves on with whatever a roster is made from.
  nonisolated(unsafe) static var changes = 0

  let pid: Int32
  /// In a process namespace of its own: the numbers that it sees are not ours.
  var isForeign = false
  /// It forbade itself to ask, and so did what it was forked from or started by.
  var isSealed = false
  /// Why images that it starts cannot ask (enum bc_muted); what is forked from it inherits that, and the spare pages.
  var silence: Int32 = 0
  var spares: Spares?
  /// Which of them its page is.
  var spare: Int?
  let slot: Ledger.Slot
  var pidfd: Int32
  var page: UnsafeMutablePointer<bc_page>? { didSet { Member.changes += 1 } }
  var coverage = Coverage.expected { didSet { Member.changes += 1 } }
  /// Pages that RLIMIT_DATA lets it have; 0 while memory has no bound.
  var lease: Int64 = 0
  /// Another user's: its limits are set by its own shim, from our answers.
  var setsOwnLease = false
  /// Pages of MAP_NORESERVE mappings that were let beyond the lease.
  var exempt: Int64 = 0
  /// The program's own RLIMIT_DATA in bytes; −1 when it set none.
  var ownLimit: Int64 = -1
  /// Children announced and not yet seen: each has a numproc, and a copy of the lease, charged here.
  var pendingForks: Int64 = 0 { didSet { Member.changes += 1 } }
  var hasForked: Bool { page.map { $0.pointee.generation & BC_GENERATIONS > 1 } ?? hadForked }
  var hadForked = false
  /// Its loader may still be mapping the image: its lease is not to be touched below the room that images are given. Not
  /// believed for ever: an image that cannot speak never says that it is loaded.
  var isLoading: Bool {
    get { loadingSince.map { Clock.milliseconds() - $0 < Member.longestLoading } ?? false }
    set { loadingSince = newValue ? Clock.milliseconds() : nil }
  }
  var loadingSince: Int64?
  private static let longestLoading: Int64 = 250
  /// Children that joined before their parent could note them: the unit that it charged for each stays its own until then.
  var ahead: Set<Int32> = []
  /// The parent that it joined ahead of, which has its unit of numproc.
  var aheadOf: Int32?
  /// Rows whose least credit was last set while unsure: what it says is no peak.
  var withoutPeak: UInt32 = 0
  /// In use when its cells were last looked at, by resource.
  /// When it came, and when its tasks were last looked at, on the host's count of such moments.
  var adopted = 0
  var lookedAt = 0
  var lastUsed = [Int64](repeating: 0, count: Int(BC_RESOURCES.rawValue))
  /// The program that was last found to be one that the shim can enter, or not.
  var checkedPath: String?
  /// The last recount put down to it what others hold too.
  var holdsShared = false
  /// What its image came with is in its books and in those of whoever opened it, until the next recount.
  var hasInherited = false { didSet { Member.changes += 1 } }
  /// What was charged to it whatever the bounds say may be charged to others too, until the next recount.
  var hasForced = false { didSet { Member.changes += 1 } }
  /// It had threads at the last recount, and those end unseen.
  var hasThreads = false
  /// What it said it would run, until the new image says hello.
  var execPath: String? { didSet { Member.changes += 1 } }
  var isZombie = false { didSet { Member.changes += 1 } }
  /// From outside, with descriptors that nobody has counted yet.
  var hasEntered = false
  /// The descriptor of the question being answered: the shim's, not the program's.
  var question: Int32 = -1
  /// It waits for a view, with the charge of the file begun: that one will not end before it is answered.
  var isViewing = false

  func cell(_ resource: Resource) -> UnsafeMutablePointer<bc_cell>? {
    page.map { bc_page_cell($0, UInt32(resource.rawValue)) }
  }

  /// What it has charged and not given back, from its cell: never less than the truth.
  func used(_ resource: Resource, granted: Int64) -> Int64 {
    guard let cell = cell(resource) else { return granted }
    return granted - Member.unspent(bc_load(&cell.pointee.credit), granted: granted)
  }

  /// What a word of credit is worth, frozen or not; a corrupted one is worth nothing.
  static func unspent(_ word: Int64, granted: Int64) -> Int64 {
    let credit = word < 0 ? word &- bc_frozen() : word
    return credit >= 0 && credit <= granted ? credit : 0
  }

  /// Nothing but its cells can make what it holds unsure.
  var isSteady: Bool {
    page != nil && coverage == .joined && execPath == nil && pendingForks == 0 && !hasForced && !hasInherited
  }

  /// Some of what it has charged may be in the books of somebody else too, or gone.
  func isUnsure(_ resource: Resource) -> Bool {
    (hasInherited && Accounting.descriptions.contains(resource)) || cell(resource).map { bc_load32(&$0.pointee.uncertain) != 0 } ?? false
  }

  /// The most it had in use since the server last looked. The shim lets the least credit fall only while it is sure.
  func peak(_ resource: Resource, granted: Int64) -> Int64 {
    guard let cell = cell(resource) else { return granted }
    // What is in use first: whoever charges what may be somebody else's too says so before it does.
    let now = used(resource, granted: granted)
    let low = bc_load(&cell.pointee.low)
    let most = withoutPeak >> UInt32(resource.rawValue) & 1 == 1 ? 0 : granted - (low >= 0 && low <= granted ? low : 0)
    return isUnsure(resource) ? most : max(most, now)
  }

  /// The least credit counts from here on.
  mutating func startPeak(_ resource: Resource, from credit: Int64) {
    guard let cell = cell(resource) else { return }
    let bit: UInt32 = 1 << UInt32(resource.rawValue)
    bc_store(&cell.pointee.low, credit)
    withoutPeak = isUnsure(resource) ? withoutPeak | bit : withoutPeak & ~bit
  }

  /// Takes the unspent credit; a corrupted word is worth nothing, so it costs only this member.
  func takeCredit(_ resource: Resource, granted: Int64, leaving: Int64 = 0) -> Int64 {
    guard let cell = cell(resource) else { return 0 }
    return Member.unspent(bc_exchange(&cell.pointee.credit, leaving), granted: granted)
  }

  /// Its page is no longer used; whoever is just reading it can finish.
  mutating func dropPage(_ pages: MemberPages) {
    hadForked = hasForked
    if let page, let spares, let spare {
      pages.forget(page)
      spares.free(spare)
    } else if let page {
      pages.discard(page)
    }
    spare = nil
    page = nil
  }
}
