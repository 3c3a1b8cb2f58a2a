import Beancounters
import Command
import Testing

@testable import bcctl

@Suite struct Fields {
  @Test(
    "the words of vzlist",
    arguments: [
      ("id", Field.id, "ID"), ("name", .name, "NAME"), ("parent", .parent, "PARENT"),
      ("MEMBERS", .members, "MEMBERS"),
      ("numfile", .resource(.numfile, .held), "NUMFILE"),
      ("numfile.m", .resource(.numfile, .maxheld), "NUMFILE.M"),
      ("kmemsize.b", .resource(.kmemsize, .barrier), "KMEMSIZE.B"),
      ("numproc.l", .resource(.numproc, .limit), "NUMPROC.L"),
      ("swappages.f", .resource(.swappages, .failcnt), "SWAPPAGES.F"),
    ])
  func read(_ word: String, _ field: Field, _ heading: String) throws {
    #expect(try Field(word) == field)
    #expect(field.heading == heading)
  }

  @Test(
    "what is no field",
    arguments: ["", "foo", "numfile.", "numfile.x", "numfile.held", "numfile.m.b", ".m", "id.m"])
  func unknown(_ word: String) {
    #expect(throws: UsageError.self) { try Field(word) }
  }

  @Test func lists() throws {
    #expect(try Field.list("id,numfile.f,id") == [.id, .resource(.numfile, .failcnt), .id])
    #expect(throws: UsageError.self) { try Field.list("id,,name") }
    #expect(throws: UsageError.self) { try Field.list("") }
    let error = #expect(throws: UsageError.self) { try Field.list("id,numfil") }
    #expect(
      error?.message
        == "\"numfil\" is no field (did you mean numfile?); accepted: \(Field.accepted)")
  }

  @Test func cells() throws {
    let one = beancounter(
      7, "web", members: 2,
      [row("privvmpages", .pages, held: 16384, maxheld: 20000, barrier: 20480, failcnt: 5)])
    func cell(_ word: String, human: Bool = false) throws -> String {
      try Field(word).cell(of: one, human: human)
    }
    #expect(try cell("id") == "7")
    #expect(try cell("parent") == "-")
    #expect(try cell("members") == "2")
    #expect(try cell("privvmpages") == "16384")
    #expect(try cell("privvmpages", human: true) == "64.0M")
    #expect(try cell("privvmpages.m") == "20000")
    #expect(try cell("privvmpages.b", human: true) == "80.0M")
    #expect(try cell("privvmpages.l", human: true) == "unlimited")
    #expect(try cell("privvmpages.f", human: true) == "5")
    #expect(try cell("numfile") == "-")
  }

  @Test("sorted by value, no bound after every bound, equals by id, either way") func order() throws
  {
    let all = [
      beancounter(1, "b", [row("numfile", held: 9, limit: 100)]),
      beancounter(4, "a", [row("numfile", held: 10)]),
      beancounter(3, "d", [row("numfile", held: 9, limit: 20)]), beancounter(2, "c", []),
    ]
    func ids(_ text: String) throws -> [Int] { try Order(text).sorted(all).map(\.id) }
    #expect(try ids("id") == [1, 2, 3, 4])
    #expect(try ids("-id") == [4, 3, 2, 1])
    #expect(try ids("name") == [4, 1, 2, 3])
    #expect(try ids("numfile") == [1, 3, 4, 2])
    #expect(try ids("-numfile") == [2, 4, 1, 3])
    #expect(try ids("numfile.l") == [3, 1, 4, 2])
    #expect(throws: UsageError.self) { try Order("--id") }
  }
}

@Suite struct Tables {
  @Test("as wide as the widest cell, the last column not filled up") func alignment() {
    let table = Table(
      columns: [("ID", .right), ("NAME", .left), ("N", .right), ("LAST", .left)],
      rows: [["1", "web", "10", "x"], ["100", "日本", "1", "y"]])
    #expect(table.lines() == [" ID  NAME   N  LAST", "  1  web   10  x", "100  日本   1  y"])
    #expect(table.lines(heading: false) == ["  1  web   10  x", "100  日本   1  y"])
  }

  @Test("cells cannot draw on the terminal") func hostile() {
    let table = Table(columns: [("A", .left), ("B", .left)], rows: [["\u{1b}[2J", "x\ny"]])
    #expect(table.lines() == ["A          B", #"\u{1b}[2J  x\ny"#])
  }

  @Test(arguments: [("abc", 3), ("日本", 4), ("e\u{301}", 1), ("", 0), ("👍", 2), ("\u{200b}a", 1)])
  func widths(_ text: String, _ columns: Int) {
    #expect(width(of: text) == columns)
  }

  @Test func clipping() {
    #expect(clipped("abcdef", 3) == "abc")
    #expect(clipped("日本", 3) == "日")
    #expect(clipped("ab", 5) == "ab")
    #expect(clipped("ab", 0) == "")
  }
}
