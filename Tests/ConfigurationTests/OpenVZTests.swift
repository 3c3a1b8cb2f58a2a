import Beancounters
import Command
import Glibc
import TestSupport
import Testing

@testable import Configuration

@Suite struct OpenVZ {
  /// The figures of ve-basic.conf-sample, laid out in every way that a line may be.
  static let basic = """
    # UBC parameters (in form of barrier:limit)
    KMEMSIZE="14372700:14790164"
    LOCKEDPAGES="2048:2048"
    PRIVVMPAGES="65536:69632"
    SHMPAGES='21504:21504'
      NUMPROC=240:240
    PHYSPAGES="0:unlimited"
    VMGUARPAGES="33792:9223372036854775807"
    OOMGUARPAGES="26112:2147483647"
    NUMTCPSOCK="360"
    NUMFLOCK="188:206"
    NUMPTY="16:16"       # terminals
    NUMSIGINFO="256:256"
    export TCPSNDBUF="1720320:2703360"
    TCPRCVBUF="1680K:2640K"
    OTHERSOCKBUF=1126080:2M
    DGRAMRCVBUF="64P"
    NUMOTHERSOCK="360:360"
    DCACHESIZE="3409920B:3540k"
    NUMFILE="9312:9312"
    AVNUMPROC="180:180"
    NUMIPTENT="128:128"
    DUMMY="1:x"

    # Others are passed over
    DISKSPACE="2G:2.2G"
    DESCRIPTION="it's \\"quoted\\""
    CAPABILITY=" NET_ADMIN:on"
    VE_ROOT="/vz/root/$VEID"
    BROKEN="
    """

  @Test("the sample of OpenVZ, in all spellings", arguments: ["\n", "\r\n"]) func sample(
    _ end: String
  ) throws {
    let text =
      "\u{feff}"
      + OpenVZ.basic.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: end)
    let section = try read(text, as: "101.conf").single()
    #expect(section.configured.resolved == Profile.basic.configured.resolved)
    #expect(section.averageProcesses == 180)
  }

  @Test(
    "units of vzctl",
    arguments: [
      ("PRIVVMPAGES=100", 100), ("PRIVVMPAGES=100P", 100), ("PRIVVMPAGES=100p", 100),
      ("PRIVVMPAGES=64M", 16384),
      ("PRIVVMPAGES=4097B", 2), ("PRIVVMPAGES=1.5G", 393_216), ("PRIVVMPAGES=1T", 268_435_456),
      ("PRIVVMPAGES=8K", 2),
      ("KMEMSIZE=100", 100), ("KMEMSIZE=2P", 8192), ("KMEMSIZE=1k", 1024), ("KMEMSIZE=7B", 7),
      ("NUMPROC=0", 0),
      ("NUMINOTIFY=5", 5), ("SWAPPAGES=1G", 262_144), ("NUMPROC=2147483648", 2_147_483_648),
    ] as [(String, Int64)])
  func units(_ line: String, _ expected: Int64) throws {
    #expect(
      Array(try rows(line, as: "x.conf").values) == [Bounds(barrier: expected, limit: expected)])
  }

  @Test("no bound", arguments: ["unlimited", "9223372036854775807", "2147483647"]) func unlimited(
    _ text: String
  ) throws {
    #expect(try rows("KMEMSIZE=\(text)", as: "x.conf") == [.kmemsize: Bounds()])
    #expect(try rows("NUMPROC=7:\(text)", as: "x.conf") == [.numproc: Bounds(barrier: 7)])
    #expect(try rows("PRIVVMPAGES=\"\(text):7\"", as: "x.conf") == [.privvmpages: Bounds(limit: 7)])
  }

  @Test("a later line wins, as in the shell") func later() throws {
    #expect(
      try rows("NUMPROC=1\nNUMPROC=2\n", as: "x.conf") == [.numproc: Bounds(barrier: 2, limit: 2)])
  }

  @Test(
    "what a line cannot say",
    arguments: [
      (
        "NUMPROC=12K",
        #"1: NUMPROC: cannot read "12K"; accepted: BARRIER:LIMIT or one value for both, each a whole num"#
      ),
      ("NUMPROC=1.5", #"1: NUMPROC: cannot read "1.5"; accepted"#),
      ("NUMPROC=5P", #"1: NUMPROC: cannot read "5P"; accepted"#),
      ("NUMPROC=", #"1: NUMPROC: cannot read ""; accepted"#),
      ("NUMPROC=1:", #"1: NUMPROC: cannot read "1:"; accepted"#),
      ("NUMPROC=:1", #"1: NUMPROC: cannot read ":1"; accepted"#),
      ("NUMPROC=1:2:3", #"1: NUMPROC: cannot read "1:2:3"; accepted"#),
      ("NUMPROC=1 2", #"1: NUMPROC: cannot read "1 2"; accepted"#),
      ("NUMPROC=-1", #"1: NUMPROC: cannot read "-1"; accepted"#),
      ("NUMPROC=max", #"1: NUMPROC: cannot read "max"; accepted"#),
      ("NUMPROC=Unlimited", #"1: NUMPROC: cannot read "Unlimited"; accepted"#),
      ("NUMPROC=\" 1\"", #"1: NUMPROC: cannot read " 1"; accepted"#),
      ("NUMPROC=$N", #"1: NUMPROC: cannot read "$N"; accepted"#),
      (
        "NUMPROC=9223372036854775808",
        #"1: NUMPROC: "9223372036854775808" is too large (the most is 92233720368547"#
      ),
      (
        "PRIVVMPAGES=1MiB",
        #"1: PRIVVMPAGES: cannot read "1MiB"; accepted: BARRIER:LIMIT or one value for both, each a n"#
      ),
      ("PRIVVMPAGES=1..5M", #"1: PRIVVMPAGES: cannot read "1..5M"; accepted"#),
      ("PRIVVMPAGES=1E", #"1: PRIVVMPAGES: cannot read "1E"; accepted"#),
      ("KMEMSIZE=9999999T", #"1: KMEMSIZE: "9999999T" is too large"#),
      (
        "KMEMSIZE=1G:x",
        #"1: KMEMSIZE: cannot read "1G:x"; accepted: BARRIER:LIMIT or one value for both, each a number of by"#
      ),
      ("NUMPROC=\"1:2", #"1: NUMPROC: "\"1:2" lacks the closing "; accepted: BARRIER:LIMIT"#),
      ("NUMPROC='1", #"1: NUMPROC: "'1" lacks the closing '; accepted"#),
      (
        "AVNUMPROC=x",
        #"1: AVNUMPROC: cannot read "x"; accepted: BARRIER:LIMIT or one value for both, each a whole number"#
      ),
      (
        "VM_OVERCOMMIT=0",
        #"1: VM_OVERCOMMIT: cannot read "0"; accepted: a factor such as 1.5, above 0 and below 1000000"#
      ),
      (
        "NUMPROC = 1",
        #"1: cannot read "NUMPROC = 1"; accepted: KEY="BARRIER:LIMIT" without spaces around the =, or a"#
      ),
      ("nonsense", #"1: cannot read "nonsense"; accepted: KEY="#),
      ("export", #"1: cannot read "export"; accepted: KEY="#),
      ("9=1", #"1: cannot read "9=1"; accepted: KEY="#),
      ("=1", #"1: cannot read "=1"; accepted: KEY="#),
      ("NUMPROC=1\u{1b}[2J", #"1: NUMPROC: cannot read "1\u{1b}[2J"; accepted"#),
    ])
  func refused(_ line: String, _ expected: String) {
    expectStarts(problems(line, as: "101.conf"), [expected])
  }

  @Test("every bad line is told, with the file's name") func all() {
    let text = "NUMPROC=1\nNUMFILE=x\n\n# c\nhello\nNUMPTY=1K\n"
    expectStarts(
      problems(text, as: "101.conf"),
      ["2: NUMFILE: cannot read", "5: cannot read \"hello\"", "6: NUMPTY: cannot"])
    let error = #expect(throws: ConfigurationError.self) { try read(text, as: "a\u{1b}/101.conf") }
    let lines = error?.description.split(separator: "\n") ?? []
    #expect(lines.count == 3 && lines.allSatisfy { $0.hasPrefix("a\\u{1b}/101.conf:") })
  }

  @Test("bytes that are not UTF-8 are no matter in a row that is not ours") func latin1() throws {
    let bytes = Array("DESCRIPTION=\"caf".utf8) + [0xe9] + Array("\"\nNUMPROC=3\n".utf8)
    #expect(try ConfigurationFile(bytes, path: "x.conf").top.configured.resolved.count == 1)
    expectStarts(
      problems(Array("NUMPROC=".utf8) + [0xe9], as: "x.conf"), ["1: NUMPROC: cannot read"])
  }

  @Test("VSwap: what is absent is filled in as vzctl does") func vswap() throws {
    let text = "PHYSPAGES=\"0:256M\"\nSWAPPAGES=\"0:512M\"\n"
    let section = try read(text, as: "ve-vswap-256m.conf-sample").single()
    #expect(section.configured == Profile.vswap256m.configured)
    let over = try rows(text + "VM_OVERCOMMIT=\"1.5\"\nNUMPROC=\"100\"\n", as: "x.conf")
    #expect(over[.privvmpages] == Bounds(barrier: 294_912, limit: 294_912))
    #expect(over[.numproc] == Bounds(barrier: 100, limit: 100))
    #expect(over[.numfile] == Bounds())
  }

  @Test("what one renders the other reads", arguments: 0..<300 as Range<UInt64>) func random(
    _ seed: UInt64
  ) throws {
    var random = Seeded(state: seed)
    var expected: [Resource: Bounds] = [:]
    var lines: [String] = []
    for resource in Resource.allCases.shuffled(using: &random) where Bool.random(using: &random) {
      // A limited physpages and a swappages would be VSwap, which fills in the rest.
      if resource == .swappages { continue }
      func amount() -> (Int64, String) {
        switch Int.random(in: 0..<4, using: &random) {
        case 0:
          return (
            .max, ["unlimited", "2147483647", "9223372036854775807"].randomElement(using: &random)!
          )
        case 1 where resource.unit != .items:
          let n = Int64.random(in: 0...4000, using: &random)
          return (
            n * (resource.unit == .pages ? 256 : 1 << 20),
            "\(n)" + ["M", "m"].randomElement(using: &random)!
          )
        default:
          let n = Int64.random(in: 0..<(.max - 1), using: &random)
          return n == 2_147_483_647 ? (0, "0") : (n, "\(n)")
        }
      }
      let (barrier, limit) = (amount(), amount())
      expected[resource] = Bounds(barrier: barrier.0, limit: limit.0)
      let quote = ["", "'", "\""].randomElement(using: &random)!
      let before = ["", "  ", "export ", "\texport\t"].randomElement(using: &random)!
      let after = ["", " ", " # c", "\t#'"].randomElement(using: &random)!
      lines.append(
        "\(before)\(resource.name.uppercased())=\(quote)\(barrier.1):\(limit.1)\(quote)\(after)")
      lines.append(
        ["", "# NUMPROC=x", "ONBOOT=\"yes", "HOSTNAME=a b c"].randomElement(using: &random)!)
    }
    #expect(try rows(lines.joined(separator: "\n"), as: "x.conf") == expected)
  }

  @Test("words are what the shell makes of them") func shell() throws {
    var random = Seeded(state: 7)
    let letters = Array("ab:1'\"\\ \t#$`")
    var words: [String] = []
    while words.count < 400 {
      let text = String(
        (0..<Int.random(in: 1...8, using: &random)).map { _ in
          letters.randomElement(using: &random)!
        })
      // What the shell would expand, or read on for, is refused as a value anyway.
      if text.contains("$") || text.contains("`") || text.hasSuffix("\\") { continue }
      guard (try? OpenVZReader.word(Array(text.utf8)[...], of: "K", accepted: "")) != nil else {
        continue
      }
      words.append(text)
    }
    let script = words.map { "K=\($0)\nprintf '%s\\n' \"$K\"\n" }.joined()
    let pipe = try #require(
      try withFile("script", Array(script.utf8)) { path in
        popen("bash \(path)", "r").map { (pipe: $0, lines: linesOf($0)) }
      })
    #expect(pclose(pipe.pipe) == 0)
    try #require(pipe.lines.count == words.count)
    for (word, expected) in zip(words, pipe.lines) {
      #expect(
        try OpenVZReader.word(Array(word.utf8)[...], of: "K", accepted: "") == expected, "\(word)")
    }
  }

  private func linesOf(_ pipe: UnsafeMutablePointer<FILE>) -> [String] {
    var bytes: [UInt8] = []
    while case let byte = fgetc(pipe), byte >= 0 { bytes.append(UInt8(byte)) }
    return bytes.split(separator: 10, omittingEmptySubsequences: false).dropLast().map {
      String(decoding: $0, as: UTF8.self)
    }
  }
}
