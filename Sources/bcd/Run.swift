import Beancounters
import CLinux
import Command
import Recount
import Server

/// One COMMAND in a beancounter of its own, with the server in this very process: it spawns, serves, waits, reports.
final class Run {
  private let options: Options
  private let server: Server
  private var command: Int32 = 0
  private var status: Int32?
  private let reportFd: Int32
  private let started: timespec

  private static let forwarded = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT, SIGTSTP]

  init(_ options: Options) {
    self.options = options
    let outside = Descriptors.open(getpid())
    reportFd = Run.openReport(options)
    let settings = Settings(
      bounds: options.bounds, allowOnServerLoss: options.allowOnServerLoss, openvzErrno: options.openvzErrno)
    do {
      server = try Server(settings: settings, outsideFds: outside)
    } catch {
      fail("the accounting server cannot start: \(error)")
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
    server.watch(signals) { [unowned self] in read(signals: signals) }
    spawn(original)
    while status == nil { server.step() }
    settle()
    report()
    leave()
  }

  // MARK: Start

  private func spawn(_ mask: sigset_t) {
    var mask = mask
    let path = Executable.resolve(options.command[0])
    let uncoverable = path.flatMap(Executable.reasonUncovered) != nil
    var before: UInt64 = .max
    // The child inherits its first lease: there is no moment without one.
    let lease = server.accounting.firstLease(uncoverable: uncoverable)
    if let lease, clinux_prlimit(0, lease, &before) != 0 { fail("RLIMIT_DATA cannot be set: no bound on memory here") }
    let words = environment().map { strdup($0) } + [nil]
    let error = clinux_spawn(
      &command, CommandLine.unsafeArgv + 1 + options.commandStart, words, &mask, options.workdir)
    if lease != nil { _ = clinux_prlimit(0, before, nil) }
    if error != 0 { cannotStart(error) }
    if let lease { server.accounting.prepare(lease: Int64(lease / 4096)) }
    server.accounting.adopt(command, parent: getpid(), execPath: options.command[0])
  }

  private func cannotStart(_ error: Int32) -> Never {
    server.shutDown()
    if let workdir = options.workdir, access(workdir, X_OK) != 0 {
      fail("-w \(workdir): \(String(cString: strerror(clinux_errno()))); give a directory that exists")
    }
    let text = "bcrun: \(options.command[0]): \(String(cString: strerror(error)))\n"
    _ = text.withCString { write(2, $0, strlen($0)) }
    exit(error == ENOENT ? 127 : 126)
  }

  private func environment() -> [String] {
    var words: [(name: Substring, entry: String)] = []
    func set(_ entry: String) {
      let name = entry.prefix { $0 != "=" }
      words.removeAll { $0.name == name }
      words.append((name, entry))
    }
    var i = 0
    while let entry = clinux_environment(i) {
      let text = String(cString: entry)
      words.append((text.prefix { $0 != "=" }, text))
      i += 1
    }
    for entry in options.environment { set(entry) }
    let shim = Run.shim()
    let preload = words.first { $0.name == "LD_PRELOAD" }?.entry.dropFirst(11) ?? ""
    set("LD_PRELOAD=" + shim + (preload.isEmpty ? "" : ":" + preload))
    set("BC_SERVER=" + server.path)
    set("BC_TOKEN=" + server.token)
    set("BC_SHIM=" + shim)
    if options.allowOnServerLoss { set("BC_ON_SERVER_LOSS=allow") }
    return words.map(\.entry)
  }

  /// Beside this program, where the build put it or an installation did.
  private static func shim() -> String {
    let own = Procfs.executable(getpid()) ?? ""
    let folder = own.split(separator: "/").dropLast().map { "/" + $0 }.joined()
    for place in ["beancounter_Wire.resources/libbeancounter.so", "libbeancounter.so", "../lib/libbeancounter.so"] {
      let path = folder + "/" + place
      if access(path, R_OK) == 0 { return path }
    }
    fail("libbeancounter.so is not beside \(own): run `swift build -c release` again")
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

  /// What COMMAND killed or left behind may be ending right now: give the dying a moment to be gone, and those that look
  /// alive 50 ms before they count as outliving it.
  private func settle() {
    var quiet = 0
    for _ in 0..<100 {
      server.step(timeout: 0)
      server.accounting.tick()
      if server.accounting.memberCount == 0 { return }
      quiet = server.accounting.anyoneEnding() ? 0 : quiet + 1
      if quiet > 25 { return }
      server.step(timeout: 2)
    }
    server.accounting.leaveZombiesToInit()
  }

  // MARK: The end

  private func report() {
    let made = endReport()
    var text = ""
    switch options.format {
    case .text: text = made.text(verbose: options.verbose)
    case .json: text = made.json()
    case .kv: text = made.kv()
    }
    let fd = reportFd >= 0 ? reportFd : options.quiet ? -1 : 2
    guard fd >= 0 else { return }
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let n = bytes.withUnsafeBytes { write(fd, $0.baseAddress!, $0.count) }
      guard n > 0 else { return }
      bytes = bytes.dropFirst(n)
    }
  }

  private func endReport() -> Report {
    let books = server.accounting
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    let seconds = Double(now.tv_sec - started.tv_sec) + Double(now.tv_nsec - started.tv_nsec) / 1e9
    let held = books.heldNow()
    let rows = Resource.enforced.map { r in
      Report.Row(
        resource: r, held: held[r] ?? 0, maxheld: max(books.ledger[r].maxheld, held[r] ?? 0),
        bounds: books.ledger[r].bounds, failcnt: books.ledger[r].failcnt,
        // Members that cannot ask are looked at from time to time only.
        status: books.uncovered.isEmpty ? "exact" : "estimate")
    }
    let signal = clinux_status_signal(status!)
    var work = Report.Work()
    work.requests = books.work.requests
    work.recalls = books.work.recalls
    work.recounts = books.work.recounts
    return Report(
      id: 1, name: options.name ?? "bc-\(getpid())", command: options.command,
      exit: signal == 0 ? .init(code: clinux_status_code(status!)) : .init(signal: signal), seconds: seconds, rows: rows,
      denials: books.denials.map {
        .init(
          resource: $0.resource, count: $0.count, errno: errnoName($0.error), pid: $0.pid, comm: $0.comm, call: $0.call,
          detail: $0.detail, amount: $0.amount)
      },
      uncovered: books.uncovered.map { .init(pid: $0.pid, executable: $0.executable, reason: $0.reason) },
      remaining: books.liveMembers, server: work)
  }

  private func leave() -> Never {
    let books = server.accounting
    let signal = clinux_status_signal(status!)
    if books.liveMembers > 0 { serveOn() }
    server.shutDown()
    if signal != 0 {
      clinux_die_of(signal)
      exit(128 + signal)
    }
    let code = clinux_status_code(status!)
    let failed = options.failOn.contains {
      switch $0 {
      case .denial: !books.denials.isEmpty
      case .barrier: Resource.enforced.contains { r in books.ledger[r].failcnt > 0 || books.ledger[r].maxheld > books.ledger[r].bounds.barrier }
      case .uncovered: !books.uncovered.isEmpty
      }
    }
    exit(code == 0 && failed ? 124 : code)
  }

  /// Processes outlive COMMAND: a copy of this one goes on serving them, away from the terminal, until the last is gone.
  private func serveOn() {
    guard clinux_fork() == 0 else {
      let code = clinux_status_code(status!)
      let signal = clinux_status_signal(status!)
      if signal != 0 { clinux_die_of(signal) }
      exit(code)
    }
    setsid()
    let null = clinux_open("/dev/null", O_RDWR)
    for fd: Int32 in 0...2 { dup2(null, fd) }
    while server.accounting.memberCount > 0 { server.step() }
    server.shutDown()
    exit(0)
  }
}

private func errnoName(_ code: Int32) -> String {
  switch code {
  case ENFILE: "ENFILE"
  case EMFILE: "EMFILE"
  case ENOMEM: "ENOMEM"
  case EAGAIN: "EAGAIN"
  case ENOBUFS: "ENOBUFS"
  case ENOSPC: "ENOSPC"
  case ENOLCK: "ENOLCK"
  default: "E\(code)"
  }
}
