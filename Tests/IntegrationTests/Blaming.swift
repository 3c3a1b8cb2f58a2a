import Foundation
import Glibc
import Testing

/// Denials, and where they were refused.
struct Blamed: Decodable {
  struct Frame: Decodable {
    var function, file: String?
    var line: Int?
    var module: String?
    var offset: UInt64
    var guessed: Bool?
  }
  struct Denial: Decodable {
    var resource, errno, call: String
    var count, witnessed: Int
    var injected: Bool
    var pid, thread: Int
    var threadName, detail, arguments: String
    var frames: [Frame]
    var functions: [String] { frames.map { $0.function ?? "?" } }
  }
  struct Row: Decodable {
    var resource: String
    var held, failcnt, maxheld: Int
  }
  var denials: [Denial]
  var resources: [Row]

  func row(_ name: String) throws -> Row { try #require(resources.first { $0.resource == name }) }
}

struct Outcome {
  var ended: Ended
  var report: Blamed
}

/// Builds programs, and has them blamed.
struct Blaming {
  let scratch = try! Scratch()

  func build(_ source: String, _ flags: [String] = ["-g"], as name: String) throws -> String {
    let output = "\(scratch.path)/\(name)"
    let compiler = source.hasSuffix(".cpp") ? "g++" : "cc"
    let built = try run([tool(compiler), "-O1", "-pthread"] + flags + ["-o", output, source])
    guard built.code == 0 else { throw Failed(description: built.errors) }
    return output
  }

  func blamed(_ options: [String], _ command: [String]) throws -> Outcome {
    let report = "\(scratch.path)/report"
    let ended = try run(
      ["\(repository)/bcrun"] + options + ["--report-format", "json", "--report=\(report)", "--"]
        + command)
    let data = try #require(FileManager.default.contents(atPath: report), "\(ended.errors)")
    return Outcome(ended: ended, report: try JSONDecoder().decode(Blamed.self, from: data))
  }

  /// The number of the line that `text` is in.
  func line(_ text: String, of source: String) throws -> Int {
    let lines = IntegrationTests.text(at: source).components(separatedBy: "\n")
    return try #require(lines.firstIndex { $0.contains(text) }) + 1
  }

  /// A server, and bcctl to speak with it.
  func serve() throws -> (server: Child, bcctl: (String...) throws -> Ended, socket: String) {
    let folder = "\(scratch.path)/d", bin = "\(repository)/.build/release"
    mkdir(folder, 0o700)
    let server = try Child(["\(bin)/bcd", "--socket", "\(folder)/s"])
    func bcctl(_ words: String...) throws -> Ended {
      try run(["\(bin)/bcctl", "--socket", "\(folder)/s"] + words)
    }
    try server.until("answer") { (try? bcctl("list").code) == 0 }
    return (server, bcctl, "\(folder)/s")
  }
}
