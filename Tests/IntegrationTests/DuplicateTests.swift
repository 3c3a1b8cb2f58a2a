import Foundation
import Testing

extension RealPrograms {
  /// Threads that duplicate descriptors over each other, and count afterwards what they have.
  @Suite struct Duplicates {
    private func run(_ seed: Int, threads: Int, unsure: Bool, rounds: Int = 60) throws -> Run {
      let scratch = try Scratch()
      let compiled = try IntegrationTests.run([
        tool("gcc"), "-std=gnu11", "-O1", "-pthread", "-o", "\(scratch.path)/duplicates",
        program("duplicates.c"),
      ])
      #expect(compiled.code == 0, "\(compiled.errors)")
      return try bcrun(
        ["--numfile", "150"],
        ["\(scratch.path)/duplicates", "\(seed)", "\(threads)", "\(rounds)", "150"]
          + (unsure ? ["unsure"] : []), timeout: 120)
    }

    @Test(arguments: 1...3, [1, 2, 4]) func asManyFilesFitAsAreLeft(seed: Int, threads: Int) throws
    {
      for unsure in [false, true] {
        let r = try run(seed, threads: threads, unsure: unsure)
        #expect(r.ended.code == 0, "seed \(seed): \(r.ended.errors)")
        #expect(r.ended.output.hasSuffix("wrong 0\n"), "seed \(seed): \(r.ended.errors)")
        let row = try r.report.row("numfile")
        #expect(row.failcnt == 60 && row.held == 0 && row.maxheld == 150, "seed \(seed)")
      }
    }

    /// A process that duplicates and closes knows what is left of it: nobody has to count for it.
    @Test func whoSharesWithNobodyIsSure() throws {
      let r = try run(7, threads: 1, unsure: false)
      #expect(r.ended.code == 0, "\(r.ended.errors)")
      #expect(r.report.recounts < 60)
    }
  }
}
