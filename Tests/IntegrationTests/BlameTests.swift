import Foundation
import Glibc
import Testing

/// Denials, and where they were refused.
private struct Blamed: Decodable {
  struct Frame: Decodable {
    var function, file: String?
    var line: Int?
    var module: String?
    var offset: UInt64
  }
  struct Denial: Decodable {
    var resource, errno, call: String
    var count, witnessed: Int
    var injected: Bool
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

private struct Outcome {
  var ended: Ended
  var report: Blamed
}

extension RealPrograms {
  @Suite struct Blame {
    let scratch = try! Scratch()

    private func build(_ source: String, _ flags: [String] = ["-g"], as name: String) throws -> String {
      let output = "\(scratch.path)/\(name)"
      let compiler = source.hasSuffix(".cpp") ? "g++" : "cc"
      let built = try run([tool(compiler), "-O1", "-pthread"] + flags + ["-o", output, source])
      guard built.code == 0 else { throw Failed(description: built.errors) }
      return output
    }

    private func blamed(_ options: [String], _ command: [String]) throws -> Outcome {
      let report = "\(scratch.path)/report"
      let ended = try run(
        ["\(repository)/bcrun"] + options + ["--report-format", "json", "--report=\(report)", "--"] + command)
      let data = try #require(FileManager.default.contents(atPath: report), "\(ended.errors)")
      return Outcome(ended: ended, report: try JSONDecoder().decode(Blamed.self, from: data))
    }

    /// The number of the line that `text` is in.
    private func line(_ text: String, of source: String) throws -> Int {
      let lines = IntegrationTests.text(at: source).components(separatedBy: "\n")
      return try #require(lines.firstIndex { $0.contains(text) }) + 1
    }

    @Test("C with debug information: function, file and line") func leakingServer() throws {
      let source = "\(repository)/examples/leaking-server.c"
      let server = try build(source, as: "leaking-server")
      let r = try blamed(["--numfile", "20"], [server])
      #expect(r.ended.output == "out of files\n")
      #expect(r.ended.code == 1)
      let denial = try #require(r.report.denials.first)
      #expect(r.report.denials.count == 1)
      #expect(denial.count == 3)
      #expect(try r.report.row("numfile").failcnt == 3)
      #expect(denial.functions.prefix(3) == ["first_line", "answer", "main"])
      #expect(denial.frames[0].file?.hasSuffix("leaking-server.c") == true)
      #expect(try denial.frames[0].line == line("fopen(", of: source))
      #expect(denial.frames[0].module == server)

      let text = try run(["\(repository)/bcrun", "--numfile", "20", "--", server]).errors
      let opened = try line("fopen(", of: source)
      #expect(text.contains("fopen(\"/etc/passwd\")  first_line leaking-server.c:\(opened) < answer leaking-server.c:"))
      #expect(!text.contains("__libc_start"))
      let kv = try run(["\(repository)/bcrun", "--numfile", "20", "--report-format", "kv", "--", server]).errors
      #expect(kv.contains("denial.0.frame.0.function=first_line\n"))
      #expect(kv.contains("denial.0.frame.0.line=\(opened)\n"))
    }

    @Test("python3: the interpreter's functions") func python() throws {
      let r = try blamed(
        ["--numfile", "20"], [tool("python3"), "\(repository)/examples/out-of-files.py", "/etc"])
      #expect(r.ended.code == 0)
      let denials = r.report.denials.filter { $0.resource == "numfile" }
      #expect(!denials.isEmpty)
      #expect(try denials.reduce(0) { $0 + $1.count } == r.report.row("numfile").failcnt)
      let frames = try #require(denials.first).frames
      #expect(frames.count > 3)
      #expect(frames.contains { $0.module?.contains("python3") == true })
    }

    @Test("stripped C++: places that addr2line knows, and exceptions as ever") func stripped() throws {
      let source = program("blame/thrower.cpp")
      let whole = try build(source, as: "whole")
      let stripped = "\(scratch.path)/stripped"
      #expect(try run([tool("strip"), "-o", stripped, whole]).code == 0)
      let r = try blamed(["--numfile", "30"], [stripped])
      #expect(r.ended.output == "caught 5 unwound 55\n")
      #expect(r.ended.code == 0)
      let denials = r.report.denials
      #expect(denials.reduce(0) { $0 + $1.count } == 5)
      let frames = try #require(denials.first).frames
      #expect(frames[0].module == stripped)
      let named = try run([tool("addr2line"), "-f", "-C", "-e", whole, "0x" + String(frames[0].offset, radix: 16)]).output
      #expect(named.hasPrefix("open_all"), "\(named)")
      #expect(frames.count { $0.module == stripped } >= 12)
    }

    @Test("in a signal handler, on a stack of its own") func signal() throws {
      let corners = try build(program("blame/corners.c"), as: "corners")
      let r = try blamed(["--numfile", "30"], [corners, "signal"])
      #expect(r.ended.output == "refused ENFILE\n")
      let denial = try #require(r.report.denials.first)
      #expect(denial.functions.prefix(2) == ["take_all", "on_signal"])
      #expect(denial.functions.contains("interrupted"), "\(denial.functions)")
      #expect(try denial.frames[0].line == line("line: open", of: program("blame/corners.c")))
    }

    @Test("on the smallest stack that a thread can have") func smallStack() throws {
      let corners = try build(program("blame/corners.c"), as: "corners")
      let r = try blamed(["--numfile", "30"], [corners])
      #expect(r.ended.output == "refused ENFILE\n")
      #expect(r.ended.signal == nil)
      let denial = try #require(r.report.denials.first)
      #expect(denial.functions.prefix(2) == ["take_all", "on_thread"])
    }

    @Test(.enabled(if: (try? tool("node")) != nil)) func node() throws {
      let r = try blamed(["--numfile", "60"], [tool("node"), program("files.js")])
      #expect(r.ended.signal == nil)
      let denials = r.report.denials.filter { $0.resource == "numfile" }
      #expect(try denials.reduce(0) { $0 + $1.count } == r.report.row("numfile").failcnt)
      if let first = denials.first { #expect(!first.frames.isEmpty) }
    }

    @Test("memory: who asked for it") func memory() throws {
      let r = try blamed(
        ["--memory", "64M"], [tool("python3"), "-c", "try: bytearray(1 << 30)\nexcept MemoryError: print('refused')"])
      #expect(r.ended.output == "refused\n")
      let denial = try #require(r.report.denials.first { $0.resource == "privvmpages" })
      #expect(denial.frames.contains { $0.module?.contains("python3") == true })
    }

    @Test("two places, each with its own count, few or many", arguments: [2, 9, 16, 400]) func places(refusals: Int) throws {
      let source = program("blame/places.c")
      let places = try build(source, as: "places")
      let r = try blamed(["--numfile", "30"], [places, "refused", String(refusals)])
      #expect(r.ended.output == "refused \(refusals)\n")
      #expect(try r.report.row("numfile").failcnt == refusals)
      let denials = r.report.denials
      #expect(denials.reduce(0) { $0 + $1.count } == refusals)
      #expect(Set(denials.map { $0.functions[0] }) == ["first", "second"])
      for denial in denials {
        #expect(denial.count >= denial.witnessed && denial.witnessed > 0)
        #expect(try denial.frames[0].line == line("line: \(denial.functions[0])", of: source))
        if refusals <= 16 { #expect(denial.count == denial.witnessed) }
      }
      if refusals <= 16 {
        #expect(denials.first { $0.functions[0] == "first" }?.count == (refusals + 1) / 2)
      } else {
        #expect(denials.reduce(0) { $0 + $1.witnessed } < 40)
        // Half of them each; some twenty were seen, and a share of 5 % is less likely than a millionth.
        #expect(denials.allSatisfy { $0.count > refusals / 20 })
      }
    }

    @Test("a worker that dies costs the stack, and nothing else") func workerDies() throws {
      let places = try build(program("blame/places.c"), as: "places")
      let b = try Child(
        ["\(repository)/bcrun", "--numfile", "30", "--report-format", "json", "--report=\(scratch.path)/report", "--", "sh", "-c",
          "\(places) refused 2; touch \(scratch.path)/half; while [ ! -e \(scratch.path)/go ]; do sleep 0.02; done; \(places) refused 2",
        ])
      try b.until("half") { access("\(scratch.path)/half", F_OK) == 0 }
      let children = text(at: "/proc/\(b.pid)/task/\(b.pid)/children").split(separator: " ").compactMap { Int32($0) }
      let worker = try #require(children.first { text(at: "/proc/\($0)/comm") == "bc-witness\n" })
      // Of what bcrun was given, it keeps nothing open: neither COMMAND's output nor the server's sockets.
      let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(worker)/fd").compactMap {
        try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(worker)/fd/\($0)")
      }
      #expect(!open.contains { $0.hasSuffix("/out") || $0.hasSuffix("/err") || $0.hasSuffix("/report") }, "\(open)")
      #expect(open.count { $0.hasPrefix("socket:") } == 1, "\(open)")
      #expect(Glibc.kill(worker, SIGKILL) == 0)
      _ = try scratch.write("go", "")
      let ended = try b.wait()
      #expect(ended.output == "refused 2\nrefused 2\n")
      let data = try #require(FileManager.default.contents(atPath: "\(scratch.path)/report"))
      let report = try JSONDecoder().decode(Blamed.self, from: data)
      #expect(report.denials.reduce(0) { $0 + $1.count } == 4)
      #expect(report.denials.contains { !$0.frames.isEmpty })
      try b.until("end of every worker", 5) { Glibc.kill(worker, 0) != 0 }
    }

    // MARK: Failures on request

    @Test("the N-th charge fails, once, and failcnt does not count it", arguments: [1, 2, 7]) func nth(n: Int) throws {
      let places = try build(program("blame/places.c"), as: "places")
      let r = try blamed(["--fail", "numfile@\(n)", "--fail-on", "denial"], [places, "tries", "5"])
      let tries = Array("++++++++++")
      #expect(r.ended.output == String(tries.indices.map { $0 == n - 1 ? "-" : tries[$0] }) + "\n")
      #expect(r.ended.code == 0)
      let row = try r.report.row("numfile")
      #expect(row.failcnt == 0)
      #expect(row.held == 0)
      #expect(row.maxheld == 2)
      let denial = try #require(r.report.denials.first)
      #expect(r.report.denials.count == 1)
      #expect(denial.injected && denial.count == 1 && denial.errno == "ENFILE")
      #expect(denial.functions.first == (n % 2 == 1 ? "first" : "second"))
    }

    @Test("a share of them fails, the same for the same seed") func chance() throws {
      let places = try build(program("blame/places.c"), as: "places")
      func tries(_ seed: Int) throws -> String {
        try blamed(["--fail", "numfile%30:\(seed)"], [places, "tries", "50"]).ended.output
      }
      let one = try tries(1)
      #expect(try tries(1) == one)
      #expect(try tries(2) != one)
      // 100 charges at 30 %: outside 8 … 55 once in ten million seeds.
      #expect((8...55).contains(one.count { $0 == "-" }))
    }

    @Test("each place fails once") func eachPlace() throws {
      let places = try build(program("blame/places.c"), as: "places")
      let r = try blamed(["--fail", "numfile:stack"], [places, "tries", "4"])
      #expect(r.ended.output == "--++++++\n")
      #expect(Set(r.report.denials.map { $0.functions.first ?? "" }) == ["first", "second"])
      #expect(r.report.denials.allSatisfy { $0.injected && $0.count == 1 })
    }

    @Test("a program of several processes and threads is unharmed by failures that never come") func never() throws {
      let r = try same(["--fail", "numfile@1000000", "--fail", "numproc@1000000", "--fail", "numothersock@1000000"],
        [tool("python3"), program("work.py")])
      #expect(r.ended.code == 0)
    }

    @Test("memory fails on request") func memoryOnRequest() throws {
      let r = try blamed(
        ["--memory", "64G", "--fail", "privvmpages@1"],
        [tool("python3"), "-c", "try: bytearray(1 << 28)\nexcept MemoryError: print('refused')\nprint('on')"])
      #expect(r.report.denials.reduce(0) { $0 + ($1.injected ? $1.count : 0) } == 1)
      #expect(try r.report.row("privvmpages").failcnt == 0)
      let unbounded = try run(["\(repository)/bcrun", "--fail", "privvmpages@1", "--", "true"])
      #expect(unbounded.code == 125)
      #expect(unbounded.errors.contains("--memory"))
    }

    @Test(arguments: ["numfile", "numfile@0", "numfile@x", "nofile@1", "numfile%101:1", "numfile%5", "numfile:stacks", "numfile@-1"])
    func unreadable(rule: String) throws {
      let ended = try run(["\(repository)/bcrun", "--fail", rule, "--", "true"])
      #expect(ended.code == 125)
      #expect(ended.errors.contains("RES@N"))
    }

    @Test("every charge fails in turn: crashes and what is left open are found, and one round can be had again") func torture() throws {
      let clumsy = try build(program("blame/clumsy.c"), as: "clumsy")
      let all = try run(["\(repository)/bcrun", "--torture", "numfile", "--", clumsy])
      #expect(all.code == 124)
      let source = program("blame/clumsy.c")
      #expect(all.errors.contains("bcrun: 3 charges of numfile failed in turn; 2 findings\n"), "\(all.errors)")
      #expect(all.errors.contains("exited 3, not 0: round 1\n"))
      #expect(try all.errors.contains("round 2: 1 open at the end, not 0, after fopen  main clumsy.c:\(line("line: leaks", of: source))\n"))
      #expect(
        try all.errors.contains(
          "round 3: killed by signal 11 (Segmentation fault) after fopen  main clumsy.c:\(line("line: crashes", of: source))\n"))
      #expect(try run(["\(repository)/bcrun", "-q", "--torture", "numfile", "--torture-round", "3", "--", clumsy]).signal == SIGSEGV)
      #expect(try run(["\(repository)/bcrun", "-q", "--torture", "numfile", "--torture-round", "4", "--", clumsy]).code == 0)
      let careful = try run(["\(repository)/bcrun", "--torture", "numfile", "--", tool("cat"), "/etc/hostname"])
      #expect(careful.code == 0, "\(careful.errors)")
      #expect(careful.errors.contains("no findings"))
      #expect(try run(["\(repository)/bcrun", "--torture-round", "1", "--", "true"]).code == 125)
    }

    // MARK: Holders

    @Test("who holds, and what has grown since a mark, by place") func holders() throws {
      let places = try build(program("blame/places.c"), as: "places")
      let folder = "\(scratch.path)/d"
      mkdir(folder, 0o700)
      mkfifo("\(scratch.path)/in", 0o600)
      let bin = "\(repository)/.build/release"
      let server = try Child(["\(bin)/bcd", "--socket", "\(folder)/s"])
      try server.until("socket") { access("\(folder)/s", F_OK) == 0 }
      defer { server.kill(SIGTERM) }
      func bcctl(_ words: String...) throws -> Ended { try run(["\(bin)/bcctl", "--socket", "\(folder)/s"] + words) }
      let b = try Child([
        "\(repository)/bcrun", "--server", "\(folder)/s", "--name", "x", "--numfile", "5000", "--", "sh", "-c",
        "exec \(places) grow < \(scratch.path)/in",
      ])
      let input = open("\(scratch.path)/in", O_WRONLY)
      try b.until("ready") { b.output.contains("ready") }
      #expect(try bcctl("diff", "x").code == 1)  // there is no mark
      #expect(try bcctl("mark", "x").code == 0)
      #expect(write(input, "700\n", 4) == 4)
      try b.until("growth") { b.output.contains("grown") }

      var grown = ""
      try b.until("stacks of what grew", 5) {
        grown = (try? bcctl("diff", "x").output) ?? ""
        return grown.contains("second")
      }
      #expect(grown.contains("numfile: 301 -> 1001"), "\(grown)")
      let held = try bcctl("holders", "x", "numfile").output
      #expect(held.contains("]: 1001\n"), "\(held)")
      #expect(held.contains("(estimate)  second places.c:"))
      let folded = try bcctl("holders", "x", "numfile", "--format", "folded").output
      func amount(_ function: String) -> Int {
        folded.split(separator: "\n").filter { $0.contains(";main;\(function) ") }
          .reduce(0) { $0 + (Int($1.split(separator: " ").last ?? "") ?? 0) }
      }
      // 700 of 1001 were obtained there, some twenty points: the estimate is within a half.
      #expect(amount("second") > 350, "\(folded)")
      #expect(amount("second") > amount("first"))
      #expect(try bcctl("holders", "x", "numfile", "--format", "html", "-o", "\(scratch.path)/p.html").code == 0)
      #expect(text(at: "\(scratch.path)/p.html").hasPrefix("<!DOCTYPE html>"))
      #expect(try bcctl("holders", "x", "numfile", "--format", "pprof", "-o", "\(scratch.path)/p").code == 0)
      #expect(FileManager.default.contents(atPath: "\(scratch.path)/p")?.isEmpty == false)
      close(input)
      #expect(try b.wait().code == 0)
    }

    @Test("bcctl denials has the stacks, also after the server was killed") func denials() throws {
      let places = try build(program("blame/places.c"), as: "places")
      let folder = "\(scratch.path)/d"
      mkdir(folder, 0o700)
      let bin = "\(repository)/.build/release"
      func bcctl(_ words: String...) throws -> Ended { try run(["\(bin)/bcctl", "--socket", "\(folder)/s"] + words) }
      func serve() throws -> Child {
        let server = try Child(["\(bin)/bcd", "--socket", "\(folder)/s"])
        try server.until("answer") { (try? bcctl("list").code) == 0 }
        return server
      }
      let first = try serve()
      #expect(try bcctl("create", "x", "numfile=30").code == 0)
      #expect(try bcctl("enter", "x", "--", places, "refused", "4").code == 0)
      var before = ""
      try first.until("stacks", 5) {
        before = (try? bcctl("denials", "x").output) ?? ""
        return before.contains("first places.c:") && before.contains("second places.c:")
      }
      first.kill(SIGKILL)
      _ = try first.wait()
      let second = try serve()
      #expect(try bcctl("denials", "x").output == before)
      #expect(try bcctl("denials", "x", "--format", "folded").output.contains("main;first 2\n"))
      second.kill(SIGTERM)
      _ = try second.wait()
    }
  }
}
