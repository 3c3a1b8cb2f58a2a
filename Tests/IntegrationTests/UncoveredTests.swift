import Testing

extension RealPrograms {
  /// Programs that the shim cannot enter are named, and held to the memory bound all the same.
  @Suite struct Uncovered {
    @Test("47: what could not be preloaded is noticed") func staticBinary() throws {
      let busybox = try tool("busybox")
      let r = try bcrun(["--privvmpages", "64M"], [busybox, "sleep", "0.2"])
      #expect(r.ended.code == 0)
      #expect(r.report.uncovered.map(\.executable) == [busybox])
      #expect(r.report.uncovered.map(\.reason) == ["static"])
      r.within()
    }

    @Test func staticChildOfACoveredProgram() throws {
      let busybox = try tool("busybox")
      let r = try bcrun(
        ["--privvmpages", "256M", "--numproc", "10"],
        ["bash", "-c", "\(busybox) echo from inside; echo after"])
      #expect(r.ended.output == "from inside\nafter\n")
      #expect(r.report.uncovered.map(\.reason) == ["static"])
      r.within()
    }

    @Test func rawSystemCallsAreHeldToTheMemoryBound() throws {
      let s = try Scratch()
      let made = try run([
        tool("gcc"), "-O1", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-o",
        "\(s.path)/raw",
        program("raw.c"),
      ])
      try #require(made.code == 0, "\(made.errors)")
      let r = try bcrun(["--privvmpages", "64M"], ["\(s.path)/raw"])
      #expect(r.ended.code == 0)
      let got = Int(r.ended.output.dropLast()) ?? -1
      #expect(48...64 ~= got)
      #expect(r.report.uncovered.map(\.executable) == ["\(s.path)/raw"])
      #expect(r.report.uncovered.map(\.reason) == ["static"])
      #expect(try r.report.row("privvmpages").maxheld <= 64 * 256)
      r.returned()
    }

    private func golike(_ s: Scratch, _ flags: String...) throws -> String {
      let path = "\(s.path)/golike"
      let made = try run([tool("gcc"), "-O1", "-o", path, program("golike.c")] + flags)
      try #require(made.code == 0, "\(made.errors)")
      return path
    }

    @Test(
      "a program of Go that is linked with libc is named, counted, and has all the memory that there is"
    )
    func goWithLibc() throws {
      let s = try Scratch()
      let path = try golike(s, "-DNOTE")
      for (bound, mapped) in [(256, 200...200), (64, 62...64)] {
        let r = try bcrun(["--numfile", "4", "--privvmpages", "\(bound)M"], [path, "50", "200"])
        #expect(r.ended.code == 0)
        #expect(mapped.contains(r.ended.number("mapped")), "\(r.ended.output)")
        #expect(r.report.uncovered.map(\.executable) == [path])
        #expect(r.report.uncovered.map(\.reason) == ["raw system calls"])
        #expect(try r.report.row("numfile").maxheld == 50)
        #expect(try r.report.row("numfile").status == "estimate")
        #expect(try r.report.row("privvmpages").maxheld <= bound * 256)
        r.returned()
      }
      #expect(
        try bcrun(["--numfile", "4", "--fail-on", "uncovered"], [path, "50", "0"]).ended.code == 124
      )
      // Two of them share what there is, within the bound. How evenly depends on when they are
      // looked at: they cannot ask.
      let two = try bcrun(
        ["--privvmpages", "128M"], ["sh", "-c", "\(path) 0 200 & \(path) 0 200 & wait"])
      let mapped = two.ended.lines.map { Int($0.dropFirst(7)) ?? -1 }
      #expect(
        mapped.count == 2 && mapped.allSatisfy { $0 >= 8 } && mapped.reduce(0, +) <= 128,
        "\(mapped)")
      #expect(try two.report.row("privvmpages").maxheld <= 128 * 256)
    }

    /// By what it leaves: more descriptors than are charged to it. Before it has called libc for any,
    /// and after.
    @Test(arguments: [0, 2]) func inlineSystemCallsAreNoticed(_ seen: Int) throws {
      let s = try Scratch(), path = "\(s.path)/unseen"
      let made = try run([tool("gcc"), "-O1", "-o", path, program("unseen.c")])
      try #require(made.code == 0, "\(made.errors)")
      let r = try bcrun(["--numfile", "20"], [path, "30", "\(seen)"])
      #expect(r.ended.number("inline") == 30 && r.ended.number("refused") == 1)
      #expect(r.report.uncovered.map(\.executable) == [path])
      #expect(r.report.uncovered.map(\.reason) == ["raw system calls"])
      #expect(try r.report.row("numfile").maxheld == 30 + seen)
      try r.refused("numfile", 1, errno: "ENFILE")
    }

    /// Copies are not files, whenever they come and go, and neither is what children inherit.
    @Test func whoDuplicatesIsNotTakenForOneThatDoes() throws {
      let r = try bcrun(
        ["--numfile", "20"],
        [
          "python3", "-c",
          """
          import os, subprocess, time
          files = [os.open('/dev/null', os.O_RDONLY) for _ in range(5)]
          for round in range(3):
            copies = [os.dup(f) for f in files for _ in range(8)] + [os.dup(2) for _ in range(20)]
            time.sleep(0.4)
            child = subprocess.Popen(['sleep', '0.4'], pass_fds=copies)
            child.wait()
            for f in copies: os.close(f)
            time.sleep(0.3)
          """,
        ])
      #expect(r.ended.code == 0, "\(r.ended.errors)")
      #expect(r.report.uncovered.isEmpty)
      #expect(try r.report.row("numfile").status == "exact")
      r.within()
    }

    /// The kernel lets one mapping pass: it is counted in full, and nothing follows it.
    @Test func whatPassesTheLeaseIsCounted() throws {
      let s = try Scratch()
      let r = try bcrun(["--privvmpages", "64M"], [golike(s, "-static"), "0", "16", "over"])
      #expect(
        r.ended["mapped"] == "16" && r.ended["committed"] == "1" && r.ended["more"] == "-12",
        "\(r.ended.output)")
      #expect(try r.report.row("privvmpages").maxheld >= 1 << 18)
      r.returned()
    }

    @Test func coveredProgramsAreNotNamed() throws {
      #expect(
        try bcrun(ample, ["bash", "-c", "true; ls / | wc -l >/dev/null"]).report.uncovered.isEmpty)
    }
  }
}
