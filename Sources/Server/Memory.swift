internal import Beancounters
internal import CLinux
internal import Command
internal import Recount
internal import Wire

/// Leases: RLIMIT_DATA of each member, granted and taken back by prlimit(2). Amounts in pages.
extension Accounting {
  /// Room for a known image to be mapped before its constructor can ask.
  static let headRoom = Int64(BC_HEAD_ROOM) / 4096
  static let slack: Int64 = 256
  static let machinePages = Int64(sysconf(Int32(_SC_PHYS_PAGES)))

  /// More than an address space has, and far from where sums overflow.
  static let mostLeased: Int64 = 1 << 44

  public var leased: Bool { isBounded(.privvmpages) || limitsPhysical }
  private var memoryCeiling: Int64 {
    upwards.reduce(Bounds.unlimited) { min($0, $1.ledger.ceiling(.privvmpages, .hard)) }
  }

  /// The lease COMMAND starts with: all there is, until it says that it is loaded. nil where memory
  /// has no bound.
  public var firstLease: UInt64? {
    leased ? bc_lease_word(Accounting.bytes(memoryCeiling), BC_LEASE_HELLO.rawValue) : nil
  }

  /// More than any address space: what a member may be let beyond its lease in all.
  static let mostExempt: Int64 = 1 << 36

  /// As prlimit(2) takes them. A bound may be written so large that its bytes have no number.
  static func bytes(_ pages: Int64) -> UInt64 { UInt64(min(max(1, pages), 1 << 50)) * 4096 }

  /// Data pages of one member that count: what the kernel counts, less what was let beyond the
  /// lease.
  func dataPages(_ member: Member) -> Int64 {
    let pages = Procfs.dataPages(member.pid) ?? 0
    guard member.exempt > 0 else { return pages }
    return pages - min(member.exempt, Procfs.noReservePages(member.pid) ?? 0)
  }

  /// Σ data pages now; moves maxheld, here and above.
  @discardableResult func observeMemory() -> Int64 {
    let held = memoryHeld()
    saw(.privvmpages, held: held)
    var above = parent
    while let one = above {
      one.saw(.privvmpages, held: one.memoryHeld())
      above = one.parent
    }
    return held
  }

  func memoryHeld() -> Int64 {
    let total = subtree.reduce(0) { sum, one in
      one.members.values.reduce(sum) { sum, member in
        member.isZombie || one.borrowsMemory(member) ? sum : sum + one.dataPages(member)
      }
    }
    // Never more than the leases, which the kernel enforces: members are not read at one instant,
    // and a child of vfork shows its parent's memory as its own.
    return leased ? min(total, ledger[.privvmpages].granted) : total
  }

  /// Memory has got its first bound, or lost its last, while members run.
  func leasesChanged(were: Bool) {
    tellMembers()
    for member in Array(members.values) where !member.isZombie {
      if leased, !were { trimLease(member.pid) }
      if !leased, were {
        _ = clinux_prlimit(member.pid, member.ownLimit >= 0 ? UInt64(member.ownLimit) : .max, nil)
        takeBirths(member.pid)
        members[member.pid]?.births = 0
        members[member.pid]?.lease = 0
        put(member.slot, .privvmpages, to: 0)
      }
    }
  }

  /// The lease as RLIMIT_DATA has it: never above the program's own limit.
  func word(_ member: Member, _ pages: Int64) -> UInt64 {
    let bytes = Accounting.bytes(min(pages, 1 << 50) + member.exempt)
    // What has a page hands its lease on to what it starts, which is not loaded yet.
    let isLoaded = member.isLoaded && member.page == nil
    let state =
      (member.saysHello ? BC_LEASE_HELLO.rawValue : isLoaded ? BC_LEASE_LOADED.rawValue : 0)
      | (member.isLent ? BC_LEASE_RECALL.rawValue : 0)
    return bc_lease_word(min(bytes, member.ownLimit >= 0 ? UInt64(member.ownLimit) : .max), state)
  }

  func setLimit(_ pid: Int32, _ pages: Int64) {
    guard let member = members[pid] else { return }
    if clinux_prlimit(pid, word(member, pages), nil) == EPERM { members[pid]?.setsOwnLease = true }
    members[pid]?.limit = pages
  }

  /// Books and sets a lease.
  func setLease(_ pid: Int32, _ pages: Int64) {
    setLimit(pid, pages)
    bookLease(pid, pages)
  }

  private func bookLease(_ pid: Int32, _ pages: Int64) {
    guard let member = members[pid] else { return }
    let copied = member.births == 0 ? pages : max(member.copied, pages)
    members[pid]?.lease = pages
    members[pid]?.copied = copied
    put(member.slot, .privvmpages, to: booked(members[pid]!))
  }

  /// Takes back what a member does not use: exact, and needs no help from it (design §3).
  func recallLease(_ pid: Int32) {
    takeBirths(pid)
    lookAtForks(pid)
    guard let member = members[pid], !member.isZombie, member.lease > 0, !member.setsOwnLease else {
      return
    }
    let isLoading = isLoading(member), isStarting = isStarting(member)
    // An image that nobody knows may need all that it was given.
    if (isLoading && member.saysHello) || (isStarting && member.isLent)
      || (!isLoading && !holdBack(member))
    {
      return
    }
    let least = isLoading || isStarting ? Accounting.headRoom : 0
    let first = max(least, dataPages(member))
    guard first < member.lease else { return }
    // Held down it can only have given back more by now.
    if member.limit < first { return bookLease(pid, first) }
    setLimit(pid, first)
    let second = dataPages(member)
    setLease(pid, max(first, second))
  }

  /// What the shim has to set itself; 0 where the server has set it.
  func leaseToSet(_ pid: Int32) -> Int64 {
    guard leased, let member = members[pid], member.setsOwnLease else { return 0 }
    return Int64(word(member, member.limit))
  }

  func recallMemory(except asker: Int32) {
    work.recalls += 1
    // What one had that its parent has waited for by now is room.
    host.settleDeaths()
    // At the level whose bound is the tightest: what others below it do not use is room for all of
    // them.
    let level =
      upwards.min { $0.ledger.room(.privvmpages, .hard) < $1.ledger.room(.privvmpages, .hard) }
      ?? self
    for one in level.subtree { one.takeNotes() }
    for one in level.subtree {
      for pid in one.members.keys.sorted() {
        if pid == asker { one.takeBirths(pid) } else { one.recallLease(pid) }
      }
    }
  }

  enum MemoryAnswer {
    case granted, unchanged, denied, later
    /// Denied by the limit of physpages of that level.
    case full(Accounting)
  }

  /// `least` pages more than the member has now must fit, `want` would be comfortable.
  func memory(
    _ pid: Int32, least: Int64, want: Int64, noReserve: Bool, _ severity: Severity, again: UInt32
  ) -> MemoryAnswer {
    takeBirths(pid)
    defer { offerBirths(pid) }
    if want == 0 { return letLower(pid, by: least) }
    if isHeldDown(pid) { recallLease(pid) }
    guard leased, var member = members[pid] else { return .unchanged }
    let now = dataPages(member)
    guard member.lease - now < want else { return .unchanged }
    let physical = physicalRoom(pid, want: now + want - member.lease)
    // A child under way copies what the lease is raised to.
    func share(_ severity: Severity = .hard) -> Int64 {
      self.room(.privvmpages, severity) / (1 + member.births)
    }
    func room() -> Int64 { min(share(), physical.pages) }
    // With chance in it, so that no rhythm of the program decides who asks (Obtained).
    let more = physical.isSlow ? 0 : max(0, max(min(now / 2, room() / 2), Accounting.slack) - want)
    let comfortable = now + want + more / 2 + Int64.random(in: 0...more)
    if share() < now + max(least, want) - member.lease {
      recallMemory(except: pid)
      // Notes of its own children come with the recall, and may end what was lent to it for them.
      guard let left = members[pid] else { return .unchanged }
      member = left
    }
    let lease = min(comfortable, member.lease + max(0, room()))
    guard lease > member.lease, lease >= now + least else {
      // SOFT is held to the limit alone, and gets what it needs and no more.
      let beyond = min(
        now + want,
        member.lease + max(0, min(share(.soft), physical.pages)))
      if severity == .soft, beyond > member.lease, beyond >= now + least {
        setLease(pid, beyond)
        grewPhysically(beyond - member.lease)
        noteBarrier(.privvmpages, pid, .soft)
        return .granted
      }
      // A sanitizer's shadow is larger than the machine: reserved, never filled. It is let through
      // and left out (design §3). Other NORESERVE mappings are ordinary memory: jemalloc makes all
      // of its own so.
      guard noReserve, least > Accounting.machinePages else {
        if least > 0, physical.pages < share(), let full = physical.level { return .full(full) }
        holdDownAgain(pid)
        return least == 0 ? .unchanged : mayComeBack(pid, again) ? .later : .denied
      }
      members[pid]?.exempt = min(member.exempt + least, Accounting.mostExempt)
      setLease(pid, member.lease)
      return .granted
    }
    setLease(pid, lease)
    grewPhysically(lease - member.lease)
    sample(.privvmpages, pid, lease - member.lease, had: member.lease)
    let others = observeMemory() - now
    if least > 0, want == least { saw(.privvmpages, held: others + now + least) }
    return .granted
  }

  /// A new, lower lease may already have been passed while it was set.
  func recallAbove(_ pid: Int32) {
    guard let member = members[pid] else { return }
    let now = dataPages(member)
    if now > member.lease { setLease(pid, now) }
  }

  /// Before an exec in place. An image that is not known, and may be one that cannot ask, gets most
  /// of the room there is; the rest is for whoever it may have to wait for while it is loaded, as
  /// for a debugger.
  func raiseForImage(_ pid: Int32, known need: Int64?) -> MemoryAnswer {
    takeBirths(pid)
    guard leased, members[pid] != nil else { return .granted }
    func most() -> Int64 {
      (members[pid]?.lease ?? 0) + max(0, room(.privvmpages, .hard))
    }
    if need == nil || most() < Accounting.headRoom { recallMemory(except: pid) }
    let lent = onLoan(toOthersThan: pid)
    if lent > 0, most() < (need == nil ? max(Accounting.headRoom, lent) : Accounting.headRoom) {
      return .later
    }
    if let need, most() < need { return .denied }
    members[pid]?.isLoaded = false
    members[pid]?.saysHello = need == nil
    members[pid]?.loadingSince = Clock.milliseconds()
    setLease(
      pid,
      need == nil
        ? most() - max(0, room(.privvmpages, .hard)) / 8
        : max(members[pid]?.lease ?? 0, min(Accounting.headRoom, most())))
    return .granted
  }

  /// What the image has and a little, and where room is ample what the images need that it may
  /// start.
  func trimLease(_ pid: Int32) {
    guard leased, let member = members[pid] else { return }
    let now = dataPages(member)
    let least = min(now + Accounting.slack, max(now, member.lease + room(.privvmpages, .hard)))
    // What it has comes back first: it is room for all.
    members[pid]?.lease = least
    settleLease(pid)
    let more = min(Accounting.headRoom - least, leaseShare)
    setLease(pid, least + max(0, more))
    recallAbove(pid)
  }
}
