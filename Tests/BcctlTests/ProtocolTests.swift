import Command
import Foundation
import Glibc
import Testing

@testable import bcctl

@Suite struct Bounds {
  @Test(
    "sizes of people to plain numbers of the protocol",
    arguments: [
      ("numfile=100", "numfile=100:100"), ("numfile=100:120", "numfile=100:120"),
      ("numfile=:120", "numfile=:120"),
      ("numfile=100:", "numfile=100:"), ("privvmpages=64M:80M", "privvmpages=16384:20480"),
      ("kmemsize=1.5K", "kmemsize=1536:1536"), ("numproc=max", "numproc=unlimited:unlimited"),
      ("numproc=5:-1", "numproc=5:unlimited"),
    ])
  func read(_ text: String, _ word: String) throws {
    #expect(try Change.words([text]) == [word])
  }

  @Test(
    "what is no bound",
    arguments: [
      "numfile", "", "=5", "numfil=5", "numfile=", "numfile=:", "numfile=1:2:3", "numfile=1K",
      "numfile=-5",
    ])
  func unreadable(_ text: String) {
    #expect(throws: UsageError.self) { try Change.words(["numproc=5", text]) }
  }

  @Test func twice() {
    #expect(throws: UsageError("numfile is given twice; give it once")) {
      try Change.words(["numfile=5", "numproc=3", "numfile=:9"])
    }
  }
}

@Suite struct Replies {
  private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

  @Test("the contract's object; keys that are not known are left alone") func show() throws {
    let text = """
      {"beancounter":{"id":1,"name":"web","parent":null,"members":3,"new":[1],
       "resources":[{"resource":"numfile","unit":"items","held":0,"maxheld":100,"barrier":100,"limit":null,"failcnt":3,
                     "status":"exact"}],
       "processes":[{"pid":1,"comm":"x","coverage":"joined"}],
       "denials":[{"resource":"numfile","count":3,"errno":"ENFILE","pid":4711,"comm":"worker","call":"open","amount":1,
                   "frames":[{"function":"cache_load","file":"cache.c","line":88,"module":"m","offset":4096}]}],
       "uncovered":[{"pid":4712,"executable":"/usr/bin/busybox","reason":"static"}],
       "server":{"requests":17,"recalls":1,"recounts":1,"switches":{"toSlow":1,"toFast":0}},"mode":{"numfile":"slow"}}}
      """
    let one = try Reply.read(bytes(text), as: Reply.Show.self).beancounter
    #expect(
      Show.lines(one) == [
        "web (id 1): 3 members",
        "  RESOURCE  HELD  MAXHELD  BARRIER  LIMIT  FAILCNT  STATUS  MODE",
        "  numfile      0      100      100      -        3  exact   slow",
        "processes:", "  PID  COMM  COVERAGE", "    1  x     joined",
        "denials:", "  numfile x3 (ENFILE): worker[4711] open()", "    cache_load cache.c:88",
        "uncovered:", "  /usr/bin/busybox[4712]: static",
        "server: 17 requests, 1 recall, 1 recount, 1 to slow, 0 to fast",
      ])
    #expect(try Show.rows(one, only: ["numfile"]).count == 2)
    #expect(throws: Refused("the server has no row numproc")) {
      try Show.rows(one, only: ["numfile", "numproc"])
    }
  }

  @Test("a list's objects need no more than the rows") func list() throws {
    let text = #"{"beancounters":[{"id":2,"name":"a","parent":"web","members":0,"resources":[]}]}"#
    let one = try Reply.read(bytes(text), as: Reply.List.self).beancounters[0]
    #expect(
      Show.lines(one) == [
        "a (id 2, in web): 0 members", "  RESOURCE  HELD  MAXHELD  BARRIER  LIMIT  FAILCNT  STATUS",
      ])
  }

  @Test("a refusal is the server's own words") func refusal() {
    let answer = bytes(#"{"error":"no beancounter \"x\"\n"}"#)
    #expect(throws: Refused("no beancounter \"x\"\n")) {
      try Reply.read(answer, as: Reply.List.self)
    }
    #expect(throws: Refused.self) { try Reply.check(answer) }
    #expect(throws: Never.self) { try Reply.check(bytes("Version: 2.5\n")) }
  }

  @Test(
    "what cannot be read is said",
    arguments: ["", "{}", "x", #"{"beancounters":3}"#, #"{"beancounters":[{"id":1}]}"#])
  func unreadable(_ text: String) {
    let error = #expect(throws: Refused.self) { try Reply.read(bytes(text), as: Reply.List.self) }
    #expect(error?.message.hasPrefix("the server's answer cannot be read (") == true)
  }

  @Test("guarantees bound nothing; the nearer of barrier and limit does") func share() {
    #expect(row("numfile", held: 50, barrier: 100, limit: 120).share == 0.5)
    #expect(row("numfile", held: 60, barrier: 200, limit: 120).share == 0.5)
    #expect(row("numfile", held: 50).share == nil)
    #expect(row("oomguarpages", .pages, held: 50, barrier: 10).share == nil)
    #expect(row("vmguarpages", .pages, held: 0, barrier: 10, limit: 100).share == 0)
    #expect(row("numfile", held: 1, barrier: 0).share == .infinity)
    #expect(row("numfile", held: 0, barrier: 0).share == 1)
  }

  @Test func frames() {
    #expect(Reply.Frame(function: "f", file: "/a/b.c").text == "f b.c")
    #expect(Reply.Frame(module: "/lib/libx.so", offset: 4096).text == "?? libx.so+0x1000")
    #expect(Reply.Frame(function: "f\u{1b}").text == "f\\u{1b}")
  }

  @Test("the greatest holder first") func holders() {
    let all = [
      Reply.Holder(pid: 1, comm: "a", amount: 1),
      Reply.Holder(
        pid: 2, comm: "b", amount: 5,
        items: [.init(fd: 3, what: "/p", since: "t"), .init(what: "x")],
        stack: [.init(function: "main", file: "m.c", line: 2)]),
    ]
    #expect(
      Holders.lines(all) { "\($0)" } == [
        "b[2]: 5", "  fd 3: /p since t", "  x", "    at main m.c:2", "a[1]: 1",
      ])
  }

  @Test("an entrance keeps what else is preloaded, and the shim once") func entrance() {
    let entrance = Reply.Entrance(server: "/s", token: "ab", shim: "/l/bc.so")
    func preload(_ before: String?) -> String? {
      entrance.variables(preload: before).first { $0.0 == "LD_PRELOAD" }?.1
    }
    #expect(preload(nil) == "/l/bc.so")
    #expect(preload("") == "/l/bc.so")
    #expect(preload("/a.so:/b.so") == "/l/bc.so:/a.so:/b.so")
    #expect(preload("/a.so /l/bc.so") == "/l/bc.so:/a.so")
    #expect(
      entrance.variables(preload: nil).prefix(3).map { "\($0.0)=\($0.1)" } == [
        "BC_SERVER=/s", "BC_TOKEN=ab", "BC_SHIM=/l/bc.so",
      ])
  }
}

@Suite struct EventStream {
  @Test("packets end anywhere") func lines() {
    var lines = EventLines()
    func take(_ text: String) -> [String] {
      lines.take(Array(text.utf8)).map { String(decoding: $0, as: UTF8.self) }
    }
    #expect(take("{\"a\":") == [])
    #expect(take("1}\n{\"b\"") == ["{\"a\":1}"])
    #expect(take(":2}\n\n{}\n") == ["{\"b\":2}", "{}"])
    #expect(take("x") == [])
    func rest() -> [[UInt8]] { lines.rest() }
    #expect(rest() == [[UInt8(ascii: "x")]])
    #expect(rest() == [])
  }

  @Test func text() {
    var event = Reply.Event(
      time: "2026-11-21T07:00:00.123Z", beancounter: "web", event: "denial", resource: "numfile",
      pid: 1, text: "a\nb")
    #expect(
      event.line == #"2026-11-21T07:00:00.123Z  web           denial     numfile  pid 1  a\nb"#)
    event = Reply.Event(time: "t", beancounter: "web", event: "created")
    #expect(event.line == "t  web           created  ")
  }
}

@Suite struct ServerPaths {
  @Test func order() throws {
    let env = ["XDG_RUNTIME_DIR": "/run/user/7", "BC_SERVER": "/srv/bcd.sock", "TMPDIR": "/none"]
    #expect(try ServerPath.find(option: "/o", environment: env) == "/o")
    #expect(try ServerPath.find(option: nil, environment: env) == "/srv/bcd.sock")
    #expect(
      try ServerPath.find(
        option: nil, environment: ["XDG_RUNTIME_DIR": "/run/user/7", "BC_SERVER": ""])
        == "/run/user/7/beancounter/bcd.sock")
    // The basedir specification: a relative path is to be passed over.
    #expect(
      try ServerPath.find(
        option: nil, environment: ["XDG_RUNTIME_DIR": "x", "TMPDIR": "/none"], uid: 7)
        == "/none/beancounter-7/bcd.sock")
  }

  @Test("a directory that others can write to may hold anybody's socket") func directory() throws {
    var template = Array("/tmp/bcctl-test-XXXXXX".utf8CString)
    #expect(mkdtemp(&template) != nil)
    let parent = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { try? FileManager.default.removeItem(atPath: parent) }
    let directory = "\(parent)/beancounter-\(getuid())"
    func find() throws -> String {
      try ServerPath.find(option: nil, environment: ["TMPDIR": parent])
    }
    mkdir(directory, 0o700)
    #expect(try find() == directory + "/bcd.sock")
    chmod(directory, 0o755)
    #expect(throws: Refused.self) { try find() }
    rmdir(directory)
    mkdir(parent + "/other", 0o700)
    symlink(parent + "/other", directory)
    #expect(throws: Refused.self) { try find() }
    // Somebody else's: this directory is ours, so ask as another user.
    mkdir("\(parent)/beancounter-99999", 0o700)
    #expect(throws: Refused.self) {
      try ServerPath.find(option: nil, environment: ["TMPDIR": parent], uid: 99999)
    }
  }
}

/// A real socket, whose other end says what the test says.
@Suite struct Sockets {
  /// Accepts once, hands the question over, answers with `packets` and hangs up.
  private func answered(_ packets: [[UInt8]], _ body: (Control) throws -> Void) throws -> [UInt8] {
    let path = "/tmp/bcctl-test-\(getpid())-\(UInt32.random(in: 0...UInt32.max)).sock"
    let listener = socket(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
    let bound = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    try #require(bound == 0 && listen(listener, 1) == 0)
    defer {
      close(listener)
      unlink(path)
    }
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    let (reading, writing) = (ends[0], ends[1])
    defer { close(reading) }
    Thread {
      let fd = accept(listener, nil, nil)
      var question = [UInt8](repeating: 0, count: 4096)
      let n = recv(fd, &question, question.count, 0)
      _ = Glibc.write(writing, question, max(0, n))
      close(writing)
      for packet in packets { _ = send(fd, packet, packet.count, Int32(MSG_NOSIGNAL)) }
      close(fd)
    }.start()
    try body(Control(path: path))
    var asked = [UInt8](repeating: 0, count: 4096)
    let n = read(reading, &asked, asked.count)
    return Array(asked[..<max(0, n)])
  }

  @Test("one packet asks, all packets together answer") func conversation() throws {
    let long = [UInt8](repeating: 65, count: 100_000)
    let asked = try answered([Array("a".utf8), long, Array("z".utf8)]) {
      let answer = try $0.ask(["show", "web é"])
      #expect(answer == Array("a".utf8) + long + Array("z".utf8))
    }
    #expect(asked == Array("bcctl/1\0show\0web é".utf8))
  }

  @Test func noAnswer() throws {
    _ = try answered([]) { control in
      let error = #expect(throws: Refused.self) { try control.ask(["list"]) }
      #expect(error?.message.contains("gave no answer") == true)
    }
  }

  @Test func noServer() {
    #expect(
      throws: Refused(
        "no server at /nonexistent/s (No such file or directory); start one with bcd, or give --socket"
      )
    ) { try Control(path: "/nonexistent/s").ask(["list"]) }
    #expect(throws: Refused.self) {
      try Control(path: "/" + String(repeating: "x", count: 200)).ask(["list"])
    }
    #expect(throws: Refused.self) { try Control(path: "").ask(["list"]) }
    #expect(throws: Refused("a word contains a NUL byte")) { try Control.packet(["show", "a\0b"]) }
  }
}
