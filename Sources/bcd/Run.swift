import Beancounters
import CLinux
import Command
import Recount
import Server

/// One COMMAND in a beancounter, from its start to its report. Where the beancounter is, `Place` knows: in a server in this
/// very process, or in one that runs already.
final class Run {
  private let options: Options
  private let place: any Place
  private var command: Int32 = 0
  private var status: Int32?
  private let reportFd: Int32
  private let started: timespec

  private static let forwarded = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT, SIGTSTP]

  init(_ options: Options) {
    self.options = options
    let outside = Descriptors.open(of: getpid()).filter { clinux_is_open($0) }
    reportFd = Run.openReport(options)
    var settings = Settings(
      bounds: options.bounds, allowOnServerLoss: options.allowOnServerLoss, openvzErrno: options.openvzErrno,
      meminfo: options.meminfo)
    settings.failures = options.failures
    let name = options.name ?? "bc-\(getpid())"
    if let server = options.server ?? getenv("BC_SERVER").map({ String(cString: $0) }) {
      place = SharedServer(path: server, name: name, parent: options.parent, settings: settings)
    } else {
      if let parent = options.parent { fail("--parent \(parent): only with a running server; give --server SOCKET or BC_SERVER") }
      place = PrivateServer(name: name, settings: settings, outside: outside)
    }
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    started = now
  }

  private static func openReport(_ options: Options) -> Int32 {
    guard let path = options.reportFile else { return -1 }
    let fd = clinux_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC)
    guard fd >= 0 else { fail("--report=\(path): \(String(cString: strerror(clinux_errno()))); give a file that can be written") }
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
    if let workdir = options.workdir, access(workdir, X_OK) != 0 {
      fail("-w \(workdir): \(String(cString: strerror(clinux_errno()))); give a directory that exists")
    }
    let text = "bcrun: \(options.command[0]): \(String(cString: strerror(error)))\n"
    _ = text.withCString { write(2, $0, strlen($0)) }
    exit(error == ENOENT ? 127 : 126)
  }

  // MARK: While it runs

  private func read(signals: Int32) {
    var info = signalfd_siginfo()
    while CLinux.read(signals, &info, MemoryLayout<signalfd_siginfo>.size) == MemoryLayout<signalfd_siginfo>.size {
      let signal = Int32(info.ssi_signo)
      if signal == SIGCHLD {
        wait()
      } else if info.ssi_code != 0x80 || signal == SIGCONT {  // SI_KERNEL: the terminal told the whole group already
        kill(command, signal)
      }
    }
  }

  private func wait() {
    var state: Int32 = 0
    while waitpid(command, &state, WNOHANG | WUNTRACED) == command {
      if clinux_status_stopped(state) != 0 {
        kill(getpid(), SIGSTOP)  // the shell sees its job stopped, as it is; SIGCONT brings both back
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
      options, exit: signal == 0 ? .init(code: code) : .init(signal: signal), seconds: seconds)
    put(report: text)
    place.leave()
    if signal != 0 {
      clinux_die_of(signal)
      exit(128 + signal)
    }
    exit(code == 0 && options.failOn.contains(where: happened.contains) ? 124 : code)
  }

  private func put(report text: String) {
    let fd = reportFd >= 0 ? reportFd : options.quiet ? -1 : 2
    guard fd >= 0 else { return }
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let n = bytes.withUnsafeBytes { CLinux.write(fd, $0.baseAddress!, $0.count) }
      guard n > 0 else { return }
      bytes = bytes.dropFirst(n)
    }
  }
}
