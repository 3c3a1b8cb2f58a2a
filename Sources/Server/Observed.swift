internal import Beancounters
internal import CLinux
internal import Command
internal import Recount

/// The rows that user space can see and not refuse (of physpages, all but growth: PhysicalLimit):
/// no call passes by, so the kernel is looked at. A look is dear (page tables are walked,
/// descriptors read, all sockets of the machine listed), so there are few.
struct Observed {
  /// In the order of the rows. numiptent is not among them: who may not change the tables may not
  /// read them either, and a beancounter has none of its own.
  static let rows: [Resource] = [
    .kmemsize, .physpages, .oomguarpages, .tcpsndbuf, .tcprcvbuf, .othersockbuf, .dgramrcvbuf,
    .dcachesize, .swappages,
  ]
  private static let memory: [Resource] = [.physpages, .oomguarpages, .swappages]
  private static let buffers: [Resource] = [.tcpsndbuf, .tcprcvbuf, .othersockbuf, .dgramrcvbuf]

  /// By row: 76 bytes for a member, which is kept until the next look.
  struct Part {
    let pid: Int32
    private var amounts = InlineArray<9, Int64>(repeating: 0)

    init(_ pid: Int32) { self.pid = pid }

    subscript(_ resource: Resource) -> Int64 {
      get { Observed.rows.firstIndex(of: resource).map { amounts[$0] } ?? 0 }
      set { amounts[Observed.rows.firstIndex(of: resource)!] = newValue }
    }
  }

  /// What each member holds.
  struct Held {
    var perMember: [Part] = []
    /// Whether no page was counted in several processes.
    var isSplit = true
    /// Sockets that could not be seen, and processes whose descriptors could not.
    var hidden = 0

    var totals: [Resource: Int64] {
      Dictionary(uniqueKeysWithValues: Observed.rows.map { ($0, total($0)) })
    }

    func only(_ belongs: (Int32) -> Bool) -> Held {
      var part = self
      part.perMember = perMember.filter { belongs($0.pid) }
      return part
    }

    func total(_ resource: Resource) -> Int64 {
      perMember.reduce(0) { $0 + $1[resource] }
    }
  }

  /// The last look while there were members.
  private(set) var last: Held?
  /// Whether a maximum is of one process that had ended: the pages that it shared were not split.
  private var hasPeakOfOne = false

  // When to look, in milliseconds of `Clock`.
  private var due: Int64?
  private var gap: Int64 = firstGap
  private var askedFor: Int64 = -longestInterest
  private static let firstGap: Int64 = 500
  private static let longestGap: Int64 = 60_000
  /// How long somebody who has looked is taken to go on looking.
  private static let longestInterest: Int64 = 10_000
  /// A look that takes a millisecond is not taken again for fifty: they cost at most a fiftieth of
  /// a processor.
  private static let restFactor: Int64 = 50

  mutating func wasAskedFor(at now: Int64) { askedFor = now }

  /// Whether it is time for a look that nobody asked for. Short runs see none. The first is after
  /// half a second; without a bound or a reader each of the next waits twice as long.
  mutating func isDue(at now: Int64, hasMembers: Bool, isBounded: @autoclosure () -> Bool) -> Bool {
    guard hasMembers else {
      (due, gap) = (nil, Observed.firstGap)
      return false
    }
    guard let due else {
      self.due = now + Observed.firstGap
      return false
    }
    guard now >= due else { return false }
    let isWatched = now - askedFor < Observed.longestInterest || isBounded()
    gap = isWatched ? Observed.firstGap : min(gap * 2, Observed.longestGap)
    return true
  }

  mutating func looked(_ held: Held, at now: Int64, milliseconds: Int64) {
    last = held
    due = now + max(gap, milliseconds * Observed.restFactor)
  }

  mutating func sawPeakOfOne() { hasPeakOfOne = true }

  /// `view`: the kernel's own figure, as of the last look. `estimate`: counted by other means.
  /// `unseen`: not all of it, or members came and went between two looks and nothing at all was
  /// seen. A maximum from before the server was restarted is an estimate.
  func status(_ resource: Resource, maxheld: Int64, hasHadMembers: Bool) -> String {
    if resource == .vmguarpages { return "exact" }  // a guarantee holds nothing
    guard Observed.rows.contains(resource) else { return "unseen" }
    guard let last else { return maxheld > 0 ? "estimate" : hasHadMembers ? "unseen" : "view" }
    if Observed.memory.contains(resource) {
      return last.isSplit && !(hasPeakOfOne && resource != .swappages) ? "view" : "estimate"
    }
    if Observed.buffers.contains(resource) { return last.hidden == 0 ? "view" : "unseen" }
    return "estimate"
  }
}

extension Accounting {
  /// What the kernel shows of this beancounter and all below, now. Moves maxheld, here and below;
  /// carries out what is guaranteed.
  @discardableResult func observe() -> Observed.Held {
    let now = Clock.milliseconds()
    let held = look()
    let took = Clock.milliseconds() - now
    for one in subtree {
      let part =
        one === self
        ? held
        : held.only { [host] pid in host.owner[pid]?.upwards.contains { $0 === one } ?? false }
      guard !part.perMember.isEmpty else { continue }
      for r in Observed.rows {
        let held = part.total(r)
        if held > one.ledger[r].maxheld { one.saw(r, held: held) }
        one.noteCrossing(r, held: held)
      }
      one.observed.looked(part, at: now, milliseconds: took)
    }
    protectOthers(from: held)
    return held
  }

  /// From the tick.
  func observeIfDue() {
    let begin = Clock.precise()
    // Each keeps its own looks few; of many beancounters without a bound that needs them, all
    // together keep them few too.
    let isBounded = Observed.rows.contains(where: isBounded)
    guard isBounded || begin >= host.looksAgain else { return }
    guard
      observed.isDue(
        at: Clock.milliseconds(), hasMembers: subtree.contains { $0.liveMembers > 0 },
        isBounded: isBounded)
    else { return }
    observe()
    if !isBounded { host.looksAgain = begin + 20 * (Clock.precise() - begin) }
  }

  /// The most that COMMAND, or one of the children it waited for, had in RAM at a time
  /// (getrusage(2) ru_maxrss), in pages: known without a look, also of the shortest run.
  public func sawResident(peakOfOne pages: Int64) {
    for r in [Resource.physpages, .oomguarpages] where pages > ledger[r].maxheld {
      ledger.observe(r, held: pages)
      observed.sawPeakOfOne()
    }
  }

  private func look() -> Observed.Held {
    var living: [(of: Accounting, pid: Int32)] = []
    for one in subtree {
      for member in one.members.values where !member.isZombie { living.append((one, member.pid)) }
    }
    living.sort { $0.pid < $1.pid }
    var held = Observed.Held()
    guard !living.isEmpty else { return held }
    held.perMember.reserveCapacity(living.count)
    let pids = living.map(\.pid)
    let holdings = Holdings.of(
      living.map { one, pid in
        .init(pid: pid) { one.members[pid].map(Accounting.asking) ?? [] }
      },
      outside: root.outsides)
    let buffers = SocketBuffers.of(pids, holdings)
    let files = living.map { one, pid in
      one.members[pid].map { $0.used(.numfile, granted: one.ledger.granted($0.slot, .numfile)) }
    }
    let objects = KernelMemory.count(pids, files: files.map { $0 ?? 0 }, holdings)
    let residents = residents(living)
    for (i, pid) in pids.enumerated() {
      let memory = residents[i]
      held.isSplit = held.isSplit && memory.isSplit
      let (sizes, sockets) = (KernelMemory.Sizes.here, buffers.perProcess[i])
      var part = Observed.Part(pid)
      part[.physpages] = memory.physical
      part[.swappages] = memory.swapped
      part[.oomguarpages] = memory.physical + memory.swapped
      part[.tcpsndbuf] = sockets.tcpSend
      part[.tcprcvbuf] = sockets.tcpReceive
      part[.othersockbuf] = sockets.other
      part[.dgramrcvbuf] = sockets.datagramReceive
      part[.kmemsize] = objects[i].bytes(sizes)
      part[.dcachesize] = objects[i].names(sizes)
      held.perMember.append(part)
    }
    held.hidden = buffers.hidden + holdings.readable.count { !$0 }
    return held
  }
}
