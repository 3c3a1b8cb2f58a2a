internal import Beancounters
internal import CLinux
internal import Command
internal import Recount
internal import Wire

/// Members come, run new images, and die.
extension Accounting {
  /// A process becomes a member: COMMAND, a child somebody announced, or one that just says hello.
  /// `noted`: its parent has charged a unit for it.
  @discardableResult public func adopt(
    _ pid: Int32, parent: Int32, execPath: String? = nil, noted: Bool = false
  ) -> Bool {
    guard members[pid] == nil else { return true }
    host.owner[pid]?.moveAway(pid)
    let pidfd = host.mayWatch() ? pidfd_open(pid, 0) : -1
    let start = pidfd < 0 ? Procfs.stat(pid)?.startTime : 0
    guard let start else { return false }
    let slot = ledger.join()
    var member = Member(pid: pid, slot: slot, pidfd: pidfd)
    member.startTime = start
    member.execPath = execPath
    member.adopted = host.nextMoment()
    member.ownLimit = members[parent]?.ownLimit ?? -1
    learnMuted(parent)
    member.silence = members[parent]?.silence ?? 0
    member.spares = members[parent]?.spares
    host.owner[pid] = self
    // COMMAND: what it has by now may be its own already, but what it began with is known.
    if let began = outside.first(where: { $0.pid == parent && parent == getpid() }) {
      member.unseen = Unseen(base: Int64(began.fds.count))
    }
    members[pid] = member
    root.inTree += 1
    Member.changes += 1
    if noted, let slot = members[parent]?.slot, ledger.granted(slot, .numproc) > 0 {
      ledger.transfer(from: slot, to: member.slot, .numproc, 1)
      mirror(parent, .numproc)
    } else {
      if members[parent].map({ isForking($0) }) == true {
        members[parent]?.ahead.insert(pid)
        members[pid]?.aheadOf = parent
      }
      put(slot, .numproc, to: ownTasks(pid, max(1, Procfs.tasks(pid) ?? 1)))
      takeNotes(of: parent)  // it may have been noted since
    }
    if leased {
      adoptLease(pid, parent: parent, isCopy: noted && execPath == nil)
      if members[pid]?.aheadOf == parent { spendBirth(for: pid, of: parent) }
      settleLease(parent)
    }
    if members[parent]?.isSealed == true { becomeSealed(pid) }
    // First: what follows may find that it has ended, and close the descriptor
    if pidfd >= 0 { host.watch(pidfd, pid) }
    observeTasks()
    host.events.add(.join, of: self, pid: pid)
    return true
  }

  /// A child of it may be running whose note is not written yet.
  func isForking(_ member: Member) -> Bool {
    member.cell(.numproc).map { bc_pending($0) > 0 } ?? false
  }

  var everyoneIsThere: Bool {
    subtree.allSatisfy {
      $0.members.keys.allSatisfy { kill($0, 0) == 0 || clinux_errno() != ESRCH }
    }
  }

  /// It ended while it forked: a child may be there that nobody noted, and that is not its
  /// child any more.
  private func findLost(_ parent: Int32) {
    for pid in Procfs.processes() where host.owner[pid] == nil {
      if Procfs.environment(pid, "BC_TOKEN") == token.text { adopt(pid, parent: parent) }
    }
  }

  /// It has entered another beancounter.
  private func moveAway(_ pid: Int32) {
    guard members[pid] != nil else { return }
    ended(pid, moved: true)
  }

  /// A process that nobody announced, brought in by somebody outside: charged like a fork, so a
  /// full beancounter refuses it. nil: it is a member; otherwise who refused.
  public func enter(_ pid: Int32) -> Accounting? {
    // Where it comes from below the same one, it is counted there already.
    let counted = Set((host.owner[pid]?.upwards).map { $0.map(\.id) } ?? [])
    let level = upwards.first { !counted.contains($0.id) && $0.ledger.room(.numproc, .hard) < 1 }
    if let level {
      level.recountTasks()
      if level.ledger.room(.numproc, .hard) < 1 {
        deny(
          .numproc, by: level, pid: pid, error: EAGAIN, Asked(call: "enter", thread: pid), amount: 1
        )
        return level
      }
    }
    noteBrought(by: pid)
    host.state?.saveOutside(self)
    adopt(pid, parent: 0)
    members[pid]?.hasEntered = true
    _ = raiseForImage(pid, known: nil)
    return nil
  }

  /// A new image runs: the old one's page is gone with it.
  func imageStarted(_ pid: Int32) {
    takeNotes(of: pid)
    guard let member = members[pid], !member.isZombie else { return }
    if member.page != nil {
      for r in Accounting.things {
        observePeak(member, r, grantedBefore: ledger.granted(member.slot, r), hasEnded: true)
        giveBack(member.slot, r, member.takeCredit(r, granted: ledger.granted(member.slot, r)))
      }
    }
    let wasForking = isForking(member)
    leaveSeat(pid)
    members[pid]?.dropPage(host.pages)
    members[pid]?.execPath = nil
    members[pid]?.isRelearned = false
    leaveAhead(pid)
    guard isMember(pid, member.slot) else { return }
    member.past.forgetCourses()
    if wasForking { findLost(pid) }  // by another thread, which the exec has ended
    members[pid]?.births = 0
    members[pid]?.isLent = false
    obtained.forget(pid)
    watch.forget(pid)
    put(member.slot, .numproc, to: ownTasks(pid, 1))  // exec leaves one thread (execve(2))
    chargeImage(pid)
  }

  /// The first charge of an image, or of a forked child, brings it a page of its own.
  func join(_ pid: Int32, page: UnsafeMutablePointer<bc_page>) {
    if members[pid]?.page != nil || members[pid]?.execPath != nil { imageStarted(pid) }
    guard var member = members[pid] else { return }
    member.coverage = .joined
    member.page = page
    for r in Accounting.things { arm(bc_page_cell(page, UInt32(r.rawValue)), r) }
    page.pointee.magic = BC_WIRE_MAGIC
    page.pointee.generation = 1
    teach(page)
    page.pointee.flags =
      pageFlags | (ledger.granted(member.slot, .numflock) > 0 ? UInt32(BC_ANSWER_LOCKED) : 0)
    members[pid] = member
    Member.changes += 1  // what a roster was made from meanwhile had no page yet
    takeSeat(member)
    if member.isRelearned {
      // What it has given back since it was counted is in the books still.
      for r in Accounting.descriptions {
        _ = bc_exchange32(&bc_page_cell(page, UInt32(r.rawValue)).pointee.uncertain, 1)
      }
      members[pid]?.isRelearned = false
    } else if ledger.granted(member.slot, .numfile) > 0 || member.hasEntered {
      chargeImage(pid)
    }
    members[pid]?.hasEntered = false
    if leased {
      hasLoaded(pid)
      trimLease(pid)
      offerBirths(pid)
    }
    for r in Accounting.things {
      makeSure(r)
      guard isMember(pid, member.slot) else { return }
      mirror(pid, r)
      if isModal(r), isSlow(r) {
        _ = bc_exchange(&bc_page_cell(page, UInt32(r.rawValue)).pointee.credit, bc_frozen())
        continue
      }
      let has = ledger.granted(member.slot, r), want = ahead(r, pid, at: has)
      if case .granted(let amount) = obtain(pid, member.slot, r, 0, batch: want, .hard), amount > 0
      {
        addCredit(pid, r, amount)
        passed(r, pid, to: has + amount)
      }
    }
  }

  /// Whether a slot is that member's still. Whoever counts may hear of deaths, also of the one that
  /// it counts for: what is put into a slot then would be nobody's, or somebody else's.
  func isMember(_ pid: Int32, _ slot: Ledger.Slot) -> Bool { members[pid]?.slot == slot }

  var pageFlags: UInt32 {
    (leased ? UInt32(BC_ANSWER_LEASED) : 0)
      | (settings.allowOnServerLoss ? UInt32(BC_ANSWER_ALLOW_ON_LOSS) : 0)
      | (settings.openvzErrno ? UInt32(BC_ANSWER_OPENVZ_ERRNO) : 0)
      | (settings.meminfo ? UInt32(BC_ANSWER_MEMINFO) : 0)
      | (asksForBuffers ? UInt32(BC_ANSWER_BUFFERS) : 0)
  }

  /// Descriptors that came over an exec: what was inherited is counted here as well, until a
  /// recount tells it apart.
  private func chargeImage(_ pid: Int32) {
    guard let member = members[pid] else { return }
    // The number first, then whether the question is still open: a question closed between costs a
    // closer look, no more.
    var all = Descriptors.number(pid) ?? 0
    if member.question >= 0, Descriptors.isOpen(pid, member.question) { all -= 1 }
    let outside = root.outsides
    for r in [Resource.numflock, .numsiginfo, .lockedpages, .shmpages]
    where ledger.granted(member.slot, r) > 0 { recount(r) }
    guard isMember(pid, member.slot) else { return }
    guard all > outside.reduce(0, { $0 + Descriptors.fromOutside(pid, $1) }) else {
      members[pid]?.unseen = Unseen(base: all)
      for r in Accounting.descriptions { put(member.slot, r, to: 0) }
      return
    }
    // A sure upper estimate of each; which are shared, and with whom, the next recount will say.
    let one = Descriptors.count(
      [.init(pid: pid) { [self] in [members[pid]?.question ?? -1] }], outside: outside
    ).perProcess[0]
    let figures = [one.tcpSockets, one.otherSockets, one.files, one.terminals, one.inotify]
    members[pid]?.hasInherited = true
    members[pid]?.unseen = Unseen(base: all - one.files)
    for (k, r) in Accounting.descriptions.enumerated() { put(member.slot, r, to: figures[k]) }
    for r in Accounting.descriptions {
      if let cell = member.cell(r) { _ = bc_exchange32(&cell.pointee.uncertain, 1) }
    }
    for r in Accounting.descriptions { makeSure(r) }
  }

  /// The pidfd became readable: the process has ended. Its descriptors and memory are back; its
  /// task is there until reaped.
  func ended(_ pid: Int32, moved: Bool = false) {
    learnMuted(pid)  // it may have ended between two looks
    takeNotes(of: pid)
    guard let member = members[pid], !member.isZombie else { return reaped(pid) }
    if !moved, Procfs.exists(pid) { observeTasks() }  // a zombie counts until it is reaped
    guard isMember(pid, member.slot), members[pid]?.isZombie == false else { return }
    if member.page != nil {
      for r in Accounting.things {
        observePeak(member, r, grantedBefore: ledger.granted(member.slot, r), hasEnded: true)
      }
    }
    if isForking(member) { findLost(pid) }
    if let page = member.page, page.pointee.raw_calls != 0,
      !uncovered.contains(where: { $0.pid == pid })
    {
      note(pid, Procfs.executable(pid) ?? Procfs.stat(pid)?.comm ?? "?", "raw system calls")
    }
    if member.coverage != .joined || member.silence != 0, !moved {
      noteIfUncoverable(pid, member.execPath)
    }
    let mayLeave = member.hasForked || member.holdsShared
    for r in Accounting.descriptions {
      let used = member.used(r, granted: ledger.granted(member.slot, r))
      if !moved, r != .numpty, r != .numinotify { leftOpen += used }
      put(member.slot, r, to: 0)
      // Children may hold what it opened: whether they do, a recount knows.
      if mayLeave, used > 0, liveMembers > 1 {
        put(estate, r, to: ledger.granted(estate, r) + used)
      }
    }
    if mayLeave, liveMembers > 1 {
      for other in members.values {
        for r in Accounting.descriptions where other.pid != pid { mark(other, r) }
      }
    }
    leaveAhead(pid)
    members[pid]?.births = 0
    put(member.slot, .privvmpages, to: 0)
    leaveThings(member)
    guard isMember(pid, member.slot) else { return }
    put(member.slot, .numproc, to: ownTasks(pid, 1))
    leaveSeat(pid)
    members[pid]?.dropPage(host.pages)
    members[pid]?.isZombie = true
    members[pid]?.pendingForks = 0
    if moved || !Procfs.exists(pid) { reaped(pid) }
  }

  /// Locks, signals and shared memory of a process that has ended.
  private func leaveThings(_ member: Member) {
    put(member.slot, .numsiginfo, to: 0)
    for r in [Resource.numflock, .shmpages, .lockedpages] {
      let used = member.used(r, granted: ledger.granted(member.slot, r))
      // Segments outlive their maker, and what was shared with children is theirs now: a recount
      // knows.
      put(member.slot, r, to: 0)
      if used > 0 { put(estate, r, to: ledger.granted(estate, r) + used) }
      if used > 0, r != .numflock || member.hasForked || member.holdsShared {
        recount(r)
      } else {
        put(estate, r, to: ledger.granted(estate, r) - used)
      }
    }
  }

  private func mark(_ member: Member, _ resource: Resource) {
    if let cell = member.cell(resource), ledger.granted(estate, resource) > 0 {
      _ = bc_exchange32(&cell.pointee.uncertain, 1)
    }
  }

  func reaped(_ pid: Int32) {
    guard let member = members[pid], member.isZombie else { return }
    members[pid] = nil
    Member.changes += 1
    root.inTree -= 1
    host.pages.forgetInodes(member.pages)
    member.end()
    if let parent = member.aheadOf { members[parent]?.ahead.remove(pid) }
    obtained.forget(pid)
    sightings.forget(pid)
    watch.forget(pid)
    if host.owner[pid] === self { host.owner[pid] = nil }
    // What it left in memory is this beancounter's until it is removed.
    for r in [Resource.shmpages, .lockedpages] where ledger.granted(member.slot, r) > 0 {
      ledger.transfer(from: member.slot, to: estate, r, ledger.granted(member.slot, r))
    }
    leaveBooks(member.slot)
    forgetBrought(by: pid)
    host.events.add(.leave, of: self, pid: pid)
    if member.pidfd >= 0 {
      host.unwatch(member.pidfd)
      close(member.pidfd)
    }
    host.removeIfOver(self)
  }
}

extension Accounting {
  /// Zombies that nobody in the beancounter can reap any more are their new parent's, which is
  /// outside.
  public func leaveZombiesToInit() {
    for member in Array(members.values) where member.isZombie {
      if let parent = Procfs.stat(member.pid)?.parent, host.owner[parent] == nil {
        reaped(member.pid)
      }
    }
  }

  /// Whether some member is a zombie or on its way out.
  public func anyoneEnding() -> Bool {
    members.values.contains {
      $0.isZombie || Procfs.stat($0.pid).map { "ZX".contains($0.state) } ?? true
    }
  }
}
