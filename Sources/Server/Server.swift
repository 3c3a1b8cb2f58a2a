internal import Beancounters
internal import CLinux
internal import Recount
internal import Wire

/// The event loop: one thread, one epoll, no lock. Deaths are handled before questions, so that what a dead process held
/// is back before anybody asks for it.
public final class Server {
  public let accounting: Accounting
  public let path: String
  public let token: String
  private let tokenWords: (UInt64, UInt64)
  private let epoll: Int32
  private let listeners: [Int32]
  private let timer: Int32
  private let directory: String
  private var pids: [Int32: Int32] = [:]  // pidfd → pid
  private var waiting: Set<Int32> = []  // connections whose question has not come yet
  private var extra: [Int32: () -> Void] = [:]
  private var events: [epoll_event]

  private static let tickMilliseconds = 20

  /// Throws the errno of what failed.
  public init(settings: Settings, outsideFds: [Int32]) throws(Errno) {
    let accounting = Accounting(settings: settings, outsideFds: outsideFds)
    var random = [UInt8](repeating: 0, count: 24)
    guard getrandom(&random, random.count, 0) == random.count else { throw Errno.last }
    func word(_ from: Int) -> UInt64 { random[from..<(from + 8)].reduce(0) { $0 << 8 | UInt64($1) } }
    let words = (word(0), word(8))
    let temporary = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array("\(temporary.count < 60 ? temporary : "/tmp")/bc-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw Errno.last }
    let directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    chmod(directory, 0o711)  // members may change their uid: they are admitted by token, not by file mode
    let path = directory + "/s"
    let epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
    let listeners = [try Server.listen(path, abstract: false), try Server.listen(path, abstract: true)]
    chmod(path, 0o666)
    let timer = timerfd_create(CLOCK_MONOTONIC, Int32(TFD_CLOEXEC) | Int32(TFD_NONBLOCK))
    var period = itimerspec()
    period.it_interval.tv_nsec = Server.tickMilliseconds * 1_000_000
    period.it_value = period.it_interval
    timerfd_settime(timer, 0, &period, nil)

    self.accounting = accounting
    self.path = path
    self.directory = directory
    self.epoll = epoll
    self.listeners = listeners
    self.timer = timer
    tokenWords = words
    token = Server.hex(words.0) + Server.hex(words.1)
    events = Array(repeating: epoll_event(), count: 64)
    for fd in listeners + [timer] { add(fd, UInt32(EPOLLIN.rawValue)) }
    accounting.unwatch = { [unowned self] in pids[$0] = nil }
    accounting.watch = { [unowned self] pidfd, pid in
      pids[pidfd] = pid
      add(pidfd, UInt32(EPOLLIN.rawValue))
    }
  }

  private static func hex(_ word: UInt64) -> String {
    let digits = String(word, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
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

  /// Another descriptor to wait for in the same loop.
  public func watch(_ fd: Int32, _ react: @escaping () -> Void) {
    extra[fd] = react
    add(fd, UInt32(EPOLLIN.rawValue))
  }

  /// One round of the loop. `timeout` in milliseconds, −1 for ever.
  public func step(timeout: Int32 = -1) {
    let n = epoll_wait(epoll, &events, Int32(events.count), timeout)
    guard n > 0 else { return }
    for event in events[..<Int(n)] {
      if let pid = pids[event.data.fd] { death(event.data.fd, pid, event.events) }
    }
    for event in events[..<Int(n)] where pids[event.data.fd] == nil {
      let fd = event.data.fd
      if listeners.contains(fd) {
        acceptAll(fd)
      } else if fd == timer {
        var times: UInt64 = 0
        _ = read(timer, &times, 8)
        accounting.tick()
      } else if let react = extra[fd] {
        react()
      } else if waiting.contains(fd) {
        question(fd)
      }
    }
  }

  private func death(_ pidfd: Int32, _ pid: Int32, _ mask: UInt32) {
    accounting.ended(pid)
    if mask & UInt32(EPOLLHUP.rawValue) != 0 { accounting.reaped(pid) }
    if pids[pidfd] != nil {
      var event = epoll_event(events: 0, data: epoll_data_t(fd: pidfd))  // from now on only EPOLLHUP: reaped (6.9)
      epoll_ctl(epoll, EPOLL_CTL_MOD, pidfd, &event)
    }
  }

  private func acceptAll(_ listener: Int32) {
    while true {
      let fd = clinux_accept(listener)
      guard fd >= 0 else { return }
      waiting.insert(fd)
      if !question(fd) { add(fd, UInt32(EPOLLIN.rawValue)) }
    }
  }

  /// Reads and answers one question; false when it has not come yet.
  @discardableResult private func question(_ fd: Int32) -> Bool {
    var request = bc_request()
    let n = recv(fd, &request, MemoryLayout<bc_request>.size, Int32(MSG_TRUNC))
    if n < 0, clinux_errno() == EAGAIN || clinux_errno() == EINTR { return false }
    defer {
      waiting.remove(fd)
      close(fd)
    }
    var peer = ucred()
    var size = socklen_t(MemoryLayout<ucred>.size)
    guard n == MemoryLayout<bc_request>.size, request.magic == BC_WIRE_MAGIC,
      request.token.0 == tokenWords.0, request.token.1 == tokenWords.1,
      getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0, peer.pid > 0
    else { return true }
    bc_request_clean(&request)
    accounting.work.requests += 1
    let (answer, descriptor) = accounting.answer(request, from: peer.pid)
    if Int32(request.flags) & Int32(BC_FLAG_ONE_WAY) == 0 {
      withUnsafePointer(to: answer) { _ = clinux_send(fd, $0, MemoryLayout<bc_answer>.size, descriptor) }
    }
    if descriptor >= 0 { close(descriptor) }
    return true
  }

  /// Removes the socket from the file system.
  public func shutDown() {
    unlink(path)
    rmdir(directory)
  }
}

/// An errno, with the system's words for it.
public struct Errno: Error, CustomStringConvertible {
  public let code: Int32
  public static var last: Errno { Errno(code: clinux_errno()) }
  public var description: String { String(cString: strerror(code)) }
}
