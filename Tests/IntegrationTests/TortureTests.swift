import Foundation
import Glibc
import Testing

extension RealPrograms {
  @Suite struct Torture {
    let blaming = Blaming()

    private func bcrun(_ options: [String], _ command: String...) throws -> Ended {
      try run(["\(repository)/bcrun"] + options + ["--"] + command)
    }

    @Test(
      "every charge fails in turn: crashes and what is left open are found, and one round can be had again"
    ) func torture() throws {
      let source = program("blame/clumsy.c")
      let clumsy = try blaming.build(source, as: "clumsy")
      let all = try bcrun(["--torture", "numfile"], clumsy)
      #expect(all.code == 124)
      #expect(
        all.errors.contains("bcrun: 3 charges of numfile failed in turn; 2 findings\n"),
        "\(all.errors)")
      #expect(all.errors.contains("exited 3, not 0: round 1\n"))
      let leaks = try blaming.line("line: leaks", of: source),
        crashes = try blaming.line("line: crashes", of: source)
      #expect(
        all.errors.contains(
          "round 2: 1 open at the end, not 0, after fopen  main clumsy.c:\(leaks)\n"))
      #expect(
        all.errors.contains(
          "round 3: killed by signal 11 (Segmentation fault) after fopen  main clumsy.c:\(crashes)\n"
        ))
      #expect(
        try bcrun(["-q", "--torture", "numfile", "--torture-round", "3"], clumsy).signal == SIGSEGV)
      #expect(try bcrun(["-q", "--torture", "numfile", "--torture-round", "4"], clumsy).code == 0)
      let careful = try bcrun(["--torture", "numfile"], tool("cat"), "/etc/hostname")
      #expect(careful.code == 0, "\(careful.errors)")
      #expect(careful.errors.contains("no findings"))
      #expect(try bcrun(["--torture-round", "1"], "true").code == 125)
    }

    @Test(
      "all rows: the planted unchecked malloc and the planted leak of the example, with the round to repeat",
      arguments: [false, true])
    func example(shallow: Bool) throws {
      let source = "\(repository)/examples/careless.c"
      let careless = try blaming.build(source, ["-g", "-O0"], as: "careless")
      let options = ["--torture", "all"] + (shallow ? ["--torture-shallow"] : [])
      let all = try bcrun(options, careless)
      #expect(all.code == 124)
      func finding(_ what: String) throws -> String {
        let line = try #require(
          all.errors.split(separator: "\n").first { $0.contains(what) }, "\(all.errors)")
        return String(try #require(line.split(separator: " ").dropFirst().first?.dropLast()))
      }
      let unchecked = try finding(
        "(Segmentation fault) after malloc  add careless.c:\(blaming.line("= malloc(", of: source))"
      )
      let leaked = try finding(
        "1 open at the end, not 0, after fopen  copy careless.c:\(blaming.line("fopen(to", of: source))"
      )
      #expect(unchecked.hasPrefix("privvmpages@") && leaked.hasPrefix("numfile@"))
      #expect(all.errors.contains("one of them again: --torture all --torture-round RES@N\n"))
      // Two entries are made, in one loop: one place.
      #expect(
        occurrences("(Segmentation fault) after malloc", in: all.errors) == (shallow ? 1 : 2),
        "\(all.errors)")
      let again = try bcrun(["--torture", "all", "--torture-round", unchecked], careless)
      #expect(again.signal == SIGSEGV)
      #expect(again.errors.contains("malloc(48) injected  add careless.c:"), "\(again.errors)")
      #expect(try bcrun(["-q", "--torture", "all", "--torture-round", leaked], careless).code == 0)
    }

    @Test("a run that does not end after a failure is ended, and said so") func hang() throws {
      let script = try blaming.scratch.write(
        "waits.py",
        """
        import os, time
        try:
            os.close(os.open("/etc/hostname", os.O_RDONLY))
            if os.environ.get("BC_SERVER") is None: raise SystemExit(1)
        except OSError:
            time.sleep(1000)
        """)
      // Python opens dozens of files before it comes to ours.
      let opens = try blaming.blamed([], [tool("python3"), "-S", "-E", script])
      #expect(opens.ended.code == 0)
      let began = Date()
      let all = try run(
        [
          "\(repository)/bcrun", "--torture", "numfile", "--torture-shallow", "--", tool("python3"),
          "-S", "-E", script,
        ], timeout: 120)
      #expect(all.code == 124)
      #expect(all.errors.contains("did not end after open64"), "\(all.errors)")
      #expect(Date().timeIntervalSince(began) < 100)
    }

    @Test(
      "memory: each call that obtains some can fail, with no bound and inside the heap",
      arguments: [[], ["--memory", "64G"]])
    func memory(bound: [String]) throws {
      let allocations = try blaming.build(program("blame/allocations.c"), as: "allocations")
      let calm = try blaming.blamed(bound, [allocations])
      let calls = calm.ended.lines.map(String.init)
      #expect(calls.allSatisfy { $0.hasSuffix(" +") } && calls.count == 8, "\(calls)")
      // What comes before main is libc's.
      let first = try #require(
        (1...20).first { n in
          try blaming.blamed(bound + ["--fail", "privvmpages@\(n)"], [allocations]).ended.lines
            .first == "malloc -"
        })
      for (i, call) in calls.enumerated() {
        let r = try blaming.blamed(bound + ["--fail", "privvmpages@\(first + i)"], [allocations])
        #expect(r.ended.code == 0)
        let expected = calls.enumerated().map { $0 == i ? String($1.dropLast()) + "-" : $1 }
        #expect(r.ended.lines.map(String.init) == expected)
        let denial = try #require(r.report.denials.first)
        #expect(
          denial.injected && denial.errno == "ENOMEM" && denial.call == String(call.dropLast(2)))
        #expect(denial.functions.first == "main")
        #expect(denial.arguments.contains("1000"), "\(denial.arguments)")
        #expect(try r.report.row("privvmpages").failcnt == 0)
      }
    }

    @Test("every failure on request has its witness, also of many") func witnesses() throws {
      let places = try blaming.build(program("blame/places.c"), as: "places")
      let r = try blaming.blamed(["--fail", "numfile%60:7"], [places, "tries", "300"])
      let failed = r.ended.output.count { $0 == "-" }
      #expect(failed > 250)
      #expect(r.report.denials.reduce(0) { $0 + $1.count } == failed)
      #expect(r.report.denials.reduce(0) { $0 + $1.witnessed } == failed)
      #expect(Set(r.report.denials.map { $0.functions.first }) == ["first", "second"])
    }

    @Test(arguments: [
      ["--torture", "nofile"], ["--torture", "numfile,numfile"], ["--torture", "physpages"],
      ["--torture", "all", "--torture-round", "3"],
      ["--torture", "all", "--torture-round", "numfile@0"],
      ["--torture", "all", "--fail", "numfile@1"], ["--torture-round", "x"],
    ])
    func unreadable(options: [String]) throws {
      let ended = try bcrun(options, "true")
      #expect(ended.code == 125)
      #expect(!ended.errors.isEmpty)
    }
  }
}
