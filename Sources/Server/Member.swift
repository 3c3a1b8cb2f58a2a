internal import Beancounters
private import CLinux
private import Recount
internal import Wire

enum Clock {
  /// In milliseconds, for short times.
  static func precise() -> Double {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return Double(now.tv_sec) * 1e3 + Double(now.tv_nsec) / 1e6
  }

  static func nanoseconds() -> UInt64 { nanoseconds(of: CLOCK_MONOTONIC) }

  /// What this thread has had of the processor, in nanoseconds.
  static func processor() -> UInt64 { nanoseconds(of: CLOCK_THREAD_CPUTIME_ID) }

  private static func nanoseconds(of clock: clockid_t) -> UInt64 {
    var now = timespec()
    clock_gettime(clock, &now)
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
  /// What is remembered of one resource (Pasts).
  struct Past {
    /// In use when its cell was last looked at.
    var lastUsed: Int64 = 0
    /// The least credit is a peak up to this: it was last set without being one, or while it was
    /// unsure.
    var peakUpTo = Int64.max
    /// Charges that had begun when they were last counted (bc_begun).
    var begun: UInt32 = 0
    /// How its image is sampled; nil where nothing has a bound. `Pasts` gives it back.
    var course: UnsafeMutablePointer<Obtained.Course>?
  }

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
  /// Why images that it starts cannot ask (enum bc_muted); what is forked from it inherits that,
  /// and the spare pages.
  var silence: Int32 = 0
  var spares: Spares?
  /// Which of them its page is.
  var spare: Int?
  let slot: Ledger.Slot
  /// −1 where the server has no descriptor left for it: then its death is found by looking.
  var pidfd: Int32
  /// Where it has no pidfd, so that another process of its number is not taken for it.
  var startTime: Int64 = 0
  var page: UnsafeMutablePointer<bc_page>? { didSet { Member.changes += 1 } }
  /// Inodes of those that it had before, and may have mapped still.
  var pages: [UInt64] = []
  var coverage = Coverage.expected { didSet { Member.changes += 1 } }
  /// Pages that it may come to have; 0 while memory has no bound.
  var lease: Int64 = 0
  /// … and as it was last set: less while a child is to copy less, or it is held down.
  var limit: Int64 = 0
  /// Another user's: its limits are set by its own shim, from our answers.
  var setsOwnLease = false
  /// Pages of MAP_NORESERVE mappings that were let beyond the lease.
  var exempt: Int64 = 0
  /// The program's own RLIMIT_DATA in bytes; −1 when it set none.
  var ownLimit: Int64 = -1
  /// Children whose lease is booked here: those to spare, those under way, and those that are
  /// noted.
  var births: Int64 = 0
  /// The greatest lease that one of them may have copied.
  var copied: Int64 = 0
  /// Children under way when its page was last looked at; since when the same ones; and the page's
  /// count of forks then.
  var pendingForks: Int64 = 0 { didSet { if oldValue != pendingForks { Member.changes += 1 } } }
  var startingSince: Int64?
  var generation: UInt32 = 0
  /// Its lease is for a child to copy, and may be larger than it needs; and what of it was booked
  /// for the child.
  var isLent = false
  var lent: Int64 = 0
  var hasForked: Bool { page.map { $0.pointee.generation & BC_GENERATIONS > 1 } ?? hadForked }
  var hadForked = false
  /// A member of the server before this one that has not asked this one yet: its books are what the
  /// kernel counted.
  var isRelearned = false { didSet { Member.changes += 1 } }
  /// When its image began to be loaded; nil when it was forked.
  var loadingSince: Int64?
  /// … and has been, as was seen.
  var isLoaded = false
  /// … and will say when it has been: its lease asks for that.
  var saysHello = false
  /// Children that joined before their parent could note them: the unit that it charged for each
  /// stays its own until then.
  var ahead: Set<Int32> = []
  /// The parent that it joined ahead of, which has its unit of numproc.
  var aheadOf: Int32?
  /// … and whose birth was spent for it when it was found.
  var hasSpentBirth = false
  /// When it came, and when its tasks were last looked at, on the host's count of such moments.
  var adopted = 0
  var lookedAt = 0
  /// `end` gives it back.
  let past = Pasts()
  /// The program that was last found to be one that the shim can enter, or not.
  var checkedPath: String?
  /// The last recount put down to it what others hold too.
  var holdsShared = false
  /// What its image came with is in its books and in those of whoever opened it, until the next
  /// recount.
  var hasInherited = false { didSet { Member.changes += 1 } }
  /// What was charged to it whatever the bounds say may be charged to others too, until the next
  /// recount: nobody is refused for that before.
  var hasForced = false { didSet { Member.changes += 1 } }
  /// Its page held what neither a charge nor a release could have written: no estimate of it is
  /// believed any more.
  var isCorrupt = false { didSet { Member.changes += 1 } }
  /// It had threads at the last recount, and those end unseen.
  var hasThreads = false
  /// What it said it would run, until the new image says hello.
  var execPath: String? { didSet { Member.changes += 1 } }
  var idle = Idle()
  var unseen = Unseen()
  var isZombie = false { didSet { Member.changes += 1 } }
  /// From outside, with descriptors that nobody has counted yet.
  var hasEntered = false
  /// The descriptor of the question being answered: the shim's, not the program's.
  var question: Int32 = -1
  /// It waits for a view, with the charge of the file begun: that one will not end before it is
  /// answered.
  var isViewing = false

  init(pid: Int32, slot: Ledger.Slot, pidfd: Int32) {
    (self.pid, self.slot, self.pidfd) = (pid, slot, pidfd)
  }

  func end() { past.end() }

  /// The page, where the words of its descriptors can be seen: they are its own business when the
  /// page is a spare one.
  var pageWithWords: UnsafeMutablePointer<bc_page>? { spare == nil ? page : nil }

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
    page != nil && coverage == .joined && execPath == nil && pendingForks == 0 && !hasForced
      && !hasInherited && !isCorrupt
  }

  /// Some of what it has charged may be in the books of somebody else too, or gone.
  func isUnsure(_ resource: Resource) -> Bool {
    ((hasInherited || hasForced) && Accounting.descriptions.contains(resource))
      || cell(resource).map { bc_is_unsure($0) } ?? false
  }

  /// The socket of a question is being opened or closed: which descriptor it has cannot be seen.
  var questionMoves: Bool { page.map { bc_page_question_moves($0) } ?? false }

  /// In the place of the least credit while every charge asks: what is in use then is seen at each.
  static let unknownLow = bc_low_armed()

  /// The most it had in use since the server last looked. The shim lets the least credit fall only
  /// while it is sure.
  func peak(_ resource: Resource, granted: Int64) -> Int64 {
    guard let cell = cell(resource) else { return granted }
    // What is in use first: whoever charges what may be somebody else's too says so before it does.
    let now = used(resource, granted: granted)
    if isCorrupt { return now }
    let low = bc_load(&cell.pointee.low)
    if low == Member.unknownLow { return now }
    let most =
      low <= past[resource].peakUpTo ? granted - (low >= 0 && low <= granted ? low : 0) : 0
    return isUnsure(resource) ? most : max(most, now)
  }

  /// The least credit counts from here on.
  func startPeak(_ resource: Resource, from credit: Int64) {
    guard let cell = cell(resource) else { return }
    bc_store(&cell.pointee.low, credit)
    past[resource].peakUpTo = isUnsure(resource) ? .min : .max
  }

  /// It counts where it falls further.
  func startPeak(_ resource: Resource, below credit: Int64) {
    guard let cell = cell(resource) else { return }
    bc_store(&cell.pointee.low, credit)
    past[resource].peakUpTo = isUnsure(resource) ? .min : credit - 1
  }

  /// Ended, and reaped.
  var hasGone: Bool {
    pidfd < 0
      ? Procfs.stat(pid).map { $0.startTime != startTime } ?? true
      : clinux_syscall(Int(SYS_pidfd_send_signal), Int(pidfd), 0, 0, 0, 0) < 0
        && clinux_errno() == ESRCH
  }

  /// Takes the unspent credit. A corrupted word is worth nothing, so it costs only this member; and
  /// nothing rests on its books until it has been counted.
  func takeCredit(_ resource: Resource, granted: Int64, leaving: Int64 = 0) -> Int64 {
    guard let cell = cell(resource) else { return 0 }
    let word = bc_exchange(&cell.pointee.credit, leaving)
    let credit = Member.unspent(word, granted: granted)
    if credit == 0, word != 0, word != bc_frozen() {
      _ = bc_exchange32(&cell.pointee.uncertain, Int32(BC_UNSURE.rawValue))
    }
    return credit
  }

  /// Its page is no longer used; whoever is just reading it can finish.
  mutating func dropPage(_ pages: MemberPages) {
    hadForked = hasForked
    if let page, let spares, let spare {
      pages.forget(page)
      spares.free(spare)
    } else if let page {
      self.pages.append(pages.discard(page))
    }
    spare = nil
    page = nil
  }
}
