import Foundation
import Testing

extension RealPrograms {
  /// The limit of physpages: what is in RAM is held to it, not what is reserved.
  @Suite struct PhysicalLimit {
    private static let mib = 256
    private static let limit = 64 * mib
    private let scratch: Scratch
    private let resident: String

    init() throws {
      scratch = try Scratch()
      resident = "\(scratch.path)/resident"
      let compiled = try run([tool("gcc"), "-O1", "-o", resident, program("resident.c")])
      #expect(compiled.code == 0, "\(compiled.errors)")
    }

    private func limited(_ arguments: String..., bounds: [String] = ["--physpages", "64M"]) throws
      -> Run
    {
      try bcrun(bounds, [resident] + arguments)
    }

    /// By the program's own page table at the moment of the refusal: one more piece would not have
    /// fitted.
    @Test(arguments: [
      ["--physpages", "64M"], ["--physpages", "0:64M"],
      ["--physpages", ":64M", "--privvmpages", "1G"],
    ])
    func growthIsRefusedAtTheLimitAndNotBefore(_ bounds: [String]) throws {
      let r = try limited("grow", bounds: bounds)
      #expect(r.ended.code == 0, "\(r.ended.errors)")
      let first = r.ended.number("first"), pages = r.ended.number("resident")
      #expect(pages <= PhysicalLimit.limit)
      // One piece, and what the lease holds beyond what is mapped.
      #expect(pages > PhysicalLimit.limit - 3 * PhysicalLimit.mib)
      #expect(r.ended.number("again") >= first / 2, "what was given back is there again")
      try r.refused("physpages", 2, errno: "ENOMEM")
      // Pages of the C library that the program comes to need after it was refused are not refused.
      #expect(try r.report.row("physpages").maxheld <= PhysicalLimit.limit + PhysicalLimit.mib)
    }

    @Test func aHeapIsHeldToo() throws {
      let r = try limited("heap")
      let pages = r.ended.number("resident")
      #expect(PhysicalLimit.limit - 3 * PhysicalLimit.mib...PhysicalLimit.limit ~= pages)
      try r.refused("physpages", errno: "ENOMEM")
    }

    @Test func whatIsReservedAndNotTouchedDoesNotCount() throws {
      let r = try limited("reserve", "640")
      #expect(r.ended.number("reserved") == 640)
      #expect(0..<8 * PhysicalLimit.mib ~= r.ended.number("resident"))
      r.within()
    }

    @Test func pagesThatAForkLeavesToBothCountOnce() throws {
      let r = try limited("fork", "35", "20")
      #expect(
        r.ended.number("before") == 35 && r.ended.number("after") == 20
          && r.ended.number("child") == 0)
      r.within()
    }

    @Test func severalAreHeldTogether() throws {
      let r = try limited("pair")
      let pages = r.ended.number("leftpages") + r.ended.number("rightpages")
      #expect(
        PhysicalLimit.limit - 8 * PhysicalLimit.mib...PhysicalLimit.limit ~= pages,
        "\(r.ended.output)")
      try r.refused("physpages", errno: "ENOMEM")
    }

    /// Pages are counted while somebody needs it; then leases grow in large steps again, and few
    /// ask.
    @Test func itGoesBackToTheFastWay() throws {
      let r = try limited("back", "100", "10000")
      #expect(r.ended.number("child") == 0 && r.ended.number("steps") == 10000)
      r.within()
      let switches = try #require(r.report.switches)
      #expect((switches["toSlow"] ?? 0) >= 1 && switches["toFast"] == switches["toSlow"])
      #expect(r.report.requests < 9000)
    }

    @Test func withoutALimitNothingIsLeased() throws {
      let limits = try bcrun(["--physpages", "0:unlimited"], [tool("cat"), "/proc/self/limits"])
      let bare = try run([tool("cat"), "/proc/self/limits"])
      func data(_ text: String) -> Substring? {
        text.split(separator: "\n").first { $0.hasPrefix("Max data size") }
      }
      #expect(data(limits.ended.output) == data(bare.output))
      limits.within()
    }

    /// Whether this machine has swap, and we may page others out: by its own figures.
    private var canReclaim: Bool {
      let swaps = text(at: "/proc/swaps").split(separator: "\n").count > 1
      let status = text(at: "/proc/self/status").split(separator: "\n")
      let effective =
        status.first { $0.hasPrefix("CapEff:") }.flatMap {
          UInt64($0.split(separator: "\t").last ?? "", radix: 16)
        } ?? 0
      return swaps && effective >> 23 & 1 == 1
    }

    /// Where there is swap: who sleeps makes room for who grows, and finds what it had.
    /// Where there is none: that is said before anything runs, and nothing is made.
    @Test func whoSleepsIsPagedOutOrThatIsRefused() throws {
      let bounds = ["--physpages", "64M"], reclaim = ["--on-physpages", "reclaim"]
      let without = try limited("sleeper", "40", "40", bounds: bounds + ["--on-physpages=refuse"])
      #expect(without.ended.number("slept") == 40 && without.ended.number("wrong") == 0)
      #expect(16..<28 ~= without.ended.number("grown"), "\(without.ended.output)")
      try without.refused("physpages", 1, errno: "ENOMEM")
      let bcd = try Bcd()
      guard canReclaim else {
        let refused = try run(["\(repository)/bcrun"] + bounds + reclaim + [resident, "grow"])
        #expect(refused.code == 125 && refused.output.isEmpty)
        #expect(refused.errors.hasPrefix("bcrun: --on-physpages reclaim: "), "\(refused.errors)")
        #expect(refused.errors.contains("--on-physpages refuse is accepted"))
        let shared = try bcd.bcctl(
          "create", "web", "physpages=:64M", "--on-physpages", "reclaim")
        #expect(shared.code == 1 && shared.errors.contains("on-physpages reclaim: "))
        #expect(try bcd.lines("list", "-H").isEmpty)
        return
      }
      let with = try limited("sleeper", "40", "40", bounds: bounds + reclaim)
      #expect(with.ended.number("slept") == 40 && with.ended.number("wrong") == 0)
      #expect(with.ended.number("grown") == 40 && with.ended.number("child") == 0)
      with.within()
      let paged = try #require(with.report.reclaims)
      #expect((paged["times"] ?? 0) >= 1 && (paged["pages"] ?? 0) >= 15 * PhysicalLimit.mib)
      #expect(try with.report.row("swappages").maxheld >= 15 * PhysicalLimit.mib)
      // Who is awake is not paged out: the one that grows, and one that is busy.
      let alone = try limited("grow", bounds: bounds + reclaim)
      #expect(alone.ended.number("resident") <= PhysicalLimit.limit)
      try alone.refused("physpages", 2, errno: "ENOMEM")
      #expect(alone.report.reclaims?["times"] == 0)
      _ = try bcd.lines("create", "web", "physpages=:64M", "--on-physpages", "reclaim")
      let entered = try bcd.bcctl("enter", "web", "--", resident, "sleeper", "40", "40")
      #expect(entered.number("grown") == 40 && entered.number("wrong") == 0)
      #expect(try bcd.lines("show", "web").contains { $0.contains(" out in ") })
      #expect(
        try bcd.lines("events").contains {
          $0.contains("reclaim") && $0.contains("of resident out")
        })
      // swappages bounds what may be paged out.
      let little = try limited(
        "sleeper", "40", "40", bounds: bounds + reclaim + ["--swappages", ":1M", "--best-effort"])
      #expect(16..<28 ~= little.ended.number("grown"))
      #expect(try little.report.row("swappages").maxheld <= PhysicalLimit.mib)
    }

    @Test func withoutALimitThereIsNothingToReclaimFor() throws {
      for bounds in [[], ["--physpages", "0:unlimited"]] {
        let refused = try run(
          ["\(repository)/bcrun"] + bounds + ["--on-physpages", "reclaim", "true"])
        #expect(refused.code == 125)
        #expect(refused.errors.contains("physpages has no limit; give one"), "\(refused.errors)")
      }
    }

    /// A limit that is set, lowered and lifted while it runs.
    @Test func theLimitCanBeChanged() throws {
      let bcd = try Bcd()
      _ = try bcd.lines("create", "web")
      let fifo = "\(scratch.path)/fifo"
      #expect(mkfifo(fifo, 0o600) == 0)
      let child = try Child(
        [
          "bash", "-c", #"exec "$1" enter web -- "$2" steps <> "$3""#, "bash",
          "\(Bcd.release)/bcctl", resident, fifo,
        ],
        env: ["BC_SERVER": bcd.socket])
      let pipe = try #require(FileHandle(forWritingAtPath: fifo))
      var answers = 0
      func step() throws -> String {
        pipe.write(Data("\n".utf8))
        answers += 1
        try child.until("answer \(answers)") {
          child.output.split(separator: "\n").count >= answers
        }
        return String(child.output.split(separator: "\n")[answers - 1])
      }
      for _ in 0..<8 { #expect(try step() == "got") }
      _ = try bcd.lines("set", "web", "physpages=0:4M")
      // What the lease had to spare is used up first.
      var tries = 1
      while try step() == "got", tries < 8 { tries += 1 }
      #expect(tries < 4)
      #expect(try step() == "refused")
      _ = try bcd.lines("set", "web", "physpages=0:64M")
      for _ in 0..<8 { #expect(try step() == "got") }
      _ = try bcd.lines("set", "web", "physpages=0:unlimited")
      for _ in 0..<80 { #expect(try step() == "got") }
      #expect(try Int(bcd.field("web", "physpages.f") ?? "") == 2)
      child.kill(SIGKILL)
      _ = try child.wait()
    }
  }
}
