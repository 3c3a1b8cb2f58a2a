internal import Beancounters
internal import CLinux
internal import Command
internal import Recount
internal import Wire

/// Members come, run new images, and die.
extension Accounting {
  /// A process becomes a member: COMMAND, a child somebody announced, or one that just says hello.
  @discardableResult public func adopt(_ pid: Int32, parent: Int32, execPath: String? = nil) -> Bool {
    guard members[pid] == nil else { return true }
    host.owner[pid]?.moveAway(pid)
    let pidfd = pidfd_open(pid, 0)
    guard pidfd >= 0 else { return false }
    let slot = ledger.join()
    var member = Member(pid: pid, slot: slot, pidfd: pidfd)
    member.execPath = execPath
    member.ownLimit = members[parent]?.ownLimit ?? -1
    host.owner[pid] = self
    if let announced = members[parent], announced.pendingForks > 0 {
      // It takes over what was charged for it: one numproc, and a lease like its parent's.
      member.lease = announced.lease
      ledger.transfer(from: announced.slot, to: slot, .numproc, 1)
      mirror(parent, .numproc)
      members[pid] = member
      if leased { put(slot, .privvmpages, to: member.lease) }
      members[parent]?.pendingForks -= 1
      settleLease(parent)
    } else {
      members[pid] = member
      put(slot, .numproc, to: Procfs.tasks(pid) ?? 1)
      if leased { setLease(pid, max(dataPages(member), firstLeasePages, 1)) }
      firstLeasePages = 0
    }
    observe(.numproc)
    host.watch(pidfd, pid)
    host.events.add(.join, of: self, pid: pid)
    return true
  }

  /// It has entered another beancounter.
  private func moveAway(_ pid: Int32) {
    guard members[pid] != nil else { return }
    ended(pid, moved: true)
  }

  /// A process that nobody announced, brought in by somebody outside: charged like a fork, so a full beancounter refuses it.
  /// nil: it is a member; otherwise who refused.
  public func enter(_ pid: Int32) -> Accounting? {
    let level = upwards.first { $0.ledger.room(.numproc, .hard) < 1 }
    if let level {
      level.recountTasks()
      if level.ledger.room(.numproc, .hard) < 1 {
        deny(.numproc, by: level, pid: pid, error: EAGAIN, call: "enter", detail: "", amount: 1)
        return level
      }
    }
    // What its parent has too, it did not open.
    if let parent = Procfs.stat(pid)?.parent, host.owner[parent] == nil {
      let fds = Descriptors.open(of: pid).filter { Descriptors.same(pid, parent, $0) }
      outside.removeAll { $0.pid == parent }
      outside.append(Outside(pid: parent, fds: fds))
    }
    adopt(pid, parent: 0)
    raiseForImage(pid, uncoverable: false)
    return nil
  }

  private func settleLease(_ pid: Int32) {
    guard leased, let member = members[pid] else { return }
    put(member.slot, .privvmpages, to: member.lease * (1 + member.pendingForks))
  }

  func announceFork(_ pid: Int32, image: Bool) -> (Resource, Accounting)? {
    guard let member = members[pid] else { return nil }
    // One unit, kept out of the cell: it is for the child.
    if case .refused(let level) = obtain(member.slot, .numproc, 1, batch: 0, .hard) { return (.numproc, level) }
    mirror(pid, .numproc)
    members[pid]?.hasForked = true
    if image {
      if leased { reserveImage(pid) } else { members[pid]?.pendingForks += 1 }
    } else if leased {
      guard reserveCopy(pid) else {
        giveBack(member.slot, .numproc, 1)
        mirror(pid, .numproc)
        return (.privvmpages, tightest(.privvmpages))
      }
    } else {
      members[pid]?.pendingForks += 1
    }
    return nil
  }

  func forked(_ pid: Int32, child: Int32, execPath: String?) {
    guard let member = members[pid] else { return }
    if child > 0 {
      if host.owner[child] != nil { return }  // it said hello before its parent could speak
      if adopt(child, parent: pid, execPath: execPath) { return }
      noteIfUncoverable(child, execPath)
    } else if child == 0 {
      // libc keeps the number to itself (popen, system): whoever is there and unknown is it.
      for one in Procfs.children(pid) where host.owner[one] == nil {
        if adopt(one, parent: pid, execPath: execPath) { return }
      }
    }
    guard members[pid]!.pendingForks > 0 else { return }
    members[pid]?.pendingForks -= 1
    giveBack(member.slot, .numproc, 1)
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
    put(member.slot, .numproc, to: 1)  // exec leaves one thread (execve(2))
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
      if case .granted(let amount) = obtain(member.slot, r, 0, batch: want, .hard), amount > 0 { addCredit(pid, r, amount) }
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
    let outside = root.outsides
    guard all > outside.reduce(0, { $0 + Descriptors.fromOutside(pid, $1) }) else {
      for r in Accounting.descriptions { put(member.slot, r, to: 0) }
      return
    }
    // A sure upper estimate of each; which are shared, and with whom, the next recount will say.
    let one = Descriptors.count(
      [.init(pid: pid) { [self] in [members[pid]?.question ?? -1] }], outside: outside
    ).perProcess[0]
    put(member.slot, .numtcpsock, to: one.tcpSockets)
    put(member.slot, .numothersock, to: one.otherSockets)
    put(member.slot, .numfile, to: one.files)
    for r in Accounting.descriptions {
      if let cell = member.cell(r) { _ = bc_exchange32(&cell.pointee.uncertain, 1) }
    }
    if Accounting.descriptions.contains(where: { r in upwards.contains { $0.usedTotal(r) > $0.ledger[r].maxheld } }) {
      recountDescriptions()
    }
  }

  /// The pidfd became readable: the process has ended. Its descriptors and memory are back; its task is there until reaped.
  func ended(_ pid: Int32, moved: Bool = false) {
    guard let member = members[pid], !member.isZombie else { return reaped(pid) }
    for r in Accounting.things { observePeak(member, r, grantedBefore: ledger.granted(member.slot, r)) }
    if member.coverage != .joined, !moved { noteIfUncoverable(pid, member.execPath) }
    let mayLeave = member.hasForked || member.holdsShared
    for r in Accounting.descriptions {
      let used = member.used(r, granted: ledger.granted(member.slot, r))
      put(member.slot, r, to: 0)
      // Children may hold what it opened: whether they do, a recount knows.
      if mayLeave, used > 0, liveMembers > 1 { put(estate, r, to: ledger.granted(estate, r) + used) }
    }
    if mayLeave, liveMembers > 1 {
      for other in members.values { for r in Accounting.descriptions where other.pid != pid { mark(other, r) } }
    }
    put(member.slot, .privvmpages, to: 0)
    put(member.slot, .numproc, to: 1)
    members[pid]?.dropPage()
    members[pid]?.isZombie = true
    members[pid]?.pendingForks = 0
    if moved || !Procfs.exists(pid) { reaped(pid) }
  }

  private func mark(_ member: Member, _ resource: Resource) {
    if let cell = member.cell(resource), ledger.granted(estate, resource) > 0 {
      _ = bc_exchange32(&cell.pointee.uncertain, 1)
    }
  }

  func reaped(_ pid: Int32) {
    guard let member = members[pid], member.isZombie else { return }
    members[pid] = nil
    if host.owner[pid] === self { host.owner[pid] = nil }
    leaveBooks(member.slot)
    host.events.add(.leave, of: self, pid: pid)
    host.unwatch(member.pidfd)
    close(member.pidfd)
    host.removeIfOver(self)
  }

  // MARK: What the shim is not in

  /// Of the levels above and this, the one with the least room: it is what refuses.
  func tightest(_ resource: Resource) -> Accounting {
    upwards.min { $0.ledger.room(resource, .hard) < $1.ledger.room(resource, .hard) } ?? self
  }

  var outsides: [(pid: Int32, fds: [Int32])] { subtree.flatMap { $0.outside.map { ($0.pid, $0.fds) } } }

  func noteIfUncoverable(_ pid: Int32, _ path: String?) {
    guard let path, let found = Executable.resolve(path), let reason = Executable.reasonUncovered(found) else { return }
    note(pid, found, reason)
  }

  func note(_ pid: Int32, _ executable: String, _ reason: String) {
    guard !uncovered.contains(where: { $0.pid == pid && $0.executable == executable }) else { return }
    uncovered.append(Report.Uncovered(pid: pid, executable: executable, reason: reason))
    host.events.add(.uncovered, of: self, pid: pid, "\(executable): \(reason)")
  }

  /// The audit: finds children that nobody announced and images that never said hello, keeps those ahead that cannot ask.
  public func tick() {
    for pid in Array(members.keys) {
      guard let member = members[pid] else { continue }
      if member.isZombie {
        if !Procfs.exists(pid) { reaped(pid) }  // kernels before 6.9 do not say
        continue
      }
      for child in Procfs.children(pid) where host.owner[child] == nil { adopt(child, parent: pid) }
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
      put(member.slot, .numproc, to: Procfs.tasks(pid) ?? 1)
    }
  }
}

extension Accounting {
  /// COMMAND starts under this many pages of lease, which it inherits.
  public func prepare(lease: Int64) { firstLeasePages = lease }

  /// Zombies that nobody in the beancounter can reap any more are their new parent's, which is outside.
  public func leaveZombiesToInit() {
    for member in Array(members.values) where member.isZombie {
      if let parent = Procfs.stat(member.pid)?.parent, host.owner[parent] == nil { reaped(member.pid) }
    }
  }

  /// Whether some member is a zombie or on its way out.
  public func anyoneEnding() -> Bool {
    members.values.contains { $0.isZombie || Procfs.stat($0.pid).map { "ZX".contains($0.state) } ?? true }
  }
}
