internal import Beancounters
internal import CLinux
internal import Command
internal import Recount
internal import Wire

/// From a question to an answer. No byte of the question is trusted beyond its length and its
/// token.
extension Accounting {
  /// The answer, and a descriptor to send with it or −1. `page`: where the question came from, if
  /// not through a socket.
  func answer(_ request: bc_request, from pid: Int32, in page: UnsafeMutablePointer<bc_page>? = nil)
    -> (bc_answer, Int32)
  {
    var answer = bc_answer()
    answer.magic = BC_WIRE_MAGIC
    answer.own_limit = -1
    answer.flags = pageFlags
    let asked = Asked(request)
    let call = asked.call, detail = asked.detail
    // A filter may keep a member from knowing its own number.
    let foreign =
      request.thread <= 0
      ? members[pid]?.isForeign == true
      : request.thread != pid && access("/proc/\(pid)/task/\(request.thread)", F_OK) != 0
    if members[pid] == nil {
      let parent = !foreign && members[request.parent] != nil ? request.parent : parent(of: pid)
      takeNotes(of: parent)  // it may be noted already
      if members[pid] == nil, !adopt(pid, parent: parent) { return (answer, -1) }
    }
    if members[pid]?.isZombie == true { return (answer, -1) }  // what it asked for is nobody's now
    members[pid]?.isForeign = foreign
    members[pid]?.question = request.socket
    takeNotes(of: pid)
    answer.own_limit = members[pid]?.ownLimit ?? -1
    defer { members[pid]?.question = -1 }
    switch bc_kind(rawValue: UInt32(request.kind)) {
    case BC_HELLO:
      if let took = Procfs.dataPages(pid) { learn(UInt64(bitPattern: request.want), took: took) }
      let wasLoading = members[pid]?.isLoaded == false
      hasLoaded(pid)
      // A join that overtook it has said as much already.
      if members[pid]?.page == nil || wasLoading { imageStarted(pid) }
      trimLease(pid)
      members[pid]?.coverage = .joined
    case BC_JOIN:
      members[pid]?.isSealed = false
      var descriptor: Int32 = -1
      if let page { join(pid, page: page) } else { descriptor = newPage(pid) }
      answer.granted = leaseToSet(pid)
      return (answer, descriptor)
    case BC_CHARGE where members[pid]?.page == nil, BC_VERIFY where members[pid]?.page == nil:
      answer.flags |= UInt32(BC_ANSWER_REJOIN)
    case BC_CHARGE:
      guard let resource = Resource(rawValue: Int(request.resource)),
        Accounting.things.contains(resource),
        let severity = Severity(rawValue: Int(request.severity)), request.amount > 0,
        request.amount <= (severity == .force ? Accounting.mostForced : Accounting.mostAsked)
      else {
        answer.flags |= UInt32(BC_ANSWER_UNCHARGED)
        break
      }
      if resource == .shmpages, call.contains("truncate") || call.contains("fallocate") {
        noteShared(pid)
      }
      let error = request.child > 0 && request.child < 134 ? request.child : EAGAIN
      if inject(resource, request, from: pid, asked, amount: request.amount, error: error, &answer)
      {
        break
      }
      switch charge(pid, resource, request.amount, severity) {
      case .credited:
        // SOFT or FORCE: the cell says of every charge to ask, not of this one
        if isOver(resource) { answer.flags |= UInt32(BC_ANSWER_SURE) }
      case .taken: answer.flags |= UInt32(BC_ANSWER_TAKEN)
      case .refused(let level, let ground)
      where level.isMoving(resource, ground, again: request.again):
        answer.flags |= UInt32(BC_ANSWER_LATER)
      case .refused(let level, _):
        answer.error = error
        deny(resource, by: level, pid: pid, error: answer.error, asked, amount: request.amount)
      }
      if resource == .numfile, watch.isArmed(pid) { answer.flags |= UInt32(BC_ANSWER_SURE) }
    case BC_VERIFY:
      guard let resource = Resource(rawValue: Int(request.resource)),
        Accounting.things.contains(resource), 0...Accounting.mostAsked ~= request.amount
      else {
        answer.flags |= UInt32(BC_ANSWER_UNCHARGED)
        break
      }
      let error = request.child > 0 && request.child < 134 ? request.child : EAGAIN
      if inject(resource, request, from: pid, asked, amount: request.amount, error: error, &answer)
      {
        break
      }
      if injects(resource) { break }  // the credit is there
      if resource == .numfile, watch.isArmed(pid), !isOver(resource) {
        settleWatch(pid)
        takePoint(pid)
        answer.flags |= UInt32(BC_ANSWER_SURE)
        break
      }
      // To count locks takes long: it is done for whoever would be refused, and at a tick.
      if !isOver(resource), resource == .numflock {
        answer.flags |= UInt32(BC_ANSWER_SURE)
        allowBelowMaximum(pid, resource, after: request.amount)
        break
      }
      if !isOver(resource), !mayCount(resource) {
        // Not asked about again before the next look of the audit.
        answer.flags |= UInt32(BC_ANSWER_SURE)
        members[pid]?.startPeak(resource, below: 0)
        break
      }
      verify(pid, resource)
      guard request.amount > 0 else { break }
      // Its credit went with the recall.
      if case .taken = charge(pid, resource, request.amount, .hard) {
        answer.flags |= UInt32(BC_ANSWER_TAKEN)
      }
      if members[pid]?.isUnsure(resource) == true { answer.flags |= UInt32(BC_ANSWER_SURE) }
      allowBelowMaximum(pid, resource, after: request.amount)
    case BC_BUFFER:
      guard let resource = Resource(rawValue: Int(request.resource)),
        Resource.buffers.contains(resource),
        0..<(1 << 40) ~= request.amount, 0..<(1 << 40) ~= request.want
      else { break }
      let error = request.child > 0 && request.child < 134 ? request.child : ENOBUFS
      if inject(resource, request, from: pid, asked, amount: request.amount, error: error, &answer)
      {
        break
      }
      let forced = Int32(request.flags) & Int32(BC_FLAG_FORCED) != 0
      if let level = refusesBuffer(resource, request.amount, used: request.want, forced: forced) {
        answer.error = error
        deny(resource, by: level, pid: pid, error: error, asked, amount: request.amount)
      }
    case BC_MEMORY:
      let pages = { (bytes: Int64) in (min(max(0, bytes), 1 << 60) + 4095) / 4096 }
      if Int32(request.flags) & Int32(BC_FLAG_INTENT) != 0 {
        _ = inject(
          .privvmpages, request, from: pid, asked, amount: pages(request.amount), error: ENOMEM,
          &answer)
        break
      }
      let noReserve = Int32(request.flags) & Int32(BC_FLAG_NORESERVE) != 0
      let severity = Severity(rawValue: Int(request.severity)) ?? .hard
      switch memory(
        pid, least: pages(request.amount), want: pages(request.want), noReserve: noReserve,
        severity,
        again: request.again
      ) {
      case .granted: break
      case .later: answer.flags |= UInt32(BC_ANSWER_LATER)
      case .unchanged: answer.flags |= UInt32(BC_ANSWER_UNCHANGED)
      case .full(let level):
        answer.error = ENOMEM
        deny(.physpages, by: level, pid: pid, error: ENOMEM, asked, amount: pages(request.amount))
      case .denied:
        answer.error = ENOMEM
        observeMemory()
        deny(
          .privvmpages, by: tightest(.privvmpages), pid: pid, error: ENOMEM, asked,
          amount: pages(request.amount))
      }
    case BC_FORK:
      let isImage = request.birth == UInt16(BC_IMAGE.rawValue)
      // A child of vfork is known to be about to ask by itself.
      let need =
        isMuted(pid) ? nil : detail.isEmpty ? 0 : root.known[UInt64(bitPattern: request.want)]
      switch isImage
        ? reserveImage(pid, known: need, again: request.again)
        : reserveCopy(pid, again: request.again)
      {
      case .granted, .unchanged, .full: offerBirths(pid)
      case .later: answer.flags |= UInt32(BC_ANSWER_LATER)
      case .denied:
        answer.error = ENOMEM
        let pages = members[pid].map { dataPages($0) } ?? 0
        deny(
          .privvmpages, by: tightest(.privvmpages), pid: pid, error: ENOMEM, asked, amount: pages)
      }
    case BC_FORKED:
      noted(
        pid, child: request.child, path: detail.isEmpty ? nil : detail, isBooked: request.want == 1)
    case BC_EXEC:
      switch raiseForImage(pid, known: root.known[UInt64(bitPattern: request.want)]) {
      case .later: answer.flags |= UInt32(BC_ANSWER_LATER)
      case .denied:
        answer.error = ENOMEM
        let pages = root.known[UInt64(bitPattern: request.want)] ?? 0
        deny(
          .privvmpages, by: tightest(.privvmpages), pid: pid, error: ENOMEM, asked, amount: pages)
      default: members[pid]?.execPath = detail
      }
    case BC_EXEC_FAILED:
      members[pid]?.execPath = nil
      hasLoaded(pid)
      trimLease(pid)
    case BC_VIEW:
      let file = view(detail, for: pid, opens: request.amount == 1, &answer)
      answer.granted = leaseToSet(pid)
      return (answer, file)
    case BC_BORROW:
      if let whose = Procfs.processBehind(pid, request.amount) {
        host.owner[whose]?.lend(whose, request.want)
      }
    case BC_SEALED:
      becomeSealed(pid)
      keepAhead()
    case BC_OWN_LIMIT:
      members[pid]?.ownLimit = request.amount
      if let lease = members[pid]?.lease, lease > 0 { setLease(pid, lease) }
    default: break
    }
    answer.granted = leaseToSet(pid)
    return (answer, -1)
  }

  /// A descriptor of a member is about to be another process's too.
  private func lend(_ pid: Int32, _ fd: Int64) {
    guard let page = members[pid]?.pageWithWords, let fd = UInt32(exactly: fd), fd < BC_OWNED_FDS
    else { return }
    bc_exchange32(bc_page_alone(page), 0)
    _ = bc_owned_share(page, fd)
  }

  /// Who made it, for a process nobody announced: its parent, or the nearest member above it.
  private func parent(of pid: Int32) -> Int32 {
    var one = Procfs.stat(pid)?.parent ?? 0
    for _ in 0..<8 where one > 1 && members[one] == nil { one = Procfs.stat(one)?.parent ?? 0 }
    return one
  }

  /// Images that it starts cannot ask.
  private func isMuted(_ pid: Int32) -> Bool {
    learnMuted(pid)
    return members[pid]?.silence != 0
  }

  private func newPage(_ pid: Int32) -> Int32 {
    guard let (fd, page) = host.pages.take() else { return -1 }
    join(pid, page: page)
    return fd
  }
}
