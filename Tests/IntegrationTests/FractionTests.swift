import Foundation
import Testing

extension RealPrograms {
  /// One file mapped by processes of several beancounters of one server.
  @Suite struct PageFractions {
    private static let pages = 32768
    /// What a process has of its own, and of libraries: some hundred pages.
    private static let others = 1200

    private func held(_ bcd: Bcd, _ number: Int) throws -> Int {
      let shown = try #require(
        try bcd.object("show", "b\(number)", "--json")["beancounter"] as? [String: Any])
      let rows = try #require(shown["resources"] as? [[String: Any]])
      return try #require(rows.first { $0["resource"] as? String == "physpages" }?["held"] as? Int)
    }

    /// The halving rule as the kernels had it, arrival by arrival and in an order of leaving of its
    /// own (ubc-reference §5.1).
    @Test func aPageIsSplitAmongThoseThatHaveIt() throws {
      let bcd = try Bcd()
      let scratch = try Scratch()
      let compiled = try run([
        tool("gcc"), "-O1", "-o", "\(scratch.path)/share", program("share.c"),
      ])
      #expect(compiled.code == 0, "\(compiled.errors)")
      let file = "\(scratch.path)/file"
      _ = FileManager.default.createFile(
        atPath: file, contents: Data(repeating: 1, count: PageFractions.pages * 4096))
      var children: [Int: Child] = [:]

      /// `shares`: the exponent s of 2^-s for each that is there.
      func expect(_ shares: [Int: Int]) throws {
        for (number, shift) in shares.sorted(by: { $0.key < $1.key }) {
          let pages = try held(bcd, number), least = PageFractions.pages >> shift
          #expect(least...least + PageFractions.others ~= pages, "b\(number) of \(shares)")
        }
        for number in 1...5 where shares[number] == nil && children[number] == nil {
          if try bcd.lines("list", "-H", "-o", "name").contains("b\(number)") {
            #expect(try held(bcd, number) == 0)
          }
        }
      }
      func arrive(_ number: Int, _ shares: [Int: Int]) throws {
        _ = try bcd.lines("create", "b\(number)")
        let child = try Child(
          ["\(Bcd.release)/bcctl", "enter", "b\(number)", "--", "\(scratch.path)/share", file],
          env: ["BC_SERVER": bcd.socket])
        try child.until("share") { child.output.contains("ready \(PageFractions.pages)") }
        children[number] = child
        try expect(shares)
      }
      func leave(_ number: Int, _ shares: [Int: Int]) throws {
        let child = try #require(children[number])
        children[number] = nil
        child.kill(SIGKILL)
        #expect(try child.wait().signal == SIGKILL)
        try expect(shares)
      }
      try arrive(1, [1: 0])
      try arrive(2, [1: 1, 2: 1])
      try arrive(3, [2: 1, 1: 2, 3: 2])
      try arrive(4, [1: 2, 2: 2, 3: 2, 4: 2])
      try arrive(5, [3: 2, 2: 2, 4: 2, 1: 3, 5: 3])
      try leave(4, [1: 2, 2: 2, 3: 2, 5: 2])
      try leave(1, [2: 1, 5: 2, 3: 2])
      try leave(5, [2: 1, 3: 1])
      try leave(3, [2: 0])
      try leave(2, [:])
      try bcd.end()
    }
  }
}
