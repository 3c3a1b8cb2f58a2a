import Beancounters
import Foundation
import Testing

@testable import Command

/// Files of real 64-bit containers: one of 2.6.18-style bounds, one of VSwap.
@Suite struct KernelFiles {
  static let classic = "ct_64bit_ubc_852638.txt"
  static let vswap = "ct_64bit_042stab_vswap_38444.txt"

  @Test(
    "a real file comes out byte for byte from its values",
    arguments: [(classic, Int64(0)), (vswap, .max)])
  func roundTrip(_ file: String, dummyBound: Int64) throws {
    let text = try sample(file)
    let one = try parse(text)
    #expect(one.rows.count == 20)
    #expect(UserBeancounters.text([one], dummyBound: dummyBound) == text)
  }

  @Test("several beancounters follow each other without a second heading") func several() throws {
    let texts = try [KernelFiles.classic, KernelFiles.vswap].map(sample)
    let both = UserBeancounters.text(try texts.map(parse))
    let heading = texts[0].split(separator: "\n").prefix(2)
    #expect(both.split(separator: "\n").prefix(2) == heading)
    #expect(both.split(separator: "\n").count == 2 + 24 + 24)
    #expect(both.contains("\n    38444:  kmemsize                 37136362 "))
    #expect(UserBeancounters.text([]).split(separator: "\n")[...] == heading)
  }

  @Test("/proc/bc/resources has no dummies, and swappages") func resources() throws {
    let text = try sample(KernelFiles.classic)
    var expected = text.split(separator: "\n").filter { !$0.contains("dummy") }.map(String.init)
    let swap = Report.Row(
      resource: .swappages, held: 1, maxheld: 2, bounds: Bounds(barrier: 0, limit: 131072),
      failcnt: 3, status: "view")
    expected.append(
      "            swappages                       1                    2                    0               131072                    3"
    )
    var one = try parse(text)
    one.rows.append(swap)
    #expect(UserBeancounters.resources([one]) == expected.joined(separator: "\n") + "\n")
    // The one beancounter's own file: neither heading nor id.
    let own = expected.dropFirst(2).map {
      $0.replacingOccurrences(of: "   852638:", with: "          ")
    }
    #expect(UserBeancounters.ofOne(one.rows) == own.joined(separator: "\n") + "\n")
  }

  @Test("a resource without a row is under no bound") func missing() {
    let lines = UserBeancounters.text([(id: 7, rows: [])]).split(separator: "\n")
    #expect(
      lines[2]
        == "        7:  kmemsize                        0                    0  9223372036854775807  9223372036854775807                    0"
    )
    #expect(lines.last?.hasPrefix("            numiptent ") == true)
  }

  @Test("nothing negative is printed") func negative() {
    let row = Report.Row(
      resource: .numfile, held: -1, maxheld: -1, bounds: Bounds(), failcnt: 0, status: "estimate")
    #expect(!UserBeancounters.ofOne([row]).contains("-"))
  }

  /// The first line is one of a real ioacct file, whose format vmaux shares.
  @Test func auxiliary() {
    #expect(
      UserBeancounters.auxiliary([("read", 2_773_011_640_320)])
        == "\tread                         2773011640320\n")
    let vmaux = UserBeancounters.vmaux(
      unusedPrivvmpages: 7, tmpfsRespages: 0, swapPages: 0, rss: 96664, swapin: 0, unmap: 0)
    #expect(
      vmaux.hasPrefix(
        "\tunused_privvmpages                       7\n\ttmpfs_respages                           0\n"
      ))
    #expect(vmaux.contains("\n\trss                                  96664\n"))
    #expect(vmaux.split(separator: "\n").allSatisfy { $0.utf8.count == 1 + 20 + 1 + 21 })
  }

  private func sample(_ name: String) throws -> String {
    let url = try #require(
      Bundle.module.url(forResource: name, withExtension: nil, subdirectory: "Data"))
    return try String(contentsOf: url, encoding: .utf8)
  }

  /// The values of a file of one beancounter.
  private func parse(_ text: String) throws -> (id: Int, rows: [Report.Row]) {
    var id: Int?
    var rows: [Report.Row] = []
    for line in text.split(separator: "\n").dropFirst(2) {
      var words = line.split(separator: " ")
      if words[0].hasSuffix(":") { id = Int(words.removeFirst().dropLast()) }
      guard let resource = Resource(name: words[0]) else { continue }
      let n = try words.dropFirst().map { try #require(Int64($0)) }
      rows.append(
        .init(
          resource: resource, held: n[0], maxheld: n[1], bounds: Bounds(barrier: n[2], limit: n[3]),
          failcnt: n[4],
          status: "exact"))
    }
    return (try #require(id), rows)
  }
}
