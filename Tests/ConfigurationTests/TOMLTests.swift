import Beancounters
import Command
import TestSupport
import Testing

@testable import Configuration

@Suite struct TOML {
  @Test("every way to write a bound") func bounds() throws {
    let text = """
      name = "web-1"
      parent = 'site'
      errno = "openvz"
      on-server-loss = "allow"
      [bounds]
      numproc = 240
      numfile = "100:120"
      numpty = "5:"
      numflock = ":7"
      numsiginfo = -1
      privvmpages = { barrier = "64M", limit = "80M" }
      shmpages = { limit = 10 }
      kmemsize = "unlimited"
      tcpsndbuf.barrier = "1.5K"
      "lockedpages" = 0x10
      [bounds.physpages]
      barrier = 0
      limit = "1G"
      """
    let configured = try read(text, as: "a.toml").single().configured
    #expect(configured.name == "web-1" && configured.parent == "site")
    #expect(configured.openvzErrno == true && configured.allowOnServerLoss == true)
    #expect(
      configured.bounds == [
        .numproc: BoundsChange(barrier: 240, limit: 240),
        .numfile: BoundsChange(barrier: 100, limit: 120),
        .numpty: BoundsChange(barrier: 5), .numflock: BoundsChange(limit: 7),
        .numsiginfo: BoundsChange(barrier: .max, limit: .max),
        .privvmpages: BoundsChange(barrier: 16384, limit: 20480),
        .shmpages: BoundsChange(limit: 10), .kmemsize: BoundsChange(barrier: .max, limit: .max),
        .tcpsndbuf: BoundsChange(barrier: 1536), .lockedpages: BoundsChange(barrier: 16, limit: 16),
        .physpages: BoundsChange(barrier: 0, limit: 262_144),
      ])
  }

  @Test("nothing is something too", arguments: ["", "# only\n", "[bounds]\n", "\u{feff}"])
  func empty(_ text: String)
    throws
  {
    #expect(try read(text, as: "a.toml").single().configured == Configured())
  }

  @Test("several beancounters, parents first") func several() throws {
    let text = """
      [beancounter.a]
      parent = "b"
      numfile = 3
      [beancounter.b]
      parent = "c"
      errno = "posix"
      [beancounter.c]
      parent = "elsewhere"
      on-server-loss = "deny"
      on-physpages = "reclaim"
      numproc = "2:4"
      [beancounter."with space"]
      """
    let file = try read(text, as: "a.toml")
    #expect(file.sections.map(\.configured.name) == ["c", "with space", "b", "a"])
    #expect(file.named[0].configured.bounds == [.numproc: BoundsChange(barrier: 2, limit: 4)])
    #expect(file.named[0].configured.allowOnServerLoss == false)
    #expect(file.named[0].configured.reclaims == true)
    #expect(file.named[2].configured.openvzErrno == false)
    let error = #expect(throws: ConfigurationError.self) { try file.single() }
    #expect(
      error?.description.hasPrefix(
        "a.toml: has [beancounter.c], [beancounter.with space], [beancounter.b]") == true)
    let both = try read("[bounds]\nnumproc = 1\n" + text, as: "a.toml")
    #expect(both.sections.count == 5 && both.sections[0].configured.name == nil)
  }

  @Test(
    "what it cannot say, and where",
    arguments: [
      (
        "[bounds]\nnumfiles = 1",
        ["2: unknown key bounds.numfiles; did you mean numfile? accepted: kmemsize, lockedpages"]
      ),
      ("[bounds]\n\nqwertyuiop = 1", ["3: unknown key bounds.qwertyuiop; accepted: kmemsize"]),
      (
        "[bound]\nnumfile = 1",
        ["1: unknown key bound; did you mean bounds? accepted: bounds, beancounter, name"]
      ),
      ("numfile = 1", ["1: numfile belongs under [bounds]"]),
      (
        "name = \"a/b\"",
        [#"1: name: cannot read "a/b"; accepted: a string of 1 to 64 bytes without slashes"#]
      ),
      ("parent = 3", ["1: parent: cannot read 3; accepted: a string of 1 to 64 bytes"]),
      ("errno = \"Posix\"", [#"1: errno: cannot read "Posix"; accepted: "posix" or "openvz""#]),
      ("on-server-loss = true", [#"1: on-server-loss: cannot read a value of type"#]),
      ("on-physpages = \"swap\"", [#"1: on-physpages: cannot read "swap""#]),
      ("bounds = 3", ["1: bounds: cannot read 3; accepted: a table: [bounds]"]),
      ("beancounter = []", ["1: beancounter: cannot read a value of type"]),
      (
        "beancounter.a = 1", ["1: beancounter.a: cannot read 1; accepted: a table: [beancounter.a]"]
      ),
      (
        "[beancounter.\"a/b\"]",
        [#"1: cannot read "a/b" as a beancounter's name; accepted: 1 to 64 bytes"#]
      ),
      ("[beancounter.a]\nname = \"b\"", ["2: unknown key beancounter.a.name; "]),
      ("[beancounter.a.bounds]\nnumfile = 1", ["1: unknown key beancounter.a.bounds; "]),
      (
        "[beancounter.a]\nparnt = \"b\"",
        ["2: unknown key beancounter.a.parnt; did you mean parent? accepted: parent, errno"]
      ),
      (
        "[beancounter.a]\nparent = \"a\"",
        ["2: beancounter.a is nested under itself; accepted: a tree"]
      ),
      (
        "[beancounter.a]\nparent = \"b\"\n[beancounter.b]\nparent = \"a\"",
        ["2: beancounter.a is nested under itself", "4: beancounter.b is nested under itself"]
      ),
      ("[bounds]\nnumfile = 1.5", ["2: bounds.numfile: cannot read a value of type"]),
      (
        "[bounds]\nnumfile = \"1.5\"",
        [#"2: bounds.numfile: cannot read "1.5"; accepted: BARRIER[:LIMIT]"#]
      ),
      ("[bounds]\nnumfile = -5", [#"2: bounds.numfile: "-5" is negative"#]),
      ("[bounds]\nnumfile = []", ["2: bounds.numfile: cannot read a value of type"]),
      (
        "[bounds]\nnumfile = {}",
        ["2: bounds.numfile: an empty table bounds nothing; accepted: barrier, limit or both"]
      ),
      (
        "[bounds]\nnumfile = {barier = 1}",
        ["2: unknown key bounds.numfile.barier; did you mean barrier? accepted: barrier, li"]
      ),
      (
        "[bounds]\nnumfile = {limit = \"1:2\"}",
        [#"2: bounds.numfile.limit: cannot read "1:2"; accepted: a whole number"#]
      ),
      (
        "[bounds.numfile]\nlimit = true\nbarrier = \"1K\"",
        ["2: bounds.numfile.limit: cannot", "3: bounds.numfile.barrier: can"]
      ),
      ("[bounds]\nnumfile = 99999999999999999999", ["2: is not TOML: "]),
      ("[bounds]\nnumfile = 1\nnumfile = 2", ["3: is not TOML: "]),
      ("[bounds\n", ["1: is not TOML: "]),
      ("a = \"\u{1}\"", ["1: is not TOML: "]),
      ("NUMFILE=\"3:4\"", ["1: unknown key NUMFILE; "]),
      ("name = \"a\\u0000b\"", ["1: has a NUL character"]),
      ("name = \"a\0b\"", ["1: has a NUL character"]),
      (
        "name = 3\nnmae = 4\n[bounds]\nnumfle = 1\nnumpty = 2\nnumproc = \"x\"",
        ["1: name", "2: unknown", "4: unknown", "6: bounds.nump"]
      ),
    ])
  func refused(_ text: String, _ expected: [String]) {
    expectStarts(problems(text, as: "x.toml"), expected)
  }

  @Test("not UTF-8") func latin1() {
    expectStarts(
      problems(Array("# caf".utf8) + [0xe9, 10], as: "x.toml"),
      ["1: \"# caf\u{fffd}\" is not UTF-8, which TOML is"])
  }
}

@Suite struct WhereKeysStand {
  @Test("in every layout", arguments: 0..<400 as Range<UInt64>) func lines(_ seed: UInt64) {
    var random = Seeded(state: seed)
    var document = Layout(random: random)
    for _ in 0..<Int.random(in: 0...5, using: &random) { document.addTable() }
    let text = document.text
    #expect(problems(text, as: "a.toml").allSatisfy { !$0.contains("not TOML") }, "\(text)")
    let found = KeyLines(Array(text.utf8))
    for (path, line) in document.expected {
      #expect(found.line(of: path) == line, "\(path) in\n\(text)")
    }
    #expect(found.line(of: ["no", "such"]) == nil)
  }

  @Test("any bytes at all end") func anything() {
    var random = Seeded(state: 3)
    let letters = Array("a.=[]{}\"'#\\, \n\r\t1".utf8)
    for _ in 0..<2000 {
      let bytes = (0..<Int.random(in: 0...40, using: &random)).map { _ in
        letters.randomElement(using: &random)!
      }
      #expect((KeyLines(bytes).line(of: ["a"]) ?? 1) >= 1)
    }
  }
}

/// Writes a document of keys and values in random layout, and notes where the keys went.
private struct Layout {
  var random: Seeded
  var text = ""
  var expected: [[String]: Int] = [:]
  private var count = 0

  init(random: Seeded) { self.random = random }

  private var line: Int { 1 + text.utf8.count { $0 == 10 } }

  private mutating func pick(_ choices: [String]) -> String {
    choices.randomElement(using: &random)!
  }

  private mutating func key() -> (name: String, written: String) {
    count += 1
    let name = "k\(count)"
    let other = "k \(count).=[#"
    return [(name, name), (other, "\"\(other)\""), (other, "'\(other)'")].randomElement(
      using: &random)!
  }

  mutating func addTable() {
    let header = key()
    addGaps()
    expected[[header.name]] = line
    let brackets = [("[", "]"), (" [ ", " ]"), ("[[", "]]"), ("\t[", " ]")].randomElement(
      using: &random)!
    text += brackets.0 + header.written + brackets.1
    text += pick(["", " # ] c", "\t"]) + pick(["\n", "\r\n"])
    for _ in 0..<Int.random(in: 0...4, using: &random) { addPair(under: [header.name]) }
  }

  private mutating func addGaps() {
    for _ in 0..<Int.random(in: 0...2, using: &random) {
      text += pick(["\n", "# a = 1 \"\n", "  \n", "\r\n"])
    }
  }

  private mutating func addPair(under path: [String]) {
    addGaps()
    let first = key()
    text += pick(["", "  "])
    expected[path + [first.name]] = line
    text += first.written
    var full = path + [first.name]
    if Bool.random(using: &random) {
      let second = key()
      text += pick([".", " . "]) + second.written
      full.append(second.name)
      expected[full] = line
    }
    text += pick(["=", " = "])
    addValue(full, depth: 0)
    text += pick(["", " # c = 3", "  "]) + pick(["\n", "\r\n"])
  }

  private mutating func addValue(_ path: [String], depth: Int) {
    switch Int.random(in: 0..<(depth < 2 ? 8 : 6), using: &random) {
    case 0: text += "12"
    case 1: text += pick(["\"a = ] # }\"", "\"\"", "\"\\\"\\\\\"", "\"'\""])
    case 2: text += pick(["'a\\'", "''", "'\"#'"])
    case 3:
      text += pick([
        "\"\"\"\nk1 = 2\n\\\"\"\" \"\" \"\"\"", "\"\"\"\"\"\"", "\"\"\"a\n\"\"\"\"\"",
        "\"\"\"a\"\"\"\"",
      ])
    case 4: text += pick(["'''\n[k1]\n'' \\'''", "''''''", "'''b'''''", "'''b''''"])
    case 5:
      text += pick([
        "[]", "[1, \"]\", # ]\n 2,\n]", "[ [1], ['''\n'''] ]", "1979-05-27T07:32:00Z", "true",
      ])
    default:
      text += "{"
      let fields = Int.random(in: 0...3, using: &random)
      for field in 0..<fields {
        let inner = key()
        expected[path + [inner.name]] = line
        text += pick(["", " "]) + inner.written + pick(["=", " = "])
        addValue(path + [inner.name], depth: depth + 1)
        text += field < fields - 1 ? pick([",", " , "]) : " "
      }
      text += "}"
    }
  }
}
