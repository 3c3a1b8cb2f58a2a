internal import Beancounters
internal import CLinux
internal import Command
internal import Recount
internal import Wire

/// Leases: RLIMIT_DATA of each member, granted and taken back by prlimit(2). Amounts in pages.
extension Accounting {
  /// Room for an image to be mapped before its constructor can ask: 16 MiB.
  static let headRoom: Int64 = 4096
  static let slack: Int64 = 256
  static let machinePages = Int64(sysconf(Int32(_SC_PHYS_PAGES)))

  public var leased: Bool { isBounded(.privvmpages) }
  private var memoryCeiling: Int64 {
    upwards.reduce(Bounds.unlimited) { min($0, $1.ledger.ceiling(.privvmpages, .hard)) }
  }

  /// The lease COMMAND starts with, in bytes; nil where memory has no bound.
  public func firstLease(uncoverable: Bool) -> UInt64? {
    guard leased else { return nil }
    let ceiling = memoryCeiling
    return UInt64(uncoverable ? ceiling : min(ceiling, Accounting.headRoom)) * 4096
  }

  /// Data pages of one member that count: what the kernel counts, less what was let beyond the lease.
  func dataPages(_ member: Member) -> Int64 {
    let pages = Procfs.dataPages(member.pid) ?? 0
    guard member.exempt > 0 else { return pages }
    return pages - min(member.exempt, Procfs.noReservePages(member.pid) ?? 0)
  }

  /// Σ data pages now; moves maxheld, here and above.
  @discardableResult func observeMemory() -> Int64 {
    let held = memoryHeld()
    ledger.observe(.privvmpages, held: held)
    var above = parent
    while let one = above {
      one.ledger.observe(.privvmpages, held: one.memoryHeld())
      above = one.parent
    }
    return held
  }

  private func memoryHeld() -> Int64 {
    let total = subtree.reduce(0) { sum, one in
      one.members.values.reduce(sum) { sum, member in
        // A child of vfork runs in its parent's memory until it has an image of its own.
        member.isZombie || (member.isLoading && Procfs.sharesMemoryWithParent(member.pid)) ? sum : sum + one.dataPages(member)
      }
    }
    // Never more than the leases, which the kernel enforces: members are not read at one instant, and a child of vfork
    // shows its parent's memory as its own.
    return leased ? min(total, ledger[.privvmpages].granted) : total
  }

  /// Memory has got its first bound, or lost its last, while members run.
  func leasesChanged(were: Bool) {
    for member in Array(members.values) where !member.isZombie {
      member.page?.pointee.flags = pageFlags
      if leased, !were { trimLease(member.pid) }
      if !leased, were {
        _ = clinux_prlimit(member.pid, member.ownLimit >= 0 ? UInt64(member.ownLimit) : .max, nil)
        members[member.pid]?.lease = 0
        put(member.slot, .privvmpages, to: 0)
      }
    }
  }

  /// Books and sets a lease. A fork under way will copy it, so each pending child is charged the same.
  func setLease(_ pid: Int32, _ pages: Int64) {
    guard var member = members[pid] else { return }
    let bytes = UInt64(max(1, pages + member.exempt)) * 4096
    let own = member.ownLimit >= 0 ? UInt64(member.ownLimit) : .max
    if clinux_prlimit(pid, min(bytes, own), nil) == EPERM { member.setsOwnLease = true }
    member.lease = pages
    members[pid] = member
    put(member.slot, .privvmpages, to: pages * (1 + member.pendingForks))
  }

  /// Takes back what a member does not use: exact, and needs no help from it (design §3).
  func recallLease(_ pid: Int32) {
    guard let member = members[pid], !member.isZombie, member.lease > 0, !member.setsOwnLease else { return }
    let least = member.isLoading ? Accounting.headRoom : 0
    let first = max(least, dataPages(member))
    guard first < member.lease else { return }
    _ = clinux_prlimit(pid, UInt64(max(1, first + member.exempt)) * 4096, nil)
    let second = dataPages(member)
    setLease(pid, max(first, second))
  }

  /// What the shim has to set itself, in bytes; 0 where the server has set it.
  func leaseToSet(_ pid: Int32) -> Int64 {
    guard leased, let member = members[pid], member.setsOwnLease else { return 0 }
    let bytes = min(member.lease + member.exempt, 1 << 50) * 4096
    return member.ownLimit >= 0 ? min(bytes, member.ownLimit) : bytes
  }

  func recallMemory(except asker: Int32) {
    work.recalls += 1
    // At the level whose bound is the tightest: what others below it do not use is room for all of them.
    let level = upwards.min { $0.ledger.room(.privvmpages, .hard) < $1.ledger.room(.privvmpages, .hard) } ?? self
    for one in level.subtree { for pid in one.members.keys.sorted() where pid != asker { one.recallLease(pid) } }
  }

  enum MemoryAnswer { case granted, unchanged, denied, later }

  /// Whether an image that is being loaded holds room that it may not need.
  var mayBeGivenBack: Bool {
    tightest(.privvmpages).subtree.contains { one in
      one.members.values.contains { $0.isLoading && !$0.isZombie && $0.lease > one.dataPages($0) + Accounting.slack }
    }
  }

  /// `least` pages more than the member has now must fit, `want` would be comfortable.
  func memory(_ pid: Int32, least: Int64, want: Int64, noReserve: Bool) -> MemoryAnswer {
    guard leased, let member = members[pid] else { return .unchanged }
    let now = dataPages(member)
    guard member.lease - now < want else { return .unchanged }
    let factor = 1 + member.pendingForks
    func room() -> Int64 { self.room(.privvmpages, .hard) / factor }
    // With chance in it, so that no rhythm of the program decides who asks (Obtained).
    let more = max(0, max(min(now / 2, room() / 2), Accounting.slack) - want)
    let comfortable = now + want + more / 2 + Int64.random(in: 0...more)
    let need = now + least - member.lease
    if room() < max(need, now + want - member.lease) { recallMemory(except: pid) }
    let lease = min(comfortable, member.lease + max(0, room()))
    guard lease > member.lease, lease >= now + least else {
      // A sanitizer's shadow is larger than the machine: reserved, never filled. It is let through and left out (design
      // §3). Other NORESERVE mappings are ordinary memory: jemalloc makes all of its own so.
      guard noReserve, least > Accounting.machinePages else {
        return least == 0 ? .unchanged : mayBeGivenBack ? .later : .denied
      }
      members[pid]?.exempt += least
      setLease(pid, member.lease)
      return .granted
    }
    setLease(pid, lease)
    sample(.privvmpages, pid, lease - member.lease, had: member.lease)
    let others = observeMemory() - now
    if least > 0, want == least { ledger.observe(.privvmpages, held: others + now + least) }
    host.state?.isDirty = true
    return .granted
  }

  /// Before a fork: the child's copy of the memory is charged, HARD. False: it does not fit.
  func reserveCopy(_ pid: Int32) -> Bool {
    guard leased, let member = members[pid] else { return true }
    for attempt in 0..<2 {
      if attempt == 1 { recallMemory(except: pid) }
      let now = dataPages(member)
      // The child inherits the lease as it stands: keep it small while the fork lasts.
      let share = shareWithChildren(member)
      guard share >= now else { continue }
      setLease(pid, min(share, max(now, min(member.lease, now + Accounting.slack))))
      recallAbove(pid, now)
      return true
    }
    return false
  }

  /// The largest lease that the member and its children under way, the one being asked for among them, could each have.
  private func shareWithChildren(_ member: Member) -> Int64 {
    (room(.privvmpages, .hard) + ledger.granted(member.slot, .privvmpages)) / (1 + member.pendingForks)
  }

  /// The new, lower lease may already have been passed while it was set.
  private func recallAbove(_ pid: Int32, _ before: Int64) {
    guard let member = members[pid] else { return }
    let now = dataPages(member)
    if now > member.lease { setLease(pid, now) }
  }

  /// Before a child that will run a new image: its loader needs room before its constructor can ask.
  func reserveImage(_ pid: Int32) {
    guard leased, let member = members[pid] else { return }
    var share = shareWithChildren(member)
    if share < Accounting.headRoom {
      recallMemory(except: pid)
      share = shareWithChildren(member)
    }
    setLease(pid, max(dataPages(member), min(share, max(Accounting.headRoom, member.lease))))
  }

  /// Before an exec in place. An image that cannot ask gets all the room there is.
  func raiseForImage(_ pid: Int32, uncoverable: Bool) {
    guard leased, let member = members[pid] else { return }
    let goal = uncoverable ? Int64.max : Accounting.headRoom
    if room(.privvmpages, .hard) < Accounting.headRoom - member.lease || uncoverable { recallMemory(except: pid) }
    let room = max(0, room(.privvmpages, .hard))
    if goal > member.lease { setLease(pid, min(goal, member.lease + room)) }
  }

  /// After a hello: what the image has, and a little.
  func trimLease(_ pid: Int32) {
    guard leased, let member = members[pid] else { return }
    let now = dataPages(member)
    setLease(pid, min(now + Accounting.slack, max(now, member.lease + room(.privvmpages, .hard))))
    recallAbove(pid, now)
  }

  /// Members that cannot ask are kept ahead: they share all the room that is left.
  func keepAhead() {
    guard leased else { return }
    let silent = members.values.filter { $0.coverage == .uncovered && !$0.isZombie }
    guard !silent.isEmpty else { return }
    for member in silent { recallLease(member.pid) }
    let share = max(0, room(.privvmpages, .hard)) / Int64(silent.count)
    for member in silent { setLease(member.pid, (members[member.pid]?.lease ?? 0) + share) }
  }
}
