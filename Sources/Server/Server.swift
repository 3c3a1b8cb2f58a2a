internal import Beancounters
internal import CLinux
internal import Command
internal import Wire

/// The event loop: one thread, one epoll, no lock. Deaths are handled before questions, so that
/// what a dead process held is back before anybody asks for it.
public final class Server {
  public let host = Host()
  public let path: String
  /// The library that members preload.
  public let shim: String
  private let epoll: Int32
  private let deaths: Int32  // an epoll of the members' pidfds, so that they can be asked for alone
  private let listeners: [Int32]
  private let timer: Int32
  private var pids: [Int32: Int32] = [:]  // pidfd → pid
  private var waiting = Connections()  // whose question has not come yet
  private var kinds = Kinds()
  private var replies: [Int32: Reply] = [:]  // … and those with more to say than fits at once
  private var followers: Set<Int32> = []
  private var extra: [Int32: () -> Void] = [:]
  // While the asker's tree was being counted
  private var put: [(fd: Int32, question: bc_request, pid: Int32)] = []
  private let events = UnsafeMutablePointer<epoll_event>.allocate(capacity: mostEvents)
  private let ended = UnsafeMutablePointer<epoll_event>.allocate(capacity: mostEvents)
  private let cleanUp: () -> Void

  private static let tickMilliseconds = 20
  /// Descriptors that the server has for what it does, whatever others do: a look at /proc must not
  /// fail for want of one.
  private static let reserve = 64
  private let descriptors: Int
  /// The soft RLIMIT_NOFILE that this process was started with: COMMAND is to have it. Each member
  /// takes a descriptor here, so the server itself takes all it may.
  public private(set) var descriptorsBefore: UInt64 = 0
  private static let mostEvents = 64

  /// Listens at `path`, and at the same name as an abstract socket, which a chroot does not hide.
  /// `inherited` is a listening SOCK_SEQPACKET socket that somebody else made (sd_listen_fds).
  /// Throws the errno of what failed.
  public init(
    path: String, shim: String, inherited: Int32? = nil, cleanUp: @escaping () -> Void = {}
  ) throws(Errno) {
    self.path = path
    self.shim = shim
    self.cleanUp = cleanUp
    epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
    deaths = epoll_create1(Int32(EPOLL_CLOEXEC))
    clinux_descriptors(.max, &descriptorsBefore)
    descriptors = Int(clinux_descriptors_now())
    var first = inherited ?? -1
    if first < 0 { first = try Server.listen(path, abstract: false) }
    listeners = [first, try Server.listen(path, abstract: true)]
    chmod(path, 0o666)  // admitted by token and credentials, not by file mode
    timer = timerfd_create(CLOCK_MONOTONIC, Int32(TFD_CLOEXEC) | Int32(TFD_NONBLOCK))
    var period = itimerspec()
    period.it_interval.tv_nsec = Server.tickMilliseconds * 1_000_000
    period.it_value = period.it_interval
    timerfd_settime(timer, 0, &period, nil)
    host.mayWatch = { [unowned self] in pids.count < descriptors - 2 * Server.reserve }
    events.initialize(repeating: epoll_event(), count: Server.mostEvents)
    ended.initialize(repeating: epoll_event(), count: Server.mostEvents)
    for fd in listeners {
      kinds[fd] = .listener
      add(fd, UInt32(EPOLLIN.rawValue))
    }
    kinds[timer] = .timer
    add(timer, UInt32(EPOLLIN.rawValue))
    kinds[deaths] = .deaths
    add(deaths, UInt32(EPOLLIN.rawValue))
    host.settleDeaths = { [unowned self] in settleDeaths() }
    host.pause = { [unowned self] in serveOthers() }
    host.unwatch = { [unowned self] in pids[$0] = nil }
    host.watch = { [unowned self] pidfd, pid in
      pids[pidfd] = pid
      var event = epoll_event(events: UInt32(EPOLLIN.rawValue), data: epoll_data_t(fd: pidfd))
      epoll_ctl(deaths, EPOLL_CTL_ADD, pidfd, &event)
    }
    host.mailboxes.watch = { [unowned self] in watch($0, $1) }
    host.mailboxes.answer = { [unowned self] in answerMail($0, $1, $2) }
    host.witnesses.watch = { [unowned self] in watch($0, $1) }
    host.witnesses.unwatch = { [unowned self] in
      extra[$0] = nil
      kinds[$0] = .none
    }
    host.events.follow = { [unowned self] event in
      guard !followers.isEmpty else { return }
      let line = Array((event.json() + "\n").utf8)
      for fd in followers { replies[fd]?.add(line) }
      for fd in followers { push(fd) }
    }
  }

  /// In a directory of its own, for one run.
  public static func ofOneRun(shim: String) throws(Errno) -> Server {
    let temporary = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array("\(temporary.utf8.count < 60 ? temporary : "/tmp")/bc-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw Errno.last }
    let directory = String(
      decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    chmod(directory, 0o711)  // members may change their uid
    return try Server(path: directory + "/s", shim: shim) { rmdir(directory) }
  }

  private static func listen(_ path: String, abstract: Bool) throws(Errno) -> Int32 {
    let fd = clinux_listen(path, abstract)
    guard fd >= 0 else { throw Errno.last }
    return fd
  }

  private func add(_ fd: Int32, _ mask: UInt32) {
    var event = epoll_event(events: mask, data: epoll_data_t(fd: fd))
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)
  }

  private func change(_ fd: Int32, _ mask: UInt32) {
    var event = epoll_event(events: mask, data: epoll_data_t(fd: fd))
    epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event)
  }

  /// Another descriptor to wait for in the same loop.
  public func watch(_ fd: Int32, _ react: @escaping () -> Void) {
    extra[fd] = react
    kinds[fd] = .extra
    add(fd, UInt32(EPOLLIN.rawValue))
  }

  /// One round of the loop. `timeout` in milliseconds, −1 for ever.
  public func step(timeout: Int32 = -1) {
    turn &+= 1
    let before = turn % Server.asksPerPrice == 0 ? Clock.processor() : 0
    hasGranted = false
    let n = epoll_wait(epoll, events, Int32(Server.mostEvents), timeout)
    guard n > 0 else { return }
    defer { if before > 0, n == 1, hasGranted { host.asked(Clock.processor() - before) } }
    for i in 0..<Int(n) where kinds[events[i].data.fd] == .deaths { settleDeaths() }
    for i in 0..<Int(n) {
      let fd = events[i].data.fd
      switch kinds[fd] {
      case .listener: acceptOne(fd)
      case .question: question(fd)
      case .timer:
        var times: UInt64 = 0
        _ = read(timer, &times, 8)
        host.tick()
      case .extra: extra[fd]?()
      case .reply:
        if events[i].events & UInt32(EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0 {
          hangUp(fd)
        } else {
          push(fd)
        }
      case .deaths, .none: break
      }
    }
    if !put.isEmpty { answerPut() }
    if host.isKept { host.state?.flush(host.beancounters) }
    if host.pages.isWaiting { host.pages.refill() }
  }

  // What a question costs is measured at one round of so many: to read the time the processor has
  // spent is a system call.
  private var turn: UInt32 = 0
  private var hasGranted = false
  private static let asksPerPrice: UInt32 = 16

  private func death(_ pidfd: Int32, _ mask: UInt32) {
    guard let pid = pids[pidfd] else { return }
    // The event may be of a descriptor that was closed since, and whose number is another's now.
    var now = pollfd(fd: pidfd, events: Int16(POLLIN), revents: 0)
    guard poll(&now, 1, 0) == 1 else { return }
    host.owner[pid]?.ended(pid)
    if mask & UInt32(EPOLLHUP.rawValue) != 0 { host.owner[pid]?.reaped(pid) }
    guard pids[pidfd] == pid else { return }
    var event = epoll_event(events: 0, data: epoll_data_t(fd: pidfd))
    epoll_ctl(deaths, EPOLL_CTL_MOD, pidfd, &event)  // from now on only EPOLLHUP: reaped (6.9)
  }

  private func settleDeaths() {
    guard !isSettlingDeaths else { return }
    isSettlingDeaths = true
    defer { isSettlingDeaths = false }
    for _ in 0..<64 {
      let n = epoll_wait(deaths, ended, Int32(Server.mostEvents), 0)
      var isNew = false
      for i in 0..<Int(max(0, n)) {
        let fd = ended[i].data.fd
        guard let pid = pids[fd], host.owner[pid].map({ !isCounting($0) }) ?? true else { continue }
        death(fd, ended[i].events)
        isNew = true
      }
      if !isNew { return }
    }
  }
  private var isSettlingDeaths = false

  // MARK: While one tree is counted

  private func isCounting(_ one: Accounting) -> Bool {
    host.counting.contains(ObjectIdentifier(one.root))
  }

  /// What takes long stops now and then for whoever has nothing to do with it. Members of the tree
  /// that is counted wait, and so does bcctl.
  private func serveOthers() {
    let now = Clock.nanoseconds()
    guard now - lastServed > Server.longestWait, host.counting.count <= Server.mostCounted else {
      return
    }
    defer { lastServed = Clock.nanoseconds() }
    let wasSettling = host.isSettling
    host.isSettling = false
    defer { host.isSettling = wasSettling }
    settleDeaths()
    for listener in listeners { while acceptOne(listener) {} }
    // Answering one may serve others: the number of one that was answered so is another file's now.
    for fd in Array(waiting.all) where waiting.contains(fd) { question(fd) }
  }
  private var lastServed: UInt64 = 0
  private static let longestWait: UInt64 = 500_000
  /// Answering may take a count too, and so on, of one tree within that of another: a thousand of
  /// them would not fit on the stack.
  private static let mostCounted = 4

  private func answerPut() {
    while let next = put.first {
      put.removeFirst()
      answerMember(next.fd, next.question, next.pid)
    }
  }

  /// Of several that wait, the next round takes the next: to find out that there is none costs a
  /// system call.
  @discardableResult private func acceptOne(_ listener: Int32) -> Bool {
    makeRoom()
    let fd = clinux_accept(listener)
    guard fd >= 0 else { return false }
    if !question(fd) { letWait(fd) }
    return true
  }

  private func letWait(_ fd: Int32) {
    kinds[fd] = .question
    waiting.insert(fd)
    add(fd, UInt32(EPOLLIN.rawValue))
  }

  /// Who opens connections by the thousand and says nothing, or asks and does not read, loses the
  /// older half of them before they are all that there is.
  private func makeRoom() {
    guard
      waiting.count + replies.count
        >= max(Server.reserve, descriptors - Server.reserve - pids.count)
    else { return }
    for fd in waiting.excess(with: replies.keys) {
      if replies[fd] != nil { hangUp(fd) } else { close(fd) }
      waiting.remove(fd)
      kinds[fd] = .none
    }
  }

  private static let longestQuestion = 65536
  private let packet = UnsafeMutableRawBufferPointer.allocate(
    byteCount: longestQuestion, alignment: 16)

  /// Reads and answers one question; false when it has not come yet.
  @discardableResult private func question(_ fd: Int32) -> Bool {
    let n = recv(
      fd, packet.baseAddress, packet.count,
      Int32(MSG_TRUNC) | (host.counting.isEmpty ? 0 : Int32(MSG_PEEK)))
    if n < 0, clinux_errno() == EAGAIN || clinux_errno() == EINTR { return false }
    if !host.counting.isEmpty {
      guard n == MemoryLayout<bc_request>.size, packet.load(as: UInt32.self) == BC_WIRE_MAGIC else {
        return false
      }
      recv(fd, packet.baseAddress, packet.count, 0)
    }
    if kinds[fd] == .question {
      waiting.remove(fd)
      kinds[fd] = .none
    }
    guard n > 0, n <= packet.count, let peer = Connections.peer(fd) else {
      close(fd)
      return true
    }
    if n == MemoryLayout<bc_request>.size, packet.load(as: UInt32.self) == BC_WIRE_MAGIC {
      let request = UnsafePointer(packet.baseAddress!.assumingMemoryBound(to: bc_request.self))
      if host.counting.isEmpty, host.seats.grantAtOnce(request, from: peer.pid) {
        var answer = bc_answer()
        answer.magic = BC_WIRE_MAGIC
        answer.own_limit = -1
        send(fd, &answer, MemoryLayout<bc_answer>.size, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
        close(fd)
        return true
      }
      answerMember(fd, packet.load(as: bc_request.self), peer.pid)
    } else if peer.uid == geteuid() || peer.uid == 0 {
      answerControl(fd, Array(packet[..<n]), peer.pid)
    } else {
      close(fd)
    }
    return true
  }

  @inline(never) private func answerMember(_ fd: Int32, _ question: bc_request, _ pid: Int32) {
    var request = question
    let found = pid > 0 ? host.find(Token(request.token.0, request.token.1)) : nil
    if let found, isCounting(found) || host.owner[pid].map(isCounting) == true {
      put.append((fd, question, pid))
      return
    }
    defer { close(fd) }
    guard let one = found else { return host.events.addStranger(pid) }
    let looks = one.work.recalls + one.work.recounts
    bc_request_clean(&request)
    one.work.requests += 1
    host.witnesses.forget()
    var (answer, descriptor) = one.answer(request, from: pid)
    hasGranted =
      request.kind == UInt16(BC_CHARGE.rawValue) && answer.error == 0
      && answer.flags & UInt32(BC_ANSWER_LATER) == 0
      && one.work.recalls + one.work.recounts == looks
    let isHeard = Int32(request.flags) & Int32(BC_FLAG_ONE_WAY) == 0
    if isHeard, host.witnesses.isWanted { answer.flags |= UInt32(BC_ANSWER_WITNESS) }
    host.state?.flush(host.beancounters)  // before the program hears of a denial
    if isHeard {
      withUnsafePointer(to: answer) {
        _ = clinux_send(fd, $0, MemoryLayout<bc_answer>.size, descriptor)
      }
      host.witnesses.take(fd, of: pid)
    }
    if descriptor >= 0 { close(descriptor) }
  }

  /// The same for a question that lies in a member's page: it can be sent no descriptor, and nobody
  /// is witnessed.
  private func answerMail(_ one: Accounting, _ page: UnsafeMutablePointer<bc_page>, _ pid: Int32) {
    guard bc_cas32(bc_page_mail(page), Int32(BC_MAIL_ASKED.rawValue), Int32(BC_MAIL_TAKEN.rawValue))
    else { return }
    var request = page.pointee.mail.request
    var answer = bc_answer()
    if request.magic == BC_WIRE_MAGIC, Token(request.token.0, request.token.1) == one.token {
      bc_request_clean(&request)
      request.socket = -1
      one.work.requests += 1
      host.witnesses.forget()
      var descriptor: Int32
      (answer, descriptor) = one.answer(request, from: pid, in: page)
      if descriptor >= 0 { close(descriptor) }
      host.state?.flush(host.beancounters)
    }
    page.pointee.mail.answer = answer
    if bc_cas32(bc_page_mail(page), Int32(BC_MAIL_TAKEN.rawValue), Int32(BC_MAIL_ANSWERED.rawValue))
    {
      clinux_wake(bc_page_mail(page))
    }
  }

  // MARK: bcctl and bcrun --server

  private func answerControl(_ fd: Int32, _ bytes: [UInt8], _ pid: Int32) {
    var reply = Reply()
    let control = Control(server: self, pid: pid)
    let answer = control.reply(to: bytes)
    if case .now(let text) = answer { reply.add(Array(text.utf8)) }
    if host.isKept { host.state?.flush(host.beancounters) }  // what somebody has been told is kept
    if control.follows {
      followers.insert(fd)
      reply.staysOpen = true
    }
    replies[fd] = reply
    if kinds[fd] == .none { add(fd, 0) }
    kinds[fd] = .reply
    if case .later(let told) = answer { tell(told, to: fd) } else { push(fd) }
  }

  private var lastTold: UInt64 = 0

  /// Others are served until the names have been read.
  private func tell(_ told: Told, to fd: Int32) {
    lastTold += 1
    let this = lastTold
    replies[fd]?.waitsFor = this
    replies[fd]?.staysOpen = true
    host.witnesses.name(told.stacks) { [unowned self] names in
      guard replies[fd]?.waitsFor == this else { return }
      replies[fd]!.staysOpen = false
      replies[fd]!.add(Array(told.text(names).utf8))
      push(fd)
    }
  }

  private func push(_ fd: Int32) {
    guard let done = replies[fd]?.send(to: fd) else { return }
    if done == .more { boundReplies() }
    switch replies[fd] == nil ? .broken : done {
    case .more: change(fd, UInt32(EPOLLOUT.rawValue))
    case .sent: change(fd, 0)
    case .ended, .broken: hangUp(fd)
    }
  }

  private static let mostUnread = 16 << 20

  /// What nobody reads must not fill the memory, however many they are.
  private func boundReplies() {
    while replies.values.reduce(0, { $0 + $1.size }) > Server.mostUnread,
      let most = replies.max(by: { $0.value.size < $1.value.size })
    { hangUp(most.key) }
  }

  private func hangUp(_ fd: Int32) {
    guard replies[fd] != nil else { return }
    replies[fd] = nil
    kinds[fd] = .none
    followers.remove(fd)
    close(fd)
  }

  /// Removes the socket from the file system.
  public func shutDown() {
    host.witnesses.end()
    host.state?.flush(host.beancounters)
    unlink(path)
    cleanUp()
  }
}

/// An errno, with the system's words for it.
public struct Errno: Error, CustomStringConvertible {
  public let code: Int32
  public static var last: Errno { Errno(code: clinux_errno()) }
  public var description: String { String(cString: strerror(code)) }
}
