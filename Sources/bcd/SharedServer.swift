import Beancounters
import CLinux
import Command
import Server

/// A server that runs already: a bcd, or that of the run around this one.
final class SharedServer: Place {
  private let path: String
  private let name: String
  private var entered = (server: "", token: "", shim: "")

  init(path: String, name: String, parent: String?, settings: Settings) {
    self.path = path
    self.name = name
    var words = ["create", name, "of-one-run"]
    if let parent { words.append("parent=" + parent) }
    if settings.openvzErrno { words.append("errno=openvz") }
    if settings.allowOnServerLoss { words.append("on-server-loss=allow") }
    if settings.reclaims { words.append("on-physpages=reclaim") }
    if settings.meminfo { words.append("meminfo") }
    func amount(_ n: Int64) -> String { n == Bounds.unlimited ? "unlimited" : String(n) }
    words += settings.failures.map { "fail=" + $1.text($0) }.sorted()
    words += settings.bounds.map { "\($0.name)=\(amount($1.barrier)):\(amount($1.limit))" }.sorted()
    let reply = SharedServer.ask(path, words)
    if let text = SharedServer.refusal(reply) { fail("--server \(path): \(text)") }
    // What a member needs to know: words, one a line.
    let lines = SharedServer.ask(path, ["membership", name]).split(separator: "\n").map(String.init)
    guard lines.count == 3 else { fail("--server \(path): it did not say how to join") }
    entered = (lines[0], lines[1], lines[2])
  }

  var membership: (server: String, token: String, shim: String) { entered }

  func spawn(_ launch: Launch) -> (Int32, Int32) {
    var child: Int32 = 0
    var mask = launch.mask
    let question = SharedServer.packet(["enter", name])
    let error = question.withUnsafeBytes { question in
      launch.withDirectory {
        clinux_spawn_entering(
          &child, launch.argv, launch.words, &mask, $0, path, question.baseAddress!, question.count)
      }
    }
    if Int(error) == CLINUX_NOT_LET_IN {
      abandon()
      fail(
        "--server \(path): \(name) cannot be entered: it, or one above it, has as many processes as its numproc allows"
      )
    }
    return (error, child)
  }

  func wait(for fd: Int32, _ ready: () -> Void) {
    var one = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
    poll(&one, 1, -1)
    ready()
  }

  func settle() {
    var quiet = 0
    for _ in 0..<100 {
      let words = SharedServer.ask(path, ["ending", name]).split(whereSeparator: {
        $0 == " " || $0 == "\n"
      })
      guard words.count == 2, words[0] != "0" else { return }
      quiet = words[1] == "0" ? quiet + 1 : 0
      if quiet > 25 { return }
      usleep(2000)
    }
  }

  func report(_ options: Options, exit: Report.Exit, seconds: Double, peak: Int) -> (
    [Options.FailOn], String
  ) {
    let text = SharedServer.ask(
      path,
      [
        "report", name, options.format.rawValue, options.verbose ? "verbose" : "",
        exit.code.map { String($0) } ?? "",
        exit.signal.map { String($0) } ?? "", String(Int(seconds * 1000)),
      ] + options.command)
    if let refusal = SharedServer.refusal(text) { return ([], "bcrun: \(refusal)\n") }
    let end = text.firstIndex(of: "\n") ?? text.startIndex
    return (
      text[..<end].split(separator: " ").compactMap { Options.FailOn(rawValue: String($0)) },
      text.isEmpty
        ? "bcrun: the server has gone: no report\n" : String(text[text.index(after: end)...])
    )
  }

  func abandon() { _ = SharedServer.ask(path, ["remove", name]) }
  func leave() {}

  // MARK: Speaking with it

  private static func packet(_ words: [String]) -> [UInt8] {
    Array((["bcctl/1"] + words).joined(separator: "\0").utf8)
  }

  private static func ask(_ path: String, _ words: [String]) -> String {
    let fd = clinux_connect(path)
    guard fd >= 0 else {
      fail(
        "--server \(path): \(String(cString: strerror(clinux_errno()))); start one with bcd, or leave --server and BC_SERVER out"
      )
    }
    defer { close(fd) }
    let question = packet(words)
    guard clinux_send(fd, question, question.count, -1) == question.count else { return "" }
    var reply: [UInt8] = []
    var bytes = [UInt8](repeating: 0, count: 65536)
    while true {
      let n = recv(fd, &bytes, bytes.count, 0)
      if n < 0, clinux_errno() == EINTR { continue }
      guard n > 0 else { return String(decoding: reply, as: UTF8.self) }
      reply += bytes[..<n]
    }
  }

  /// The text of `{"error":"…"}`; its escapes are few, for the server wrote it.
  private static func refusal(_ reply: String) -> String? {
    let start = #"{"error":""#
    guard reply.hasPrefix(start) else { return reply.isEmpty ? "it did not answer" : nil }
    return reply.dropFirst(start.count).prefix { $0 != "\n" }.dropLast(2).replacing(
      "\\\"", with: "\"")
  }
}

extension StringProtocol {
  fileprivate func replacing(_ old: String, with new: String) -> String {
    var result = ""
    var rest = self[...]
    while let at = rest.firstRange(of: old) {
      result += rest[..<at.lowerBound] + new
      rest = rest[at.upperBound...]
    }
    return result + rest
  }
}
