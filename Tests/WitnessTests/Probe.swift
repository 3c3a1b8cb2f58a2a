import Foundation
import Glibc
import Testing
import Witness

let package = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent().path
let programs = "\(package)/Tests/Programs/witness"

struct Failed: Error, CustomStringConvertible { var description: String }

/// Runs a command to its end; its standard output.
@discardableResult func run(_ command: String...) throws -> String {
  let process = Process()
  let output = Pipe()
  process.executableURL = URL(filePath: "/usr/bin/env")
  process.arguments = command
  process.standardOutput = output
  try process.run()
  let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
  process.waitUntilExit()
  guard process.terminationStatus == 0 else {
    throw Failed(description: "\(command): \(process.terminationStatus)")
  }
  return text
}

/// A folder with libprobe.so in it, which plays the shim; gone with its owner.
final class Workshop {
  let path: String

  init() throws {
    var template = Array("/tmp/witness-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw Failed(description: "mkdtemp: \(errno)") }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    try run(
      "cc", "-std=gnu17", "-O2", "-fPIC", "-fvisibility=hidden", "-fno-plt", "-Wall", "-Wextra",
      "-Werror", "-shared",
      "-I\(package)/Sources/Wire/include", "-o", "\(path)/libprobe.so", "\(programs)/probe.c",
      "\(package)/Shim/witness.c")
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Compiles a program of the folder Programs/witness; its path.
  func build(_ source: String, _ flags: String..., as name: String? = nil) throws -> String {
    let output = "\(path)/\(name ?? source.replacing(".", with: "-"))"
    let compiler = source.hasSuffix(".cpp") ? "g++" : "cc"
    let libraries = ["-L\(path)", "-lprobe", "-Wl,-rpath,\(path)"]
    let command = [compiler] + flags + ["\(programs)/\(source)", "-o", output] + libraries
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = command + ["-pthread"]
    try process.run()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw Failed(description: "\(command)") }
    return output
  }
}

/// A program that has sent a witness and waits for the answer.
final class Witnessing {
  let pid: pid_t
  let message: [UInt8]
  private let socket: CInt
  private var reaped = false

  init(_ command: [String], environment: [String: String] = [:]) throws {
    var ends: [CInt] = [-1, -1]
    guard
      socketpair(AF_UNIX, CInt(SOCK_SEQPACKET.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0, &ends)
        == 0
    else {
      throw Failed(description: "socketpair: \(errno)")
    }
    defer { close(ends[1]) }
    socket = ends[0]
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, ends[1], 60)
    // The test runner's threads block signals, and children inherit that.
    var attributes = posix_spawnattr_t()
    var none = sigset_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    var variables = ProcessInfo.processInfo.environment
    variables["PROBE_FD"] = "60"
    variables.merge(environment) { $1 }
    let arguments = command.map { strdup($0) } + [nil]
    let list = variables.map { strdup("\($0)=\($1)") } + [nil]
    defer { (arguments + list).forEach { free($0) } }
    var child: pid_t = 0
    let error = posix_spawnp(&child, command[0], &actions, &attributes, arguments, list)
    guard error == 0 else {
      throw Failed(description: "\(command[0]): \(String(cString: strerror(error)))")
    }
    pid = child
    close(ends[1])
    ends[1] = -1
    message = [UInt8](unsafeUninitializedCapacity: 1 << 18) { buffer, count in
      count = max(0, recv(ends[0], buffer.baseAddress, buffer.count, 0))
    }
    guard !message.isEmpty else { throw Failed(description: "\(command) sent no witness") }
  }

  /// Lets it go on; its wait status.
  @discardableResult func finish() -> CInt {
    var status: CInt = 0
    guard !reaped else { return 0 }
    reaped = true
    close(socket)
    waitpid(pid, &status, 0)
    return status
  }

  deinit { finish() }
}

/// The stack of a program at its witness, which then ends well.
func stackOf(
  _ command: String..., environment: [String: String] = [:], modules: Modules = Modules()
) throws -> [Frame] {
  let program = try Witnessing(command, environment: environment)
  let unwinder = try Unwinder(pid: program.pid, modules: modules)
  let frames = unwinder.frames(program.message)
  #expect(program.finish() == 0)
  return frames
}

func functions(_ stack: [Frame]) -> [String] { stack.map { $0.function ?? "?" } }

/// The number of the line with `// line: mark`.
func line(_ mark: String, of source: String) throws -> Int {
  let text = try String(contentsOfFile: "\(programs)/\(source)", encoding: .utf8)
  let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
  return try #require(lines.firstIndex { $0.hasSuffix("// line: \(mark)") }) + 1
}
