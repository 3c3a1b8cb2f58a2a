import Foundation
import Glibc
import Testing

extension RealPrograms {
  @Suite struct Blame {
    let blaming = Blaming()
    var scratch: Scratch { blaming.scratch }

    private func build(_ source: String, _ flags: [String] = ["-g"], as name: String) throws
      -> String
    {
      try blaming.build(source, flags, as: name)
    }
    private func blamed(_ options: [String], _ command: [String]) throws -> Outcome {
      try blaming.blamed(options, command)
    }
    private func line(_ text: String, of source: String) throws -> Int {
      try blaming.line(text, of: source)
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
      #expect(
        text.contains(
          "fopen(\"/etc/passwd\")  first_line leaking-server.c:\(opened) < answer leaking-server.c:"
        ))
      #expect(!text.contains("__libc_start"))
      let kv = try run([
        "\(repository)/bcrun", "--numfile", "20", "--report-format", "kv", "--", server,
      ]).errors
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

    @Test("stripped C++: places that addr2line knows, and exceptions as ever") func stripped()
      throws
    {
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
      let named = try run([
        tool("addr2line"), "-f", "-C", "-e", whole, "0x" + String(frames[0].offset, radix: 16),
      ]).output
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
        ["--memory", "64M"],
        [tool("python3"), "-c", "try: bytearray(1 << 30)\nexcept MemoryError: print('refused')"])
      #expect(r.ended.output == "refused\n")
      let denial = try #require(r.report.denials.first { $0.resource == "privvmpages" })
      #expect(denial.frames.contains { $0.module?.contains("python3") == true })
    }

    @Test("two places, each with its own count, few or many", arguments: [2, 9, 16, 400])
    func places(refusals: Int) throws {
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
        // Half of them each; some twenty were seen, and a share of 5 % is less likely than a
        // millionth.
        #expect(denials.allSatisfy { $0.count > refusals / 20 })
      }
    }

    @Test("a worker that dies costs the stack, and nothing else") func workerDies() throws {
      let places = try build(program("blame/places.c"), as: "places")
      let b = try Child(
        [
          "\(repository)/bcrun", "--numfile", "30", "--report-format", "json",
          "--report=\(scratch.path)/report", "--", "sh", "-c",
          "\(places) refused 2; touch \(scratch.path)/half; while [ ! -e \(scratch.path)/go ]; do sleep 0.02; done; \(places) refused 2",
        ])
      try b.until("half") { access("\(scratch.path)/half", F_OK) == 0 }
      let children = text(at: "/proc/\(b.pid)/task/\(b.pid)/children").split(separator: " ")
        .compactMap { Int32($0) }
      let worker = try #require(children.first { text(at: "/proc/\($0)/comm") == "bc-witness\n" })
      // Of what bcrun was given, it keeps nothing open: neither COMMAND's output nor the server's
      // sockets.
      let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(worker)/fd")
        .compactMap {
          try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(worker)/fd/\($0)")
        }
      #expect(
        !open.contains { $0.hasSuffix("/out") || $0.hasSuffix("/err") || $0.hasSuffix("/report") },
        "\(open)")
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

    @Test("each call with the arguments that it was given, and the thread that made it")
    func arguments() throws {
      let asks = try build(program("blame/arguments.c"), as: "asks")
      let none = [
        "numtcpsock", "numothersock", "numflock", "shmpages", "lockedpages", "numsiginfo",
      ].flatMap { ["--\($0)", "0"] }
      let r = try blamed(none + ["--pids-limit", "1"], [asks])
      #expect(r.ended.code == 0)
      func denial(_ call: String, _ resource: String) throws -> Blamed.Denial {
        try #require(
          r.report.denials.first { $0.call == call && $0.resource == resource },
          "\(call) \(r.report.denials)")
      }
      for (call, resource, arguments) in [
        ("socket", "numtcpsock", "AF_INET, SOCK_STREAM"),
        ("socket", "numothersock", "AF_INET6, SOCK_DGRAM"),
        ("socketpair", "numothersock", "AF_UNIX, SOCK_SEQPACKET"),
        ("flock", "numflock", "3 /etc/passwd, LOCK_EX|LOCK_NB"),
        ("fcntl", "numflock", "3 /etc/passwd, 10, 20"),
        ("shmget", "shmpages", "IPC_PRIVATE, 40960"),
        ("ftruncate", "shmpages", "4 /memfd:segment (deleted), 40960"),
        ("mmap", "shmpages", "NULL, 40960"),
        ("timer_create", "numsiginfo", "CLOCK_MONOTONIC"),
      ] { #expect(try denial(call, resource).arguments == arguments) }
      #expect(try denial("mlock", "lockedpages").arguments.hasSuffix(", 100"))
      #expect(try denial("sigqueue", "numsiginfo").arguments.hasSuffix(", SIGUSR1"))
      #expect(try denial("system", "numproc").detail == "exit 3")
      #expect(r.report.denials.allSatisfy { $0.thread == $0.pid })

      let memory = try blamed(["--memory", "16M"], [asks, "memory"])
      for (call, arguments) in [
        ("malloc", "1073741824"), ("mmap", "0x10000000, 1073741824"), ("sbrk", "1073741824"),
      ] {
        #expect(memory.report.denials.first { $0.call == call }?.arguments == arguments)
      }
      #expect(
        memory.report.denials.first { $0.call == "mremap" }?.arguments.hasSuffix(
          ", 4096, 1073741824") == true)

      let other = try blamed(["--numfile", "0"], [asks, "thread"])
      let refused = try #require(other.report.denials.first { $0.detail == "/etc/services" })
      #expect(refused.thread != refused.pid && refused.threadName == "second")
      let text = try run([
        "\(repository)/bcrun", "--numfile", "0", "--memory", "1G", "--", asks, "thread",
      ]).errors
      #expect(text.contains(" second] open(\"/etc/services\")  on_thread arguments.c:"), "\(text)")
    }

    @Test(
      "a program, and a library, that were replaced while they ran, of a process that has gone",
      arguments: ["program", "library"])
    func replaced(what: String) throws {
      let plugin = "\(scratch.path)/plugin.so"
      #expect(
        try run([
          tool("cc"), "-g", "-O1", "-shared", "-fPIC", "-o", plugin, program("blame/plugin.c"),
        ]).code == 0)
      let host = try build(program("blame/replaced.c"), as: "host")
      let r = try blamed(["--numfile", "20"], [host, what, plugin])
      #expect(r.ended.code == 0)
      let denial = try #require(r.report.denials.first)
      if what == "program" {
        #expect(denial.functions.starts(with: ["take_all", "main"]), "\(denial.functions)")
      } else {
        #expect(denial.frames[0].module?.hasSuffix("plugin.so") == true)
        #expect(denial.functions.dropFirst().first == "main", "\(denial.functions)")
      }
    }

    @Test(
      "Rust: names without the marks of its mangling, its own library left out",
      .enabled(if: (try? tool("rustc")) != nil))
    func rust() throws {
      let binary = "\(scratch.path)/rust"
      #expect(
        try run([tool("rustc"), "-g", "-O", "-o", binary, program("blame/cache.rs")]).code == 0)
      let errors = try run(["\(repository)/bcrun", "--numfile", "20", "--", binary]).errors
      #expect(
        errors.contains(#"open64("/dev/null")  cache::store::Cache<T>::load cache.rs:"#),
        "\(errors)")
    }

    @Test("Swift: names as they are written") func swift() throws {
      let binary = "\(scratch.path)/swift"
      let built = try run([
        tool("swiftc"), "-parse-as-library", "-g", "-O", "-o", binary, program("blame/Cache.swift"),
      ])
      #expect(built.code == 0, "\(built.errors)")
      let r = try blamed(["--numfile", "30"], [binary])
      let functions = try #require(r.report.denials.first { $0.call == "open" }).functions
      #expect(
        functions.contains { $0.contains("closure #1") && $0.contains("serve()") }, "\(functions)")
      #expect(!functions.contains { $0.hasPrefix("$s") }, "\(functions)")
    }

    // MARK: Failures on request

    @Test("the N-th charge fails, once, and failcnt does not count it", arguments: [1, 2, 7])
    func nth(n: Int) throws {
      let places = try build(program("blame/places.c"), as: "places")
      let r = try blamed(
        ["--fail", "numfile@\(n)", "--fail-on", "denial"], [places, "tries", "5"])
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

    @Test("a program of several processes and threads is unharmed by failures that never come")
    func never() throws {
      let r = try same(
        [
          "--fail", "numfile@1000000", "--fail", "numproc@1000000", "--fail",
          "numothersock@1000000",
        ],
        [tool("python3"), program("work.py")])
      #expect(r.ended.code == 0)
    }

    @Test(arguments: [
      "numfile", "numfile@0", "numfile@x", "nofile@1", "numfile%101:1", "numfile%5",
      "numfile:stacks", "numfile@-1",
    ])
    func unreadable(rule: String) throws {
      let ended = try run(["\(repository)/bcrun", "--fail", rule, "--", "true"])
      #expect(ended.code == 125)
      #expect(ended.errors.contains("RES@N"))
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
      func bcctl(_ words: String...) throws -> Ended {
        try run(["\(bin)/bcctl", "--socket", "\(folder)/s"] + words)
      }
      let b = try Child([
        "\(repository)/bcrun", "--server", "\(folder)/s", "--name", "x", "--numfile", "5000", "--",
        "sh", "-c",
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
      #expect(
        try bcctl("holders", "x", "numfile", "--format", "html", "-o", "\(scratch.path)/p.html")
          .code == 0)
      #expect(text(at: "\(scratch.path)/p.html").hasPrefix("<!DOCTYPE html>"))
      #expect(
        try bcctl("holders", "x", "numfile", "--format", "pprof", "-o", "\(scratch.path)/p").code
          == 0)
      #expect(FileManager.default.contents(atPath: "\(scratch.path)/p")?.isEmpty == false)
      close(input)
      #expect(try b.wait().code == 0)
    }

    @Test("bcctl denials has the stacks, also after the server was killed") func denials() throws {
      let places = try build(program("blame/places.c"), as: "places")
      let folder = "\(scratch.path)/d"
      mkdir(folder, 0o700)
      let bin = "\(repository)/.build/release"
      func bcctl(_ words: String...) throws -> Ended {
        try run(["\(bin)/bcctl", "--socket", "\(folder)/s"] + words)
      }
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
