import Foundation
import Testing

extension RealPrograms {
  /// Rows that no call is refused for, and the two guarantees.
  @Suite struct Seen {
    private let seenOnly = [
      "kmemsize", "physpages", "oomguarpages", "tcpsndbuf", "tcprcvbuf", "othersockbuf",
      "dgramrcvbuf", "dcachesize",
      "swappages",
    ]
    private let machine = Int(sysconf(Int32(_SC_PHYS_PAGES)))

    @Test func aRunThatIsLongEnoughIsLookedAt() throws {
      let r = try bcrun([], [tool("python3"), program("seen.py"), "1.2", "100", "50000"])
      r.within()
      let pages = try r.report.row("physpages")
      #expect(100 * 256...200 * 256 ~= pages.maxheld)
      #expect(["view", "estimate"].contains(pages.status))
      #expect(try r.report.row("oomguarpages").maxheld >= pages.maxheld)
      #expect(50000...500_000 ~= (try r.report.row("othersockbuf").maxheld))
      #expect(try r.report.row("othersockbuf").status == "view")
      #expect(try r.report.row("tcpsndbuf").maxheld == 0)
      let kernel = try r.report.row("kmemsize")
      #expect(kernel.status == "estimate")
      // A process has a task, a stack of 16 KiB, and page tables of its memory: 8 bytes a page,
      // unless pages are huge.
      #expect(32768...4_000_000 ~= kernel.maxheld)
      #expect(try r.report.row("dcachesize").maxheld < kernel.maxheld, "charged to both")
      #expect(try r.report.row("numiptent").status == "unseen")
      #expect(try r.report.row("vmguarpages").status == "exact")
    }

    /// A run that is over before anybody looked says so; of its memory the kernel keeps the peak.
    @Test func aShortRunIsNot() throws {
      let start = Date()
      let r = try bcrun([], [tool("python3"), program("seen.py"), "0", "100", "50000"])
      // Not on a machine that is busy with something else
      let wasShort = Date().timeIntervalSince(start) < 0.45
      r.within()
      for name in ["kmemsize", "othersockbuf", "dcachesize", "swappages"] {
        let row = try r.report.row(name)
        #expect(!wasShort || row.status == "unseen" && row.maxheld == 0, "\(name)")
      }
      #expect(100 * 256...200 * 256 ~= (try r.report.row("physpages").maxheld))
      #expect(try r.report.row("physpages").status == "estimate")
    }

    @Test func aBarrierOfAGuaranteeIsNoBarrierThatWasPassed() throws {
      let r = try bcrun(
        ["--oomguarpages", "1M", "--fail-on", "barrier"],
        [tool("python3"), program("seen.py"), "0", "50", "1"])
      #expect(r.ended.code == 0)
      #expect(try r.report.row("oomguarpages").maxheld > 256)
    }

    private func rows(_ bcd: Bcd, _ name: String) throws -> [String: [String: Any]] {
      let shown = try #require(
        try bcd.object("show", name, "--json")["beancounter"] as? [String: Any])
      let rows = try #require(shown["resources"] as? [[String: Any]])
      return Dictionary(uniqueKeysWithValues: rows.map { ($0["resource"] as? String ?? "", $0) })
    }

    /// CAP_SYS_RESOURCE is bit 24 (linux/capability.h).
    private static let mayForbidKilling =
      text(at: "/proc/self/status").split(separator: "\n").first { $0.hasPrefix("CapEff:") }
      .flatMap { UInt64($0.dropFirst(7).drop { $0 == "\t" }, radix: 16) }.map { $0 >> 24 & 1 == 1 }
      ?? false

    private func badness(_ child: Child) -> Int? {
      Int(
        text(at: "/proc/\(child.pid)/oom_score_adj").trimmingCharacters(in: .whitespacesAndNewlines)
      )
    }

    @Test func bcctlShowsThem() throws {
      let bcd = try Bcd()
      _ = try bcd.lines("create", "seen")
      _ = try bcd.lines("create", "below", "--parent", "seen")
      let child = try Child(
        [
          "\(Bcd.release)/bcctl", "enter", "below", "--", tool("python3"), program("seen.py"),
          "1000", "100", "50000",
        ],
        env: ["BC_SERVER": bcd.socket])
      try child.until("holder") { child.output.contains("ready") }
      for name in ["seen", "below"] {
        let rows = try rows(bcd, name)
        for row in seenOnly { #expect(rows[row]?["status"] as? String != "unseen", "\(row)") }
        #expect((rows["physpages"]?["held"] as? Int ?? 0) >= 100 * 256)
        #expect(rows["physpages"]?["status"] as? String == "view")
        #expect((rows["othersockbuf"]?["held"] as? Int ?? 0) >= 50000)
        #expect(try Int(bcd.field(name, "physpages") ?? "") ?? 0 >= 100 * 256)
        #expect(
          try bcd.lines("holders", name, "physpages").contains { $0.contains("\(child.pid)") })
      }
      let file = try bcd.lines("beancounters", "below")
      let line = try #require(file.first { $0.contains("physpages") }).split(separator: " ")
      #expect((Int(line[1]) ?? 0) >= 100 * 256)
      // A guarantee acts, and ends, when it is set; also that of a beancounter above.
      let own = badness(child)
      for name in ["below", "seen"] {
        _ = try bcd.lines("set", name, "oomguarpages=60M:")
        #expect(badness(child) ?? 0 > own ?? 0, "\(name)")
        _ = try bcd.lines("set", name, "oomguarpages=unlimited")
        #expect(badness(child) == own, "\(name)")
      }
      child.kill(SIGTERM)
      #expect(try child.wait().signal == SIGTERM)
      let end = try rows(bcd, "seen")
      for row in seenOnly { #expect(end[row]?["held"] as? Int == 0, "\(row)") }
      #expect(try Int(bcd.field("seen", "physpages.m") ?? "") ?? 0 >= 100 * 256)
      try bcd.end()
    }

    @Test(arguments: [0, 150]) func whoHasMoreThanIsGuaranteedIsKilledFirst(own: Int) throws {
      let size = 300
      let r = try bcrun(
        ["--oomguarpages", "60M"], [tool("python3"), program("badness.py"), "\(own)", "\(size)"])
      #expect(
        r.ended.lines.filter { !$0.hasPrefix("shares") }.map(String.init) == [
          "below: True", "above: True", "child: True", "below again: True", "child again: True",
        ])
      // The excess as a share of the machine: 240 MiB and what python has, in thousandths, rounded
      // up.
      let share = r.ended.number("shares:") - own
      #expect(1...(2 * size * 256 * 1000 / machine + 1) ~= share)
    }

    /// −1000 forbids the kernel to kill it, and stays.
    @Test(.enabled(if: mayForbidKilling, "needs CAP_SYS_RESOURCE"))
    func whatMustNotBeKilledIsLeftAlone() throws {
      let script = """
        import time
        with open("/proc/self/oom_score_adj", "w") as f: f.write("-1000")
        memory = bytearray(b"x") * (200 << 20)
        time.sleep(1.3)
        print(open("/proc/self/oom_score_adj").read().strip())
        """
      let r = try bcrun(["--oomguarpages", "20M"], [tool("python3"), "-c", script])
      #expect(r.ended.output == "-1000\n")
      #expect(try r.report.row("oomguarpages").maxheld > 200 * 256)
    }

    @Test func withoutExcessNothingIsRaised() throws {
      let r = try bcrun(
        ["--oomguarpages", "8G"],
        ["sh", "-c", "sleep 1.3; cat /proc/self/oom_score_adj /proc/$$/oom_score_adj"])
      let own = text(at: "/proc/self/oom_score_adj")
      #expect(r.ended.output == own + own)
    }

    /// A guarantee is kept as far as the beancounter above has room.
    @Test func guaranteedMemoryIsBoundedFromAbove() throws {
      let bcd = try Bcd()
      _ = try bcd.lines("create", "above", "privvmpages=90M")
      _ = try bcd.lines(
        "create", "child", "--parent", "above", "privvmpages=40M", "vmguarpages=200M")
      let got = try bcd.lines(
        "enter", "child", "--", tool("python3"), program("guaranteed.py"), "300"
      ).last
      #expect(45...90 ~= got.flatMap { Int($0) } ?? -1)
      #expect(try bcd.field("above", "privvmpages.f") == "1")
      #expect(try bcd.field("child", "privvmpages.f") == "0")
      try bcd.end()
    }

    /// privvmpages below what vmguarpages promises: no refusal up to the promise, and one beyond
    /// it.
    @Test func guaranteedMemoryIsNotRefused() throws {
      let python = try tool("python3")
      let bare = try bcrun(["--privvmpages", "40M"], [python, program("guaranteed.py"), "300"])
      #expect((Int(bare.ended.output.dropLast()) ?? -1) < 40)
      let r = try bcrun(
        ["--privvmpages", "40M", "--vmguarpages", "120M"],
        [python, program("guaranteed.py"), "300"])
      let got = Int(r.ended.output.dropLast()) ?? -1
      #expect(80...120 ~= got)
      try r.refused("privvmpages", errno: "ENOMEM")
      #expect(try r.report.row("privvmpages").maxheld <= 120 * 256)
      #expect(try r.report.row("vmguarpages").maxheld == 0)
      try bcrun(
        ["--privvmpages", "40M", "--vmguarpages", "120M"], [python, program("guaranteed.py"), "60"]
      ).within()
    }
  }
}
