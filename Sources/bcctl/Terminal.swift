private import CLinux
import Glibc

/// The terminal while `bcctl top` has it: the alternate screen, keys as they are pressed, signals
/// as a descriptor. What it was before, it is again after `restore`, however often that is called.
final class Terminal {
  enum Happening {
    case bytes([UInt8])
    case signal(Int32)
    case hangup
    case timeout
  }

  private var before = termios()
  private let signals: Int32
  private var isOurs = false
  private let color: Bool

  private static let watched = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH]

  /// Signals wait from here on, to be read: none can end the program with the terminal still
  /// changed.
  init(color: Bool) throws(Refused) {
    self.color = color
    let dumb = getenv("TERM").map { ["", "dumb"].contains(String(cString: $0)) } ?? true
    guard isatty(0) == 1, isatty(1) == 1, !dumb, tcgetattr(0, &before) == 0 else {
      throw Refused("top needs a terminal; list and events do not")
    }
    var mask = sigset_t()
    sigemptyset(&mask)
    for signal in Terminal.watched { sigaddset(&mask, signal) }
    sigprocmask(SIG_BLOCK, &mask, nil)
    signals = signalfd(-1, &mask, Int32(SFD_CLOEXEC) | Int32(SFD_NONBLOCK))
    guard signals >= 0 else { throw Refused("signalfd: \(String(cString: strerror(Glibc.errno)))") }
  }

  func take() throws {
    isOurs = true
    var raw = before
    // Signals of the keyboard stay: Ctrl-C and Ctrl-Z do what they do everywhere.
    raw.c_lflag &= ~tcflag_t(ICANON | ECHO)
    set(raw)
    try write(Array("\u{1b}[?1049h\u{1b}[?25l\u{1b}[2J".utf8), to: 1)
  }

  func restore() {
    guard isOurs else { return }
    isOurs = false
    try? write(Array("\u{1b}[0m\u{1b}[?25h\u{1b}[?1049l".utf8), to: 1)
    set(before)
  }

  private func set(_ mode: termios) {
    var mode = mode
    while tcsetattr(0, TCSADRAIN, &mode) != 0, Glibc.errno == EINTR {}
  }

  /// Stops as every program does on Ctrl-Z; when it goes on, so does this function.
  func stop() throws {
    restore()
    kill(getpid(), SIGSTOP)
    try take()
  }

  /// Ends the program by the signal, so that whoever waits sees it.
  func die(of signal: Int32) -> Never {
    restore()
    clinux_die_of(signal)
    exit(128 + signal)
  }

  var size: (columns: Int, rows: Int) {
    var size = winsize()
    guard ioctl(1, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else {
      return (80, 24)
    }
    return (Int(size.ws_col), Int(size.ws_row))
  }

  /// Waits for a key, a signal, or `milliseconds`.
  func wait(milliseconds: Int32) -> Happening {
    var ready = [
      pollfd(fd: signals, events: Int16(POLLIN), revents: 0),
      pollfd(fd: 0, events: Int16(POLLIN), revents: 0),
    ]
    guard poll(&ready, 2, max(0, milliseconds)) > 0 else { return .timeout }
    if ready[0].revents != 0 {
      var info = signalfd_siginfo()
      let size = MemoryLayout<signalfd_siginfo>.size
      return read(signals, &info, size) == size ? .signal(Int32(info.ssi_signo)) : .timeout
    }
    var bytes = [UInt8](repeating: 0, count: 256)
    let n = read(0, &bytes, bytes.count)
    return n > 0 ? .bytes(Array(bytes[..<n])) : .hangup
  }

  /// The whole screen in one write, so that it does not flicker.
  func show(_ lines: [TopModel.Line]) throws {
    let text = lines.map { style($0) + $0.text + "\u{1b}[0m\u{1b}[K" }.joined(separator: "\r\n")
    try write(Array(("\u{1b}[H" + text + "\u{1b}[J").utf8), to: 1)
  }

  private func style(_ line: TopModel.Line) -> String {
    var codes: [String] = []
    if line.isSelected || line.style == .heading { codes.append("7") }
    switch line.style {
    case .low where color: codes.append("32")
    case .high where color: codes.append("33")
    case .over where color: codes.append("31")
    default: break
    }
    return codes.isEmpty ? "" : "\u{1b}[\(codes.joined(separator: ";"))m"
  }
}
