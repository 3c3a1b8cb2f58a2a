import Beancounters
import CLinux
import Command

/// `--torture`: COMMAND again and again, each time with one more charge failing, until a run has no
/// such charge; one resource after the other. Every round is a run of its own, of this program;
/// `--torture-round` is one of them.
struct Torture {
  private static let mostRounds: Int64 = 100_000
  /// A round may take so many times as long as COMMAND takes by itself, and not less than some
  /// seconds.
  private static let patience = (times: 20.0, seconds: 10.0)

  private let options: Options
  private let words: [UnsafeMutablePointer<CChar>?]
  private let before: Int
  private let report: String

  init(_ options: Options) {
    self.options = options
    words = (0..<Int(CommandLine.argc)).map { CommandLine.unsafeArgv[$0] }
    before = ownWords + options.commandStart
    let temporary = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array("\(temporary)/bc-torture-XXXXXX".utf8CString)
    let fd = mkstemp(&template)
    guard fd >= 0 else {
      fail("--torture: \(temporary): \(String(cString: strerror(clinux_errno()))); set TMPDIR")
    }
    close(fd)
    report = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  func go() -> Never {
    let calm = Outcome(run(.calm, for: nil))
    var findings = Findings(calm: calm, isOne: options.torture.count == 1)
    for resource in options.torture
    where resource == .privvmpages || calm.maxheld[resource] ?? 0 > 0 {
      torture(resource, calm, &findings)
    }
    unlink(report)
    if !options.quiet { put(findings.summary(options.torture, shallow: options.tortureShallow)) }
    exit(findings.lines.isEmpty ? 0 : 124)
  }

  private func torture(_ resource: Resource, _ calm: Outcome, _ findings: inout Findings) {
    let most = max(Torture.patience.seconds, Torture.patience.times * calm.seconds)
    // Which charges: all of them, or those that a run without a failure finds to be the first of
    // their place.
    if options.tortureShallow {
      for n in Outcome(run(.survey(resource), for: nil)).survey {
        findings.add(resource, n, Outcome(run(.charge(resource, n), for: most)))
      }
      return
    }
    for n in 1...Torture.mostRounds {
      let round = Outcome(run(.charge(resource, n), for: most))
      guard round.isInjected || round.isHung else { return }
      findings.add(resource, n, round)
    }
  }

  /// `bcd run [options] --torture-round ROUND --report=FILE --report-format kv -- COMMAND`: what it
  /// reports. After `seconds`, COMMAND is killed.
  private func run(_ round: TortureRound, for seconds: Double?) -> [String: String] {
    let end =
      words[..<before].last.flatMap { $0 }.map { String(cString: $0) } == "--" ? before - 1 : before
    let options = [
      "--torture-round", round.text, "--report=\(report)", "--report-format", "kv", "--",
    ]
    let more: [UnsafeMutablePointer<CChar>?] = options.map { strdup($0) }
    defer { more.forEach { free($0) } }
    let argv = words[..<end] + more + words[before...] + [nil]
    var environment: [UnsafeMutablePointer<CChar>?] = []
    while let entry = clinux_environment(environment.count) {
      environment.append(UnsafeMutablePointer(mutating: entry))
    }
    var child: pid_t = 0
    let error = posix_spawn(&child, "/proc/self/exe", nil, nil, Array(argv), environment + [nil])
    guard error == 0 else { fail("--torture: \(String(cString: strerror(error)))") }
    let isHung = seconds.map { !ends(child, within: $0) } ?? false
    if isHung { killCommand(of: child) }
    var status: Int32 = 0
    while waitpid(child, &status, 0) < 0, clinux_errno() == EINTR {}
    var values = read(report)
    guard !values.isEmpty else {
      unlink(report)
      exit(clinux_status_code(status) > 0 ? clinux_status_code(status) : 125)  // it said why
    }
    if isHung { values["hung"] = seconds.map { String(Int($0)) } }
    return values
  }

  private func ends(_ child: pid_t, within seconds: Double) -> Bool {
    let pidfd = pidfd_open(child, 0)
    guard pidfd >= 0 else { return true }
    defer { close(pidfd) }
    var one = pollfd(fd: pidfd, events: Int16(POLLIN), revents: 0)
    return poll(&one, 1, Int32(min(seconds * 1000, 1e9))) != 0
  }

  /// Its server lives on, to report. The other child that it has reads stacks.
  private func killCommand(of child: pid_t) {
    let fd = clinux_open("/proc/\(child)/task/\(child)/children", O_RDONLY)
    guard fd >= 0 else { return }
    defer { close(fd) }
    for word in text(of: fd).split(separator: " ") {
      guard let pid = Int32(word) else { continue }
      let comm = clinux_open("/proc/\(pid)/comm", O_RDONLY)
      if comm < 0 || text(of: comm) != "bc-witness\n" { kill(pid, SIGKILL) }
      if comm >= 0 { close(comm) }
    }
  }

  private func text(of fd: Int32) -> String {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let n = CLinux.read(fd, &buffer, buffer.count)
      guard n > 0 else { break }
      bytes += buffer[..<n]
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private func read(_ path: String) -> [String: String] {
    let fd = clinux_open(path, O_RDONLY)
    guard fd >= 0 else { return [:] }
    defer {
      close(fd)
      truncate(path, 0)
    }
    var values: [String: String] = [:]
    for line in text(of: fd).split(separator: "\n") {
      guard let equals = line.firstIndex(of: "=") else { continue }
      values[String(line[..<equals])] = String(line[line.index(after: equals)...])
    }
    return values
  }

  private func put(_ text: String) { _ = text.withCString { write(2, $0, strlen($0)) } }
}
