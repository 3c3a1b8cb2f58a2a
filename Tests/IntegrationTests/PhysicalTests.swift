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
