import Foundation
import Testing

extension RealPrograms {
  /// Members that cross a barrier they share as fast as they can, in each mode and with the switch
  /// between them (Sources/Server/Slow.swift).
  @Suite struct Boundary {
    static let modes = ["fast", "slow", ""]

    /// Each holds four; `room` is what fits beyond that.
    private func cross(
      _ members: Int, room: Int, _ how: String, mode: String, seconds: Double = 0.5
    ) throws -> Run {
      let scratch = try Scratch()
      let boundary = "\(scratch.path)/boundary"
      let compiled = try run([
        tool("gcc"), "-std=gnu17", "-O2", "-pthread", "-o", boundary, program("boundary.c"),
      ])
      #expect(compiled.code == 0, "\(compiled.errors)")
      let r = try bcrun(
        ["--numfile", "\(4 * members + 1 + room)"],
        [boundary, "\(members)", "4", "\(seconds)", "\(members)", how],
        env: mode.isEmpty ? [:] : ["BC_MODE": mode], timeout: 120)
      #expect(r.ended.code == 0, "\(r.ended.errors)")
      return r
    }

    private func number(_ word: String, _ r: Run) -> Int {
      let words = r.ended.output.split(whereSeparator: \.isWhitespace)
      return words.firstIndex(of: Substring(word)).flatMap { Int(words[$0 + 1]) } ?? -1
    }

    /// As many at a time have one more file as there is room for, to the unit, whoever has the
    /// credit.
    @Test(arguments: modes, [(2, 1), (8, 4), (8, 1), (100, 50)])
    func nobodyIsRefusedWhatFits(mode: String, size: (members: Int, room: Int)) throws {
      let r = try cross(size.members, room: size.room, "fits\(size.room)", mode: mode)
      #expect(number("refused", r) == 0, "\(r.ended.output)")
      #expect(number("operations", r) > 0)
      let row = try r.report.row("numfile")
      #expect(row.failcnt == 0)
      #expect(row.maxheld <= 4 * size.members + 1 + size.room)
    }

    @Test(arguments: modes, ["around", "cross1", "cross4", "turns20"])
    func everyRefusalIsCountedAndNothingPasses(mode: String, how: String) throws {
      let room = 5
      let r = try cross(8, room: room, how, mode: mode)
      let refused = number("refused", r)
      let row = try r.report.row("numfile")
      #expect(row.failcnt == refused)
      #expect(how == "around" || refused > 0)
      #expect(row.maxheld <= 4 * 8 + 1 + room)
      #expect(row.held == 0)
      let switches = try #require(r.report.switches)
      switch mode {
      case "fast": #expect(switches["toSlow"] == 0)
      case "slow": #expect(switches["toSlow"] == 1 && switches["toFast"] == 0)
      default: break
      }
    }
  }
}
