import Foundation
import Testing

@testable import bcctl

@Suite struct UbcViews {
  private let web = beancounter(
    101, "web",
    [
      row("privvmpages", .pages, held: 12288, maxheld: 15360, barrier: 16384, limit: 20480),
      row("numproc", held: 4, maxheld: 9),
      row("numfile", held: 40, maxheld: 90, barrier: 100, limit: 120, failcnt: 3),
      row("numpty", held: 0, maxheld: 1, barrier: 16, limit: 16),
      row("physpages", .pages, held: 5, maxheld: 9, barrier: 0),
    ])

  /// The first word of each line.
  private func names(_ lines: [String]) -> [String] {
    lines.map { String($0.split(separator: " ")[0]) }
  }

  @Test func table() {
    #expect(
      UbcView().lines(web) == [
        "web (101)     HELD  BAR%  LIM%  MAXHELD  BAR%  LIM%    BAR    LIM  FAIL",
        "privvmpages  48.0M   75%   60%    60.0M   94%   75%  64.0M  80.0M     -",
        "numfile         40   40%   33%       90   90%   75%    100    120     3",
        "numpty           -    0%    0%        1    6%    6%     16     16     -",
        "physpages    20.0K     -     -    36.0K     -     -      -      -     -",
      ])
    #expect(names(UbcView(verbose: true).lines(web)).contains("numproc"))
  }

  @Test("-q: failures, and what is close to the limit by either ratio") func quiet() {
    #expect(names(UbcView(quiet: true).lines(web)) == ["web", "privvmpages", "numfile"])
    #expect(
      names(UbcView(heldRatio: 0.6, quiet: true).lines(web)) == ["web", "privvmpages", "numfile"])
    #expect(names(UbcView(heldRatio: 0.61, quiet: true).lines(web)) == ["web", "numfile"])
    #expect(
      names(UbcView(heldRatio: 2, maxheldRatio: 0.75, quiet: true).lines(web)) == [
        "web", "privvmpages", "numfile",
      ])
    #expect(
      names(UbcView(heldRatio: 2, maxheldRatio: 2, quiet: true).lines(web)) == ["web", "numfile"])
    #expect(
      UbcView(quiet: true).lines(beancounter(1, "idle", [row("numfile", held: 1, barrier: 100)]))
        == [])
    // No limit: the barrier is what is close.
    #expect(
      UbcView(quiet: true).lines(beancounter(1, "x", [row("numfile", held: 60, barrier: 100)]))
        .count == 2)
  }

  @Test("-r: failures since the run before") func relative() {
    func shown(_ before: Int64?) -> String? {
      let view = UbcView(heldRatio: 2, maxheldRatio: 2, quiet: true, relative: true)
      let old = before.map { ["numfile": $0] } ?? [:]
      return view.lines(web, before: .init(failcnt: old)).last?.split(separator: " ").last.map(
        String.init)
    }
    #expect(shown(nil) == "3")
    #expect(shown(1) == "2")
    #expect(shown(3) == nil)
    #expect(shown(9) == "3")  // a new beancounter with the id of an old one
    #expect(UbcView(relative: true).lines(web)[0].hasSuffix("  +FAIL"))
  }

  @Test("-i: what held has changed by") func incremental() {
    let view = UbcView(incremental: true)
    let lines = view.lines(
      web, before: .init(held: ["privvmpages": 16384, "numfile": 35, "numpty": 0, "physpages": 5]))
    #expect(lines.map { $0.split(separator: " ")[2] }.dropFirst() == ["-16.0M", "+5", "-", "-"])
    // Without a run before, nothing has changed.
    #expect(
      view.lines(web).map { $0.split(separator: " ")[2] }.dropFirst() == ["-", "-", "-", "-"])
    let quiet = UbcView(heldRatio: 2, maxheldRatio: 2, quiet: true, incremental: true)
    #expect(
      names(
        quiet.lines(web, before: .init(held: ["numfile": 40, "privvmpages": 1, "physpages": 5])))
        == ["web", "privvmpages", "numfile"])
  }

  @Test func colors() {
    let lines = UbcView(color: true).lines(web)
    #expect(lines.map { $0.hasPrefix("\u{1b}[31m") } == [false, false, true, false, false])
    #expect(lines.map { $0.hasPrefix("\u{1b}[33m") } == [false, true, false, false, false])
  }
}

@Suite struct UbcFiles {
  @Test("both widths of the kernel's file") func kernels() throws {
    let wide = """
      Version: 2.5
             uid  resource                     held              maxheld              barrier                limit              failcnt
         852638:  kmemsize                 16595303             21577728             67108864  9223372036854775807                    0
                  dummy                           0                    0                    0                    0                    0
                  numproc                       106                  168           2147483647                 1024                    7
      """
    let one = try UbcFile.read(wide, from: "x")[0]
    #expect(one.id == 852638 && one.name == "852638")
    #expect(one.resources.map(\.resource) == ["kmemsize", "numproc"])
    #expect(
      one.resources[0].limit == nil && one.resources[0].barrier == 67_108_864
        && one.resources[0].unit == .bytes)
    #expect(one.resources[1].barrier == 2_147_483_647 && one.resources[1].failcnt == 7)

    let narrow = """
      Version: 2.5
             uid  resource           held    maxheld    barrier      limit    failcnt
             20:  kmemsize        1796282    2434056    2752512 2147483647        658
              0:  kmemsize       27533642   30449613 2147483647 2147483647          0
      """
    let all = try UbcFile.read(narrow, from: "x")
    #expect(all.map(\.id) == [20, 0])
    #expect(all[0].resources[0].limit == nil && all[1].resources[0].barrier == nil)
  }

  @Test(
    "what is no such file",
    arguments: [
      "Version: 3.0\n", "hello\n", "            numproc 1 2 3 4 5\n", " x:  kmemsize 1 2 3 4 5\n",
      " 1:  kmemsize 1 2 3 4\n",
    ])
  func unreadable(_ text: String) {
    let error = #expect(throws: Refused.self) { try UbcFile.read(text, from: "file") }
    #expect(error?.message.hasPrefix("file: line 1: ") == true)
  }

  @Test func store() throws {
    let directory = "/tmp/bcctl-test-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let store = UbcStore(directory: directory + "/deep/er")
    let one = beancounter(5, "x", [row("numfile", held: 7, failcnt: 2), row("numproc", held: 1)])
    #expect(store.read(.held, of: 5) == nil)
    try store.save(.held, of: one)
    try store.save(.failcnt, of: one)
    #expect(store.read(.held, of: 5) == ["numfile": 7, "numproc": 1])
    #expect(store.read(.failcnt, of: 5) == ["numfile": 2, "numproc": 0])
    #expect(store.read(.held, of: 6) == nil)
    try store.clear(.held)
    #expect(store.read(.held, of: 5) == nil)
    #expect(store.read(.failcnt, of: 5) != nil)
    #expect(throws: Refused.self) { try UbcStore(directory: "/dev/null/x").save(.held, of: one) }
  }

  @Test func standardDirectory() {
    #expect(UbcStore.standard(["XDG_STATE_HOME": "/s", "HOME": "/h"]) == "/s/beancounter/ubc")
    #expect(
      UbcStore.standard(["XDG_STATE_HOME": "s", "HOME": "/h"]) == "/h/.local/state/beancounter/ubc")
  }
}
