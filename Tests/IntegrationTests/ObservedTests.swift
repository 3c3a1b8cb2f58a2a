import Foundation
import Testing

extension RealPrograms {
  /// Rows that no call is refused for, and the two guarantees.
  @Suite struct Seen {
    private let seenOnly = [
      "kmemsize", "physpages", "oomguarpages", "tcpsndbuf", "tcprcvbuf", "othersockbuf", "dgramrcvbuf", "dcachesize",
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
      // A process has a task, a stack of 16 KiB, and page tables of its memory: 8 bytes a page, unless pages are huge.
      #expect(32768...4_000_000 ~= kernel.maxheld)
      #expect(try r.report.row("dcachesize").maxheld < kernel.maxheld, "charged to both")
      #expect(try r.report.row("numiptent").status == "unseen")
      #expect(try r.report.row("vmguarpages").status == "exact")
    }

    /// A run that is over before anybody looked says so; of its memory the kernel keeps the peak.
    @Test func aShortRunIsNot() throws {
      let r = try bcrun([], [tool("python3"), program("seen.py"), "0", "100", "50000"])
      r.within()
      for name in ["kmemsize", "othersockbuf", "dcachesize", "swappages"] {
        let row = try r.report.row(name)
        // A machine so slow that python took half a second has been looked at.
        #expect(row.status == "unseen" && row.maxheld == 0 || r.report.rows["othersockbuf"]?.status == "view", "\(name)")
      }
      #expect(100 * 256...200 * 256 ~= (try r.report.row("physpages").maxheld))
      #expect(try r.report.row("physpages").status == "estimate")
    }

    @Test func aBarrierOfAGuaranteeIsNoBarrierThatWasPassed() throws {
      let r = try bcrun(
        ["--oomguarpages", "1M", "--fail-on", "barrier"], [tool("python3"), program("seen.py"), "0", "50", "1"])
      #expect(r.ended.code == 0)
      #expect(try r.report.row("oomguarpages").maxheld > 256)
    }

    @Test func bcctlShowsThem() throws {
      let bcd = try Bcd()
      _ = try bcd.lines("create", "seen")
      _ = try bcd.lines("create", "below", "--parent", "seen")
      let child = try Child(
        ["\(Bcd.release)/bcctl", "enter", "below", "--", tool("python3"), program("seen.py"), "1000", "100", "50000"],
        env: ["BC_SERVER": bcd.socket])
      try child.until("holder") { child.output.contains("ready") }
      for name in ["seen", "below"] {
        let shown = try #require(try bcd.object("show", name, "--json")["resources"] as? [[String: Any]])
        let rows = Dictionary(uniqueKeysWithValues: shown.map { ($0["resource"] as? String ?? "", $0) })
        for row in seenOnly { #expect(rows[row]?["status"] as? String != "unseen", "\(row)") }
        #expect((rows["physpages"]?["held"] as? Int ?? 0) >= 100 * 256)
        #expect(rows["physpages"]?["status"] as? String == "view")
        #expect((rows["othersockbuf"]?["held"] as? Int ?? 0) >= 50000)
        #expect(try Int(bcd.field(name, "physpages") ?? "") ?? 0 >= 100 * 256)
        #expect(try bcd.lines("holders", name, "physpages").contains { $0.contains("\(child.pid)") })
      }
      let file = try bcd.lines("beancounters", "below")
      let line = try #require(file.first { $0.contains("physpages") }).split(separator: " ")
      #expect((Int(line[1]) ?? 0) >= 100 * 256)
      child.kill(SIGTERM)
      #expect(try child.wait().signal == SIGTERM)
      let end = try #require(try bcd.object("show", "seen", "--json")["resources"] as? [[String: Any]])
      for row in end where seenOnly.contains(row["resource"] as? String ?? "") {
        #expect(row["held"] as? Int == 0, "\(row)")
      }
      #expect(try Int(bcd.field("seen", "physpages.m") ?? "") ?? 0 >= 100 * 256)
      try bcd.end()
    }

    @Test(arguments: [0, 150]) func whoHasMoreThanIsGuaranteedIsKilledFirst(own: Int) throws {
      let size = 300
      let r = try bcrun(["--oomguarpages", "60M"], [tool("python3"), program("badness.py"), "\(own)", "\(size)"])
      #expect(r.ended.lines.filter { !$0.hasPrefix("shares") }.map(String.init) == [
        "below: True", "above: True", "child: True", "below again: True", "child again: True",
      ])
      // The excess as a share of the machine: 240 MiB and what python has, in thousandths, rounded up.
      let share = r.ended.number("shares:") - own
      #expect(1...(2 * size * 256 * 1000 / machine + 1) ~= share)
    }

    @Test func withoutExcessNothingIsRaised() throws {
      let r = try bcrun(
        ["--oomguarpages", "8G"], ["sh", "-c", "sleep 1.3; cat /proc/self/oom_score_adj /proc/$$/oom_score_adj"])
      let own = text(at: "/proc/self/oom_score_adj")
      #expect(r.ended.output == own + own)
    }

    /// privvmpages below what vmguarpages promises: no refusal up to the promise, and one beyond it.
    @Test func guaranteedMemoryIsNotRefused() throws {
      let python = try tool("python3")
      let bare = try bcrun(["--privvmpages", "40M"], [python, program("guaranteed.py"), "300"])
      #expect((Int(bare.ended.output.dropLast()) ?? -1) < 40)
      let r = try bcrun(["--privvmpages", "40M", "--vmguarpages", "120M"], [python, program("guaranteed.py"), "300"])
      let got = Int(r.ended.output.dropLast()) ?? -1
      #expect(80...120 ~= got)
      try r.refused("privvmpages", errno: "ENOMEM")
      #expect(try r.report.row("privvmpages").maxheld <= 120 * 256)
      #expect(try r.report.row("vmguarpages").maxheld == 0)
      try bcrun(["--privvmpages", "40M", "--vmguarpages", "120M"], [python, program("guaranteed.py"), "60"]).within()
    }
  }
}
