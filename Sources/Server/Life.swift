internal import Beancounters
internal import CLinux
internal import Recount
internal import Wire

/// Members come, run new images, and die.
extension Accounting {
  /// A process becomes a member: COMMAND, a child somebody announced, or one that just says hello.
  @discardableResult public func adopt(_ pid: Int32, parent: Int32, execPath: String? = nil) -> Bool {
    guard members[pid] == nil else { return true }
    let pidfd = pidfd_open(pid, 0)
    guard pidfd >= 0 else { return false }
    let slot = ledger.join()
    var member = Member(pid: pid, slot: slot, pidfd: pidfd, parent: parent)
    member.execPath = execPath
    if let announced = members[parent], announced.pendingForks > 0 {
      // It takes over what was charged for it: one numproc, and a lease like its parent's.
      member.lease = announced.lease
      ledger.transfer(from: announced.slot, to: slot, .numproc, 1)
      mirror(parent, .numproc)
      members[pid] = member
      if leased { ledger.set(slot, .privvmpages, to: member.lease) }
      members[parent]?.pendingForks -= 1
      settleLease(parent)
    } else {
      members[pid] = member
      ledger.set(slot, .numproc, to: Procfs.tasks(pid) ?? 1)
      if leased { setLease(pid, max(dataPages(member), firstLeasePages, 1)) }
      firstLeasePages = 0
    }
    ledger.observe(.numproc, held: usedTotal(.numproc))
    watch(pidfd, pid)
    return true
  }

  private func mirror(_ pid: Int32, _ resource: Resource) {
    guard let member = members[pid], let cell = member.cell(resource) else { return }
    bc_store(&cell.pointee.granted, ledger.granted(member.slot, resource))
  }

  private func settleLease(_ pid: Int32) {
    guard leased, let member = members[pid] else { return }
    ledger.set(member.slot, .privvmpages, to: member.lease * (1 + member.pendingForks))
  }

  func announceFork(_ pid: Int32, image: Bool) -> Resource? {
    guard let member = members[pid] else { return nil }
    // One unit, kept out of the cell: it is for the child.
    guard obtain(member.slot, .numproc, 1, batch: 0, .hard) != nil else { return .numproc }
    mirror(pid, .numproc)
    members[pid]?.hasForked = true
    if image {
      if leased { reserveImage(pid) } else { members[pid]?.pendingForks += 1 }
    } else if leased {
      guard reserveCopy(pid) else {
        ledger.giveBack(member.slot, .numproc, 1)
        mirror(pid, .numproc)
        return .privvmpages
      }
    } else {
      members[pid]?.pendingForks += 1
    }
    return nil
  }

  func forked(_ pid: Int32, child: Int32, execPath: String?) {
    guard let member = members[pid] else { return }
    if child > 0 {
      if members[child] != nil {
        return  // it said hello before its parent could speak
      }
      if adopt(child, parent: pid, execPath: execPath) { return }
      noteIfUncoverable(child, execPath)
    } else if child == 0 {
      // libc keeps the number to itself (popen, system): whoever is there and unknown is it.
      for one in Procfs.children(pid) where members[one] == nil {
        if adopt(one, parent: pid, execPath: execPath) { return }
      }
    }
    guard members[pid]!.pendingForks > 0 else { return }
    members[pid]?.pendingForks -= 1
    ledger.giveBack(member.slot, .numproc, 1)
    mirror(pid, .numproc)
    settleLease(pid)
  }

  /// A new image has said hello: the old one's page is gone with it.
  func imageStarted(_ pid: Int32) {
    guard let member = members[pid], !member.isZombie else { return }
    for r in Accounting.things { observePeak(member, r, grantedBefore: ledger.granted(member.slot, r)) }
    members[pid]?.dropPage()
    members[pid]?.execPath = nil
    members[pid]?.coverage = .joined
    ledger.set(member.slot, .numproc, to: 1)  // exec leaves one thread (execve(2))
    chargeImage(pid)
    trimLease(pid)
  }

  /// The first charge of an image, or of a forked child, brings it a page of its own.
  func join(_ pid: Int32, page: UnsafeMutablePointer<bc_page>) {
    guard var member = members[pid] else { return }
    member.dropPage()
    member.coverage = .joined
    member.page = page
    page.pointee.magic = BC_WIRE_MAGIC
    page.pointee.generation = 1
    page.pointee.flags = pageFlags
    members[pid] = member
    if ledger.granted(member.slot, .numfile) > 0 { chargeImage(pid) }
    for r in Accounting.things {
      mirror(pid, r)
      let want = Accounting.batch[r] ?? 0
      if let amount = ledger.grant(member.slot, r, least: 0, want: want, severity: .hard), amount > 0 {
        addCredit(pid, r, amount)
      }
    }
  }

  var pageFlags: UInt32 {
    (leased ? UInt32(BC_ANSWER_LEASED) : 0)
      | (settings.allowOnServerLoss ? UInt32(BC_ANSWER_ALLOW_ON_LOSS) : 0)
      | (settings.openvzErrno ? UInt32(BC_ANSWER_OPENVZ_ERRNO) : 0)
  }

  /// Descriptors that came over an exec: what was inherited is counted here as well, until a recount tells it apart.
  private func chargeImage(_ pid: Int32) {
    guard let member = members[pid] else { return }
    // The number first, then whether the question is still open: a question closed between costs a closer look, no more.
    var all = Descriptors.number(pid) ?? 0
    if member.question >= 0, Descriptors.isOpen(pid, member.question) { all -= 1 }
    guard all > Descriptors.fromOutside(pid, own: ownPid, fds: outsideFds) else {
      for r in Accounting.descriptions { ledger.set(member.slot, r, to: 0) }
      return
    }
    // A sure upper estimate of each; which are shared, and with whom, the next recount will say.
    let one = Descriptors.count(
      [.init(pid: pid) { [self] in [members[pid]?.question ?? -1] }], outside: ownPid, outsideFds: outsideFds
    ).perProcess[0]
    ledger.set(member.slot, .numtcpsock, to: one.tcpSockets)
    ledger.set(member.slot, .numothersock, to: one.otherSockets)
    ledger.set(member.slot, .numfile, to: one.files)
    for r in Accounting.descriptions {
      if let cell = member.cell(r) { _ = bc_exchange32(&cell.pointee.uncertain, 1) }
    }
    if Accounting.descriptions.contains(where: { usedTotal($0) > ledger[$0].maxheld }) { recountDescriptions() }
  }

  /// The pidfd became readable: the process has ended. Its descriptors and memory are back; its task is there until reaped.
  func ended(_ pid: Int32) {
    guard let member = members[pid], !member.isZombie else { return reaped(pid) }
    for r in Accounting.things { observePeak(member, r, grantedBefore: ledger.granted(member.slot, r)) }
    if member.coverage != .joined { noteIfUncoverable(pid, member.execPath) }
    let mayLeave = member.hasForked || member.holdsShared
    for r in Accounting.descriptions {
      let used = member.used(r, granted: ledger.granted(member.slot, r))
      ledger.set(member.slot, r, to: 0)
      // Children may hold what it opened: whether they do, a recount knows.
      if mayLeave, used > 0, liveMembers > 1 { ledger.set(estate, r, to: ledger.granted(estate, r) + used) }
    }
    if mayLeave, liveMembers > 1 {
      for other in members.values { for r in Accounting.descriptions where other.pid != pid { mark(other, r) } }
    }
    ledger.set(member.slot, .privvmpages, to: 0)
    ledger.set(member.slot, .numproc, to: 1)
    members[pid]?.dropPage()
    members[pid]?.isZombie = true
    members[pid]?.pendingForks = 0
    if !Procfs.exists(pid) { reaped(pid) }
  }

  private func mark(_ member: Member, _ resource: Resource) {
    if let cell = member.cell(resource), ledger.granted(estate, resource) > 0 {
      _ = bc_exchange32(&cell.pointee.uncertain, 1)
    }
  }

  func reaped(_ pid: Int32) {
    guard let member = members[pid], member.isZombie else { return }
    members[pid] = nil
    ledger.leave(member.slot)
    unwatch(member.pidfd)
    close(member.pidfd)
  }

  // MARK: What the shim is not in

  func noteIfUncoverable(_ pid: Int32, _ path: String?) {
    guard let path, let found = Executable.resolve(path), let reason = Executable.reasonUncovered(found) else { return }
    note(pid, found, reason)
  }

  func note(_ pid: Int32, _ executable: String, _ reason: String) {
    guard !uncovered.contains(where: { $0.pid == pid && $0.executable == executable }) else { return }
    uncovered.append(Uncovered(pid: pid, executable: executable, reason: reason))
  }

  /// The audit: finds children that nobody announced and images that never said hello, keeps those ahead that cannot ask.
  public func tick() {
    for pid in Array(members.keys) {
      guard let member = members[pid] else { continue }
      if member.isZombie {
        if !Procfs.exists(pid) { reaped(pid) }  // kernels before 6.9 do not say
        continue
      }
      for child in Procfs.children(pid) where members[child] == nil { adopt(child, parent: pid) }
      if let page = member.page, page.pointee.raw_calls != 0 {
        note(pid, Procfs.executable(pid) ?? "?", "raw system calls")
      }
      // A forked child that charges nothing is silent too; only an image that cannot be entered is uncovered.
      if member.coverage == .expected || (member.coverage == .joined && member.execPath != nil) {
        guard let path = Procfs.executable(pid), let reason = Executable.reasonUncovered(path) else { continue }
        becomeUncovered(pid, path, reason)
      }
    }
    keepAhead()
    if leased { observeMemory() }
  }

  func becomeUncovered(_ pid: Int32, _ path: String, _ reason: String) {
    members[pid]?.coverage = .uncovered
    members[pid]?.dropPage()
    note(pid, path, reason)
    if let member = members[pid] {
      ledger.set(member.slot, .numproc, to: Procfs.tasks(pid) ?? 1)
    }
  }
}

extension Accounting {
  /// COMMAND starts under this many pages of lease, which it inherits.
  public func prepare(lease: Int64) { firstLeasePages = lease }

  /// Zombies that nobody in the beancounter can reap any more are their new parent's, which is outside.
  public func leaveZombiesToInit() {
    for member in Array(members.values) where member.isZombie {
      if let parent = Procfs.stat(member.pid)?.parent, members[parent] == nil { reaped(member.pid) }
    }
  }

  /// Whether some member is a zombie or on its way out.
  public func anyoneEnding() -> Bool {
    members.values.contains { $0.isZombie || Procfs.stat($0.pid).map { "ZX".contains($0.state) } ?? true }
  }
}
