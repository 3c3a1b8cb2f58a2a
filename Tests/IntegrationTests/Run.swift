import Foundation
import Glibc
import Testing

/// Every test that launches real programs, one after another: they share ports, cores and memory.
@Suite(.serialized) struct RealPrograms {}

let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent().path
let isRoot = geteuid() == 0

/// A program of Tests/Programs.
func program(_ name: String) -> String { "\(repository)/Tests/Programs/\(name)" }

struct Failed: Error, CustomStringConvertible { var description: String }

/// The path of a command: the system's own before what PATH names (pyenv and its like put scripts
/// in front).
func tool(_ name: String) throws -> String {
  var places = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]
  let versions = (try? FileManager.default.contentsOfDirectory(atPath: "/usr/lib/postgresql")) ?? []
  places =
    versions.sorted { $0.compare($1, options: .numeric) == .orderedDescending }
    .map { "/usr/lib/postgresql/\($0)/bin" } + places
  places += (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(
    String.init)
  for place in places where access("\(place)/\(name)", X_OK) == 0 { return "\(place)/\(name)" }
  throw Failed(description: "no \(name) here: run Sources/setup test")
}

/// A directory that others may read, gone with its owner.
final class Scratch {
  let path: String

  init() throws {
    var template = Array("/tmp/beancounter-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw Failed(description: "mkdtemp: \(errno)") }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    chmod(path, 0o755)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func write(_ name: String, _ text: String) throws -> String {
    try text.write(toFile: "\(path)/\(name)", atomically: false, encoding: .utf8)
    return "\(path)/\(name)"
  }

  func read(_ name: String) -> String { text(at: "\(path)/\(name)") }
}

func text(at path: String) -> String {
  String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
}

/// How a process ended and what it said.
struct Ended {
  var data: Data
  var errors: String
  var code: Int32?
  var signal: Int32?

  var output: String { String(decoding: data, as: UTF8.self) }
  var lines: [Substring] { output.split(separator: "\n") }
  /// What follows `key ` on the line that starts with it.
  subscript(_ key: String) -> String? {
    lines.first { $0.hasPrefix(key + " ") }.map { String($0.dropFirst(key.count + 1)) }
  }
  func number(_ key: String) -> Int { self[key].flatMap { Int($0) } ?? -1 }
}

// glibc 2.34 and 2.29 have them, the Glibc module hides them (__USE_MISC is off).
@_silgen_name("posix_spawn_file_actions_addclosefrom_np")
private func addCloseFrom(_: UnsafeMutablePointer<posix_spawn_file_actions_t>, _: CInt) -> CInt
@_silgen_name("posix_spawn_file_actions_addchdir_np")
private func addChdir(_: UnsafeMutablePointer<posix_spawn_file_actions_t>, _: UnsafePointer<CChar>)
  -> CInt

/// A process of its own group, output in files, so that nothing that outlives it can hold the test
/// up.
final class Child {
  let pid: pid_t
  private let scratch: Scratch
  private var reaped = false

  init(_ arguments: [String], env: [String: String] = [:], input: Data = Data(), cwd: String? = nil)
    throws
  {
    scratch = try Scratch()
    try input.write(to: URL(filePath: "\(scratch.path)/in"))
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "\(scratch.path)/in", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(
      &actions, 1, "\(scratch.path)/out", O_WRONLY | O_CREAT | O_APPEND, 0o666)
    posix_spawn_file_actions_addopen(
      &actions, 2, "\(scratch.path)/err", O_WRONLY | O_CREAT | O_APPEND, 0o666)
    _ = addCloseFrom(&actions, 3)
    if let cwd { _ = addChdir(&actions, cwd) }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    var all = sigset_t()
    sigemptyset(&none)
    sigfillset(&all)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setsigdefault(&attributes, &all)
    posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
    var environment = ProcessInfo.processInfo.environment.filter {
      !$0.key.hasPrefix("BC_") && $0.key != "LD_PRELOAD"
    }
    environment["LC_ALL"] = "C"
    environment.merge(env) { $1 }
    let argv = arguments.map { strdup($0) } + [nil]
    let envp = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for string in argv + envp { free(string) } }
    var pid: pid_t = 0
    let error = posix_spawnp(&pid, arguments[0], &actions, &attributes, argv, envp)
    guard error == 0 else {
      throw Failed(description: "\(arguments[0]): \(String(cString: strerror(error)))")
    }
    self.pid = pid
  }

  deinit {
    guard !reaped else { return }
    Glibc.kill(-pid, SIGKILL)
    var status: Int32 = 0
    waitpid(pid, &status, 0)
  }

  var output: String { scratch.read("out") }
  var errors: String { scratch.read("err") }

  func kill(_ signal: Int32) { Glibc.kill(pid, signal) }

  func wait(_ seconds: Double = 60) throws -> Ended {
    var status: Int32 = 0
    try until("the end of process \(pid)", seconds) { waitpid(pid, &status, WNOHANG) == pid }
    reaped = true
    let signal = status & 0x7f
    return Ended(
      data: FileManager.default.contents(atPath: "\(scratch.path)/out") ?? Data(), errors: errors,
      code: signal == 0 ? (status >> 8) & 0xff : nil, signal: signal == 0 ? nil : signal)
  }

  /// Waits for a condition; the error shows what the process said.
  func until(_ what: String, _ seconds: Double = 30, _ done: () -> Bool) throws {
    let end = Date().addingTimeInterval(seconds)
    while !done() {
      guard Date() < end else {
        throw Failed(
          description: "no \(what) in \(seconds) s\n\(output.suffix(2000))\n\(errors.suffix(2000))")
      }
      usleep(3000)
    }
  }
}

/// Runs a command to its end.
@discardableResult
func run(
  _ arguments: [String], env: [String: String] = [:], input: Data = Data(), cwd: String? = nil,
  timeout: Double = 60
) throws -> Ended {
  try Child(arguments, env: env, input: input, cwd: cwd).wait(timeout)
}

/// The JSON end report.
struct Report {
  struct Row {
    var held, maxheld, failcnt: Int
    var barrier, limit: Int?
    var status: String
  }
  struct Denial {
    var resource, errno, call, comm: String
    var count: Int
  }
  var rows: [String: Row] = [:]
  var denials: [Denial] = []
  var uncovered: [(executable: String, reason: String)] = []
  var requests = -1
  var recounts = -1
  var switches: [String: Int]?
  var reclaims: [String: Int]?
  var code: Int?
  var signal: Int?

  init(_ data: Data) throws {
    guard let all = try JSONSerialization.jsonObject(with: data) as? [String: Any] else {
      throw Failed(description: "the report is not an object")
    }
    func objects(_ key: String) throws -> [[String: Any]] {
      guard let found = all[key] as? [[String: Any]] else {
        throw Failed(description: "the report has no \(key)")
      }
      return found
    }
    for r in try objects("resources") {
      guard let name = r["resource"] as? String, let held = r["held"] as? Int,
        let maxheld = r["maxheld"] as? Int,
        let failcnt = r["failcnt"] as? Int, let status = r["status"] as? String
      else { throw Failed(description: "a row of the report lacks a field: \(r)") }
      rows[name] = Row(
        held: held, maxheld: maxheld, failcnt: failcnt, barrier: r["barrier"] as? Int,
        limit: r["limit"] as? Int,
        status: status)
    }
    denials = try objects("denials").map {
      Denial(
        resource: $0["resource"] as? String ?? "", errno: $0["errno"] as? String ?? "",
        call: $0["call"] as? String ?? "", comm: $0["comm"] as? String ?? "",
        count: $0["count"] as? Int ?? -1)
    }
    uncovered = try objects("uncovered").map {
      ($0["executable"] as? String ?? "", $0["reason"] as? String ?? "")
    }
    requests = (all["server"] as? [String: Any])?["requests"] as? Int ?? -1
    recounts = (all["server"] as? [String: Any])?["recounts"] as? Int ?? -1
    switches = (all["server"] as? [String: Any])?["switches"] as? [String: Int]
    reclaims = (all["server"] as? [String: Any])?["reclaims"] as? [String: Int]
    code = (all["exit"] as? [String: Any])?["code"] as? Int
    signal = (all["exit"] as? [String: Any])?["signal"] as? Int
  }

  func row(_ name: String) throws -> Row {
    try #require(rows[name], "the report has no row \(name)")
  }
}

/// What a run under bcrun came to.
struct Run {
  var ended: Ended
  var report: Report

  /// Nothing was refused and all was given back.
  func within(_ here: SourceLocation = #_sourceLocation) {
    returned(here)
    for (name, row) in report.rows { #expect(row.failcnt == 0, "\(name)", sourceLocation: here) }
    #expect(report.denials.isEmpty, sourceLocation: here)
  }

  /// Every held is 0.
  func returned(_ here: SourceLocation = #_sourceLocation) {
    #expect(!report.rows.isEmpty, sourceLocation: here)
    for (name, row) in report.rows { #expect(row.held == 0, "\(name)", sourceLocation: here) }
  }

  /// Refusals of one resource: failcnt, and the list of denials, say `count`, all with `errno`;
  /// nothing else was refused.
  func refused(
    _ name: String, _ count: Int? = nil, errno: String, _ here: SourceLocation = #_sourceLocation
  ) throws {
    let row = try report.row(name)
    if let count { #expect(row.failcnt == count, "failcnt", sourceLocation: here) }
    #expect(row.failcnt > 0, sourceLocation: here)
    let denials = report.denials.filter { $0.resource == name }
    #expect(denials.reduce(0) { $0 + $1.count } == row.failcnt, "denials", sourceLocation: here)
    #expect(denials.allSatisfy { $0.errno == errno }, "\(denials)", sourceLocation: here)
    for (other, row) in report.rows where other != name {
      #expect(row.failcnt == 0, "\(other)", sourceLocation: here)
    }
    returned(here)
  }
}

/// A command under bcrun that goes on in the background.
final class Background {
  let child: Child
  private let scratch: Scratch

  init(
    _ options: [String], _ command: [String], env: [String: String] = [:], input: Data = Data(),
    cwd: String? = nil
  )
    throws
  {
    scratch = try Scratch()
    child = try Child(
      ["\(repository)/bcrun"] + options + [
        "--report-format", "json", "--report=\(scratch.path)/report", "--",
      ]
        + command,
      env: env, input: input, cwd: cwd)
  }

  func end(_ seconds: Double = 60) throws -> Run {
    let ended = try child.wait(seconds)
    guard let data = FileManager.default.contents(atPath: "\(scratch.path)/report"), !data.isEmpty
    else {
      throw Failed(
        description:
          "bcrun wrote no report; it ended with \(ended.code ?? -1), signal \(ended.signal ?? 0)\n\(ended.errors.suffix(2000))"
      )
    }
    return Run(ended: ended, report: try Report(data))
  }
}

/// Runs a command in a beancounter of its own.
func bcrun(
  _ options: [String], _ command: [String], env: [String: String] = [:], input: Data = Data(),
  cwd: String? = nil,
  timeout: Double = 60
) throws -> Run {
  try Background(options, command, env: env, input: input, cwd: cwd).end(timeout)
}

/// Bounds that nothing here reaches, for all five.
let ample = [
  "--numfile", "20000", "--numproc", "2000", "--numtcpsock", "1000", "--numothersock", "1000",
  "--privvmpages", "8G",
]

/// The same command bare and with `options`: nothing is refused, and nobody can tell the two apart.
@discardableResult
func same(
  _ options: [String], _ command: [String], cwd: String? = nil, timeout: Double = 60,
  _ here: SourceLocation = #_sourceLocation
) throws -> Run {
  let bare = try run(command, cwd: cwd, timeout: timeout)
  let counted = try bcrun(options, command, cwd: cwd, timeout: timeout)
  #expect(bare.code == 0, "\(bare.errors)", sourceLocation: here)
  #expect(counted.ended.output == bare.output, sourceLocation: here)
  #expect(counted.ended.errors == bare.errors, sourceLocation: here)
  #expect(counted.ended.code == bare.code, sourceLocation: here)
  counted.within(here)
  return counted
}

/// The same command bare under a soft bound of bash's `ulimit`, with no core file.
func ulimit(
  _ option: String, _ value: Int, _ command: [String], cwd: String? = nil, timeout: Double = 60
) throws
  -> Ended
{
  try run(
    ["bash", "-c", "ulimit -c 0; ulimit \(option) \(value); exec \"$@\"", "bash"] + command,
    cwd: cwd, timeout: timeout)
}

func freePort() throws -> String {
  let found = try run([tool("python3"), program("port.py")]).output.trimmingCharacters(
    in: .whitespacesAndNewlines)
  return try #require(Int(found).map(String.init))
}

func occurrences(_ needle: String, in text: String) -> Int {
  text.components(separatedBy: needle).count - 1
}
