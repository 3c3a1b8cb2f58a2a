import Foundation
import Testing

extension RealPrograms {
  /// Every row of the shim's table, driven by a program that is made from that table.
  @Suite struct Rows {
    let scratch: Scratch

    init() throws { scratch = try Scratch() }

    private func compiled(_ source: String) throws -> String {
      let made = "\(scratch.path)/\(URL(filePath: source).deletingPathExtension().lastPathComponent)"
      let compiler = try run([
        tool("gcc"), "-std=gnu17", "-O1", "-Wall", "-Wextra", "-Werror", "-I", "\(repository)/Sources/Wire/include", "-I",
        "\(repository)/Shim", "-o", made, source,
      ])
      try #require(compiler.code == 0, "\(compiler.errors)")
      return made
    }

    /// Made, refused by the kernel, denied: the result and errno are those of a bare run, nothing stays charged, and at
    /// the barrier each fails as it should.
    @Test func eachIsMadeRefusedAndDenied() throws {
      let rows = try compiled(program("rows/rows.c"))
      let bare = try run([rows])
      #expect(bare.code == 0, "\(bare.output)")
      #expect(bare.lines.count > 120)
      let barrier = 40
      let counted = try bcrun(["--numfile", "\(barrier)"], [rows, "\(barrier)"])
      #expect(counted.ended.code == 0, "\(counted.ended.output)")
      #expect(counted.ended.output == bare.output)
      try counted.refused("numfile", errno: "ENFILE")
      #expect(try counted.report.row("numfile").maxheld == barrier)
    }

    /// No function of the installed C library that obtains something is missing from the table.
    @Test func theTableIsWhole() throws {
      let check = try run(["\(repository)/Tests/check-table"])
      #expect(check.code == 0, "\(check.output)\(check.errors)")
    }
  }
}
