import Beancounters
import CLinux
import Command

/// `--torture RES`: COMMAND again and again, each time with one more charge of RES failing, until a run has no such charge.
/// Every round is a run of its own, of this program; `--torture-round N` is one of them.
struct Torture {
  /// What became of a round, from its report.
  struct Round {
    var number: Int64
    var code: Int32?
    var signal: Int32?
    var injected: Bool
    /// Descriptors that processes left open when they ended, as far as they are known.
    var leftOpen: Int64
    /// Who was refused.
    var place: String
  }

  private static let mostRounds: Int64 = 100_000
  private static let mostShown = 16

  private let resource: Resource
  private let words: [UnsafeMutablePointer<CChar>?]
  private let before: Int
  private let quiet: Bool
  private let report: String

  init(_ resource: Resource, _ options: Options) {
    self.resource = resource
    quiet = options.quiet
    words = (0..<Int(CommandLine.argc)).map { CommandLine.unsafeArgv[$0] }
    before = 2 + options.commandStart
    let temporary = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array("\(temporary)/bc-torture-XXXXXX".utf8CString)
    let fd = mkstemp(&template)
    guard fd >= 0 else { fail("--torture: \(temporary): \(String(cString: strerror(clinux_errno()))); set TMPDIR") }
    close(fd)
    report = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  func go() -> Never {
    var rounds: [Round] = []
    var last: Round
    repeat {
      last = round(Int64(rounds.count) + 1)
      if last.injected { rounds.append(last) }
    } while last.injected && last.number < Torture.mostRounds
    unlink(report)
    let findings = findings(rounds, calm: last)
    if !quiet { put(summary(rounds, findings, calm: last)) }
    exit(findings.isEmpty ? 0 : 124)
  }

  /// `bcd run [options] --torture-round N --report=FILE --report-format kv -- COMMAND`
  private func round(_ number: Int64) -> Round {
    let end = words[..<before].last.flatMap { $0 }.map { String(cString: $0) } == "--" ? before - 1 : before
    let more = ["--torture-round", String(number), "--report=\(report)", "--report-format", "kv", "--"]
    let argv = words[..<end] + more.map { strdup($0) } + words[before...] + [nil]
    var environment: [UnsafeMutablePointer<CChar>?] = []
    while let entry = clinux_environment(environment.count) { environment.append(UnsafeMutablePointer(mutating: entry)) }
    var child: pid_t = 0
    let error = posix_spawn(&child, "/proc/self/exe", nil, nil, Array(argv), environment + [nil])
    guard error == 0 else { fail("--torture: \(String(cString: strerror(error)))") }
    var status: Int32 = 0
    while waitpid(child, &status, 0) < 0, clinux_errno() == EINTR {}
    let values = read(report)
    guard !values.isEmpty else {
      unlink(report)
      exit(clinux_status_code(status) > 0 ? clinux_status_code(status) : 125)  // it said why
    }
    return Round(
      number: number, code: values["exit.code"].flatMap { Int32($0) }, signal: values["exit.signal"].flatMap { Int32($0) },
      injected: values.contains { $0.key.hasSuffix(".injected") && $0.value == "1" },
      leftOpen: values["left_open"].flatMap { Int64($0) } ?? 0, place: place(values))
  }

  private func place(_ values: [String: String]) -> String {
    let i = (0..<64).first { values["denial.\($0).injected"] == "1" } ?? 0
    let frames = (0..<3).compactMap { k -> String? in
      guard let function = values["denial.\(i).frame.\(k).function"], !function.isEmpty, !function.hasPrefix("__libc_start"), function != "_start"
      else { return nil }
      let file = values["denial.\(i).frame.\(k).file"]?.split(separator: "/").last.map { " \($0)" } ?? ""
      let line = values["denial.\(i).frame.\(k).line"] ?? ""
      return function + file + (file.isEmpty || line.isEmpty ? "" : ":\(line)")
    }
    let call = values["denial.\(i).call"] ?? "?"
    return call + (frames.isEmpty ? "" : "  " + frames.joined(separator: " < "))
  }

  private func read(_ path: String) -> [String: String] {
    let fd = clinux_open(path, O_RDONLY)
    guard fd >= 0 else { return [:] }
    defer {
      close(fd)
      truncate(path, 0)
    }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let n = CLinux.read(fd, &buffer, buffer.count)
      guard n > 0 else { break }
      bytes += buffer[..<n]
    }
    var values: [String: String] = [:]
    for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
      guard let equals = line.firstIndex(of: "=") else { continue }
      values[String(line[..<equals])] = String(line[line.index(after: equals)...])
    }
    return values
  }

  /// Deaths by a signal that does not come without a failure, and descriptors that are left open only after one.
  private func findings(_ rounds: [Round], calm: Round) -> [String] {
    rounds.flatMap { round in
      var found: [String] = []
      if let signal = round.signal, signal != calm.signal {
        found.append("round \(round.number): killed by signal \(signal) (\(String(cString: strsignal(signal)))) after \(round.place)")
      }
      if round.signal == nil, round.leftOpen > calm.leftOpen {
        found.append("round \(round.number): \(round.leftOpen) open at the end, not \(calm.leftOpen), after \(round.place)")
      }
      return found
    }
  }

  private func summary(_ rounds: [Round], _ findings: [String], calm: Round) -> String {
    func plural(_ n: Int, _ word: String) -> String { n == 1 ? "1 \(word)" : "\(n) \(word)s" }
    var lines = [
      "bcrun: \(plural(rounds.count, "charge")) of \(resource.name) failed in turn; \(findings.isEmpty ? "no findings" : plural(findings.count, "finding"))"
    ]
    var codes: [Int32: [Int64]] = [:]
    for round in rounds { if let code = round.code, code != calm.code { codes[code, default: []].append(round.number) } }
    for (code, numbers) in codes.sorted(by: { $0.key < $1.key }) {
      let shown = numbers.prefix(Torture.mostShown).map(String.init).joined(separator: ", ")
      lines.append("  exited \(code), not \(calm.code.map(String.init) ?? "as it did"): round \(shown)\(numbers.count > Torture.mostShown ? ", …" : "")")
    }
    lines += findings.prefix(Torture.mostShown).map { "  " + $0 }
    if findings.count > Torture.mostShown { lines.append("  … \(findings.count - Torture.mostShown) more") }
    if !findings.isEmpty { lines.append("  one of them again: --torture \(resource.name) --torture-round N") }
    return lines.joined(separator: "\n") + "\n"
  }

  private func put(_ text: String) { _ = text.withCString { write(2, $0, strlen($0)) } }
}
