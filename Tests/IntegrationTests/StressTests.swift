import Foundation
import Testing

extension RealPrograms {
  /// Trees of processes that do random things and are killed and stopped at random. A failure names
  /// its seed.
  @Suite struct Stress {
    private let things = ["numproc", "numfile", "numtcpsock", "numothersock"]

    private func built(_ scratch: Scratch) throws -> String {
      let compiled = try run([
        tool("gcc"), "-std=gnu11", "-O1", "-pthread", "-o", "\(scratch.path)/stress",
        program("stress.c"),
      ])
      #expect(compiled.code == 0, "\(compiled.errors)")
      return "\(scratch.path)/stress"
    }

    /// The three counts behind `refused`: files, tasks, sockets.
    private func refusals(_ ended: Ended) -> [Int] {
      ended.output.components(separatedBy: " refused ").last?.split(whereSeparator: \.isWhitespace)
        .compactMap { Int($0) } ?? []
    }

    @Test(arguments: 1...4) func nothingIsRefusedOrLostUnderAmpleBounds(seed: Int) throws {
      let scratch = try Scratch()
      let r = try bcrun(ample, [built(scratch), "\(seed)", "500"], timeout: 120)
      #expect(r.ended.code == 0, "seed \(seed): \(r.ended.errors)")
      #expect(refusals(r.ended) == [0, 0, 0], "seed \(seed)")
      for name in things {
        let row = try r.report.row(name)
        #expect(row.failcnt == 0, "seed \(seed): \(name)")
        #expect(row.held == 0, "seed \(seed): \(name)")
      }
    }

    @Test(arguments: 1...4) func boundsHoldAndEveryRefusalIsCounted(seed: Int) throws {
      let scratch = try Scratch()
      let r = try bcrun(
        ["--numfile", "60", "--numproc", "12", "--numtcpsock", "4", "--numothersock", "8"],
        [built(scratch), "\(seed)", "500"], timeout: 120)
      #expect(r.ended.code == 0, "seed \(seed): \(r.ended.errors)")
      let seen = refusals(r.ended)
      try #require(seen.count == 3, "seed \(seed): \(r.ended.output)")
      #expect(seen.reduce(0, +) > 0, "seed \(seed)")
      // A process killed between the answer and its own count was refused without its knowing.
      #expect(try r.report.row("numfile").failcnt >= seen[0], "seed \(seed)")
      #expect(try r.report.row("numproc").failcnt >= seen[1], "seed \(seed)")
      #expect(
        try r.report.row("numtcpsock").failcnt + r.report.row("numothersock").failcnt >= seen[2],
        "seed \(seed)")
      for (name, barrier) in [
        ("numfile", 60), ("numproc", 12), ("numtcpsock", 4), ("numothersock", 8),
      ] {
        let row = try r.report.row(name)
        #expect(row.held == 0, "seed \(seed): \(name)")
        // numfile: descriptors that come by SCM_RIGHTS are charged with FORCE.
        guard name != "numfile" else { continue }
        #expect(row.maxheld <= barrier, "seed \(seed): \(name)")
      }
    }
  }
}
