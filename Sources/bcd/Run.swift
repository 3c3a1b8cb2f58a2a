import Beancounters
import CLinux
import Command
import Recount
import Server

/// One COMMAND in a beancounter, from its start to its report. Where the beancounter is, `Place`
/// knows: in a server in this very process, or in one that runs already.
final class Run {
  private let options: Options
  private let place: any Place
  private var command: Int32 = 0
  private var status: Int32?
  private var peak = 0  // KiB
  private let reportFd: Int32
  private let started: timespec

  private static let forwarded = [
    SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT, SIGTSTP,
  ]

  init(_ options: Options) {
    self.options = options
    let outside = Descriptors.open(of: getpid()).filter { clinux_is_open($0) }
    reportFd = Run.openReport(options)
    var settings = Settings(
      bounds: options.bounds, allowOnServerLoss: options.allowOnServerLoss,
      openvzErrno: options.openvzErrno, reclaims: options.reclaims,
      meminfo: options.meminfo)
    settings.failures = options.failures
    let name = options.name ?? "bc-\(getpid())"
    if let server = options.server ?? Run.serverAround {
      place = SharedServer(path: server, name: name, parent: options.parent, settings: settings)
    } else {
      if let parent = options.parent {
        fail("--parent \(parent): only with a running server; give --server SOCKET or BC_SERVER")
      }
      place = PrivateServer(name: name, settings: settings, outside: outside)
    }
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    started = now
  }

  /// That of the run around this one, or whichever the user prefers.
  private static var serverAround: String? {
    guard let path = getenv("BC_SERVER"), path.pointee != 0 else { return nil }
    return String(cString: path)
  }

  private static func openReport(_ options: Options) -> Int32 {
    guard let path = options.reportFile else { return -1 }
    let fd = path.withCString { clinux_open_report($0) }
    guard fd >= 0 else {
      fail(
        "--report=\(path.text): \(String(cString: strerror(clinux_errno()))); give a file that can be written"
      )
    }
    return fd
  }

  func go() -> Never {
    var mask = sigset_t()
    var original = sigset_t()
    sigemptyset(&mask)
    for signal in Run.forwarded + [SIGCHLD] { sigaddset(&mask, signal) }
    sigprocmask(SIG_BLOCK, &mask, &original)
    let signals = signalfd(-1, &mask, Int32(SFD_CLOEXEC) | Int32(SFD_NONBLOCK))
    let (error, child) = place.spawn(
      Launch(options, environment: Environment.made(place, options), mask: original))
    command = child
    if error != 0 { cannotStart(error) }
    while status == nil { place.wait(for: signals) { read(signals: signals) } }
    place.settle()
    leave()
  }

  private func cannotStart(_ error: Int32) -> Never {
    place.abandon()
    if Int(error) == CLINUX_NO_LEASE { fail("RLIMIT_DATA cannot be set: no bound on memory here") }
    if Int(error) == CLINUX_NO_DIRECTORY {
      fail("-w \(options.workdir?.text ?? ""): \(noDirectory()); give a directory that exists")
    }
    let why =
      Int(error) == CLINUX_NO_INTERPRETER
      ? "the program that its first line or its header names is not there"
      : String(cString: strerror(error))
    say("\(options.command[0]): \(why)")
    exit(error == ENOENT ? 127 : 126)
  }

  private func noDirectory() -> String {
    let fd =
      options.workdir.map { $0.withCString { clinux_open($0, O_RDONLY | O_DIRECTORY | O_CLOEXEC) } }
      ?? -1
    return fd < 0 ? String(cString: strerror(clinux_errno())) : "it cannot be entered"
  }

  private func say(_ message: String) {
    _ = "bcrun: \(message)\n".withCString { write(2, $0, strlen($0)) }
  }

  // MARK: While it runs

  private func read(signals: Int32) {
    var info = signalfd_siginfo()
    while CLinux.read(signals, &info, MemoryLayout<signalfd_siginfo>.size)
      == MemoryLayout<signalfd_siginfo>.size
    {
      let signal = Int32(info.ssi_signo)
      if signal == SIGCHLD {
        wait()
      } else if info.ssi_code != 0x80 || signal == SIGCONT {
        // Of SI_KERNEL the terminal has told the whole group already.
        kill(command, signal)
      }
    }
  }

  private func wait() {
    var state: Int32 = 0
    while clinux_wait(command, &state, WNOHANG | WUNTRACED, &peak) == command {
      if clinux_status_stopped(state) != 0 {
        // The shell sees its job stopped, as it is; SIGCONT brings both back
        kill(getpid(), SIGSTOP)
        kill(command, SIGCONT)
      } else {
        status = state
        return
      }
    }
  }

  // MARK: The end

  private func leave() -> Never {
    let signal = clinux_status_signal(status!)
    let code = clinux_status_code(status!)
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    let seconds = Double(now.tv_sec - started.tv_sec) + Double(now.tv_nsec - started.tv_nsec) / 1e9
    let (happened, text) = place.report(
      options, exit: signal == 0 ? .init(code: code) : .init(signal: signal), seconds: seconds,
      peak: peak)
    let error = put(report: text)
    place.leave()
    if signal != 0 {
      clinux_die_of(signal)
      exit(128 + signal)
    }
    if code == 0, options.failOn.contains(where: happened.contains) { exit(124) }
    exit(code == 0 && error != 0 && options.reportFile != nil ? 125 : code)
  }

  /// 0, or why not all of it could be written: said where it was asked for in a file.
  private func put(report text: String) -> Int32 {
    guard options.isReported else { return 0 }
    let fd = reportFd >= 0 ? reportFd : 2
    let error = text.withCString { clinux_write_all(fd, $0, strlen($0)) }
    if error != 0, let path = options.reportFile {
      say("--report=\(path.text): \(String(cString: strerror(error)))")
    }
    return error
  }
}
