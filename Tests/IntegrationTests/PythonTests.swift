import Testing

extension RealPrograms {
  @Suite struct Python {
    let python: String

    init() throws { python = try tool("python3") }

    @Test(
      "49: CPython bare and counted; PostgreSQL, node, Java, git, gcc, nginx, redis: see their suites"
    ) func withinItsLimitsNobodyCanTell() throws {
      let r = try same(
        [
          "--numfile", "60", "--numproc", "20", "--numtcpsock", "5", "--numothersock", "5",
          "--privvmpages", "600M",
        ],
        [python, program("work.py")])
      #expect(try r.report.row("numfile").maxheld >= 30)
      #expect(try r.report.row("numproc").maxheld >= 7)
      #expect(try r.report.row("privvmpages").maxheld >= 64 * 256)  // 96 MiB, to within one lease
      #expect(r.report.uncovered.isEmpty)
    }

    @Test func filesToTheUnit() throws {
      let r = try bcrun(["--numfile", "40"], [python, program("files.py"), "40"])
      #expect(r.ended.code == 0, "\(r.ended.errors)")
      #expect(r.ended["opened"] == "40")
      #expect(r.ended["numbers"] == "True")
      #expect(r.ended["exact"] == "True")
      #expect(r.ended["unlisted"] == "1")
      #expect(r.ended["dup"] == "43")
      #expect(r.ended["after-close"] == "True None")
      #expect(r.ended["shared"] == "None")
      #expect(r.ended["unshared"] == "True None")
      #expect(r.ended["pipe"] == "None")
      #expect(r.ended["one"] == "True")
      #expect(try r.report.row("numfile").maxheld == 40)
      try r.refused("numfile", r.ended.number("refused"), errno: "ENFILE")
    }

    @Test func barrierBelowLimitRefusesAtTheBarrier() throws {
      let r = try bcrun(["--numfile", "40:60"], [python, program("files.py"), "40"])
      #expect(r.ended["opened"] == "40")
      #expect(try r.report.row("numfile").barrier == 40)
      #expect(try r.report.row("numfile").limit == 60)
      #expect(try r.report.row("numfile").maxheld == 40)
      try r.refused("numfile", r.ended.number("refused"), errno: "ENFILE")
    }

    @Test func memoryToThePage() throws {
      let bound = 256 << 10
      let bare = try ulimit("-d", bound, [python, program("memory.py"), "\(bound)"])
      let r = try bcrun(["--privvmpages", "256M"], [python, program("memory.py"), "\(bound)"])
      for e in [bare, r.ended] {
        #expect(e.code == 0, "\(e.errors)")
        #expect(e["wrong"] == "[]")
        #expect(e.number("refused") > 50)
        #expect(e.number("unclear") <= 5)
        #expect(e.number("filled") == 0)
        #expect(e.number("peak") == bound)
        #expect(0...4096 ~= e.number("MemoryError"))
        #expect(e["fork-after"] == "0")
        #expect(e["again"] == "100")
      }
      #expect(r.ended["fork"] == "12")
      let row = try r.report.row("privvmpages")
      #expect(row.maxheld <= bound / 4)
      #expect(row.maxheld > bound / 4 - 1024)
      try r.refused("privvmpages", errno: "ENOMEM")
    }

    @Test func memoryOfATree() throws {
      let bound = 256 << 10
      let r = try bcrun(["--privvmpages", "256M"], [python, program("memtree.py"), "\(bound)"])
      #expect(r.ended.code == 0, "\(r.ended.errors)")
      #expect(r.ended["errnos"] == "[12, 12, 12, 12]")
      #expect(1...bound ~= r.ended.number("most"))
      // a step of 1 MiB did not fit; the interpreter may have let go of one
      #expect(0..<2048 ~= r.ended.number("room"))
      #expect(try r.report.row("privvmpages").maxheld <= bound / 4)
      try r.refused("privvmpages", errno: "ENOMEM")
    }

    @Test func smallBlocksAskRarely() throws {
      let s = try Scratch()
      try #require(
        run([tool("gcc"), "-O1", "-o", "\(s.path)/blocks", program("blocks.c")]).code == 0)
      let r = try same(["--privvmpages", "2G"], ["\(s.path)/blocks", "1024"])
      #expect(r.report.requests <= 20)
    }

    @Test func threadsAndProcessesToTheUnit() throws {
      let r = try bcrun(["--numproc", "10"], [python, program("tasks.py"), "10"])
      #expect(r.ended.code == 0, "\(r.ended.errors)")
      #expect(r.ended["threads"] == "9")
      #expect(r.ended["thread-refused"] == "can't start new thread")
      #expect(r.ended["thread-exact"] == "True")
      #expect(r.ended["thread-again"] == "True")
      #expect(r.ended["children"] == "9")
      #expect(r.ended["zombie"] == "False")
      #expect(r.ended["reaped"] == "True False")
      #expect(r.ended["errnos"] == "[11]")
      #expect(try r.report.row("numproc").maxheld == 10)
      try r.refused("numproc", r.ended.number("refused"), errno: "EAGAIN")
    }

    @Test func sockets() throws {
      let r = try bcrun(
        ["--numtcpsock", "5", "--numothersock", "7"], [python, program("sockets.py"), "5", "7"])
      #expect(r.ended.code == 0, "\(r.ended.errors)")
      let inet6 = r.ended["AF_INET6"]
      #expect(inet6 == nil || inet6 == "True ENOBUFS")
      #expect(r.ended["AF_INET True"] == "ENOBUFS")
      #expect(r.ended["AF_UNIX SOCK_STREAM True"] == "ENOMEM")
      #expect(r.ended["AF_INET SOCK_DGRAM True"] == "ENOBUFS")
      #expect(r.ended["pair"] == "ENOMEM")
      #expect(r.ended["first"] == "b'0'")
      #expect(r.ended.lines.filter { $0 == "accept ENFILE" }.count == 2)
      #expect(r.ended.lines.filter { $0.hasPrefix("then") } == ["then b'1'", "then b'2'"])
      let tcp = try r.report.row("numtcpsock")
      #expect(tcp.failcnt == r.ended.number("refused-tcp"))
      #expect(tcp.maxheld == 5)
      let other = try r.report.row("numothersock")
      #expect(other.failcnt == r.ended.number("refused-other"))
      #expect(other.maxheld == 7)
      r.returned()
    }

    @Test(arguments: [true, false]) func treeOfFiftyKilledAtRandom(tight: Bool) throws {
      let r = try bcrun(
        ["--numproc", tight ? "200" : "500"],
        [python, program("tree.py"), "20"] + (tight ? ["200"] : []), timeout: 120)
      #expect(r.ended.code == 0, "\(r.ended.errors.suffix(2000))")
      #expect(r.ended["counts"] == "True")
      #expect(r.ended["peak"] == "200")
      #expect(r.ended["refused"] == (tight ? "20" : "0"))
      #expect(try r.report.row("numproc").maxheld == 200)
      if tight { try r.refused("numproc", 20, errno: "EAGAIN") } else { r.within() }
    }
  }
}
