import Foundation
import Testing

extension RealPrograms {
  /// How processes start under a bound of memory: cheaply, with room for what their images need,
  /// and within the bound.
  @Suite struct Starts {
    private func built(_ source: String, _ name: String, _ s: Scratch, _ flags: [String]) throws
      -> String
    {
      let made = try run(
        [tool("gcc"), "-std=gnu11", "-O1", "-o", "\(s.path)/\(name)", program(source)] + flags)
      try #require(made.code == 0, "\(made.errors)")
      return "\(s.path)/\(name)"
    }

    /// 64 MiB of its own, and 200 MiB of its library.
    private func large(_ s: Scratch) throws -> [String] {
      _ = try built("large.c", "liblarge.so", s, ["-DSIZE=200", "-DSHARED", "-shared", "-fPIC"])
      return [
        try built("large.c", "own", s, ["-DSIZE=64"]),
        try built(
          "large.c", "librarys", s, ["-DLIBRARY", "-L\(s.path)", "-llarge", "-Wl,-rpath,\(s.path)"]),
      ]
    }

    private let spawns = """
      import os, subprocess, sys
      p = sys.argv[1]
      sys.stdout.flush()
      print("spawned", os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn(p, [p], os.environ), 0)[1]))
      print("vforked", subprocess.run([p]).returncode)
      print("system", os.waitstatus_to_exitcode(os.system(p)))
      if os.fork() == 0: os.execv(p, [p])
      print("forked", os.waitstatus_to_exitcode(os.wait()[1]))
      """

    /// The kernel does not see what a mapping adds that replaces a reservation: the shim does.
    @Test func whatReplacesAReservationIsBounded() throws {
      let s = try Scratch()
      let path = try built("inplace.c", "inplace", s, ["-pthread"])
      let r = try bcrun(["--privvmpages", "64M"], [path])
      #expect(r.ended.code == 0, "\(r.ended.errors)")
      #expect(
        r.ended.output == """
          errno 7
          fits there 8
          too_much ENOMEM 8
          kept 1
          rest there 48
          over_itself there 48
          zeroed 0
          half_new there 52
          half_too_much ENOMEM 52
          given_back there 0
          file b d
          unaligned EINVAL 0
          nowhere ENOMEM 0
          by_number ENOMEM 0
          threads 1

          """)
      #expect(try r.report.row("privvmpages").maxheld <= 16384)
      try r.refused("privvmpages", 4, errno: "ENOMEM")
      // With room for all, it is as if nobody looked.
      try same(["--privvmpages", "4G"], [path])
    }

    @Test func imagesThatNeedMuchStartWhereThereIsRoom() throws {
      let s = try Scratch()
      for path in try large(s) {
        let alone = try bcrun(["--privvmpages", "512M"], [path])
        #expect(alone.ended.output == "here\n", "\(alone.ended.errors)")
        alone.within()
        let r = try bcrun(["--privvmpages", "512M"], [tool("python3"), "-c", spawns, path])
        for way in ["spawned", "vforked", "system", "forked"] {
          #expect(r.ended[way] == "0", "\(way): \(r.ended.errors)")
        }
        r.within()
      }
    }

    /// As the kernel has it: the loader says so and ends with 127, or exec has passed the point of
    /// no return.
    @Test func imagesThatNeedMoreThanThereIsEndAndNobodyElseDoes() throws {
      let s = try Scratch()
      let library = try large(s)[1]
      let r = try bcrun(
        ["--privvmpages", "100M"], ["bash", "-c", "\(library); echo $?; echo after"])
      let lines = r.ended.lines
      #expect(["127", "139"].contains(lines.first), "\(r.ended.errors)")
      #expect(lines.last == "after")
      #expect(!r.ended.output.contains("here"))
      #expect(try r.report.row("privvmpages").maxheld <= 25600)
      r.returned()
    }

    @Test(arguments: 1...6) func theBoundHoldsAndTheLastForkIsToBeHad(seed: Int) throws {
      let s = try Scratch()
      let births = try built("births.c", "births", s, [])
      let r = try bcrun(
        ["--privvmpages", "64M"], [births, "\(seed)", "65536", "120"], timeout: 120)
      #expect(r.ended.code == 0, "seed \(seed): \(r.ended.errors)")
      #expect(1...65536 ~= r.ended.number("most"), "seed \(seed)")
      #expect(r.ended["last-page"] == "0", "seed \(seed)")
      #expect(r.ended["one-more"] == "12", "seed \(seed)")
      #expect(r.ended["last-fork"] == "0", "seed \(seed)")
      #expect(r.ended["no-fork"] == "12", "seed \(seed)")
      #expect(r.ended["unloaded"] == "0", "seed \(seed): \(r.ended.errors)")
      #expect(r.ended["signalled"] == "0", "seed \(seed)")
      #expect(try r.report.row("privvmpages").maxheld <= 16384, "seed \(seed)")
      r.returned()
    }

    @Test func nothingIsRefusedWhereThereIsRoom() throws {
      let s = try Scratch()
      let births = try built("births.c", "births", s, [])
      let r = try bcrun(["--privvmpages", "8G"], [births, "7", "\(8 << 20)", "200"], timeout: 120)
      #expect(r.ended.code == 0, "\(r.ended.errors)")
      for what in ["refused", "unloaded", "signalled"] { #expect(r.ended[what] == "0", "\(what)") }
      #expect(r.ended["last-page"] == "0")
      #expect(r.ended["one-more"] == "12")
    }

    /// A start asks nothing: 100 of them and 100 forks make no more questions than a few.
    @Test func startsOfKnownImagesAskNothing() throws {
      let s = try Scratch()
      let starts = try built("starts.c", "starts", s, ["-pthread"])
      for kind in ["true", "fork", "fork+exec", "vfork+exec"] {
        let r = try bcrun(["--privvmpages", "1G"], [starts], input: Data("\(kind) 100\n".utf8))
        #expect(r.ended.code == 0, "\(kind): \(r.ended.errors)")
        #expect(r.report.requests <= 25, "\(kind)")
        r.within()
      }
    }

    @Test func anOwnLimitSurvivesExec() throws {
      let r = try bcrun(
        ["--privvmpages", "512M"],
        [
          "bash", "-c",
          "ulimit -S -d 100000; ulimit -d; exec bash -c 'ulimit -d; bash -c \"ulimit -d\"'",
        ])
      #expect(r.ended.output == "100000\n100000\n100000\n")
      r.within()
    }
  }
}
