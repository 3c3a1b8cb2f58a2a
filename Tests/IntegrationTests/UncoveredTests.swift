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
        ["--privvmpages", "256M", "--numproc", "10"], ["bash", "-c", "\(busybox) echo from inside; echo after"])
      #expect(r.ended.output == "from inside\nafter\n")
      #expect(r.report.uncovered.map(\.reason) == ["static"])
      r.within()
    }

    @Test func rawSystemCallsAreHeldToTheMemoryBound() throws {
      let s = try Scratch()
      let made = try run([
        tool("gcc"), "-O1", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-o", "\(s.path)/raw",
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

    @Test func coveredProgramsAreNotNamed() throws {
      #expect(try bcrun(ample, ["bash", "-c", "true; ls / | wc -l >/dev/null"]).report.uncovered.isEmpty)
    }
  }
}
