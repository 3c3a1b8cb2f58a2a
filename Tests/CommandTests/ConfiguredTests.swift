import Beancounters
import TestSupport
import Testing

@testable import Command

extension Configured {
  static func random(_ random: inout Seeded) -> Configured {
    func amount() -> Int64? {
      switch Int.random(in: 0..<5, using: &random) {
      case 0: nil
      case 1: Bounds.unlimited
      case 2: Int64.random(in: 0...Int64.max, using: &random)
      default: Int64.random(in: 0...10000, using: &random)
      }
    }
    func name() -> String? {
      let letters = Array("abz09-_.=# :é\u{1f600}\"'\\")
      let text = String(
        (0..<Int.random(in: 0...12, using: &random)).map { _ in
          letters.randomElement(using: &random)!
        })
      return text.isEmpty ? nil : text
    }
    var made = Configured(name: name(), parent: name())
    made.openvzErrno = [nil, true, false].randomElement(using: &random)!
    made.allowOnServerLoss = [nil, true, false].randomElement(using: &random)!
    for resource in Resource.allCases where Bool.random(using: &random) {
      let change = BoundsChange(barrier: amount(), limit: amount())
      if change != BoundsChange() { made.bounds[resource] = change }
    }
    return made
  }
}

@Suite struct ConfiguredLines {
  @Test("what is written is read back", arguments: 0..<500 as Range<UInt64>)
  func roundTrip(_ seed: UInt64) throws {
    var random = Seeded(state: seed)
    let blocks = (0..<Int.random(in: 0...4, using: &random)).map { _ in Configured.random(&random) }
    let origins = ["a.toml", "# b", "c\nname=evil", "d=e\u{2028}\r"]
    let text = zip(blocks, origins).map { $0.lines(from: $1) }.joined()
    #expect(try Configured.parse(lines: text, source: "test") == blocks)
  }

  @Test func written() {
    let made = Configured(
      name: "web-1", parent: "site", openvzErrno: true, allowOnServerLoss: false, reclaims: true,
      bounds: [
        .numfile: BoundsChange(barrier: 100, limit: 120), .numproc: BoundsChange(barrier: 7),
        .privvmpages: BoundsChange(limit: .max), .numpty: BoundsChange(),
      ])
    #expect(
      made.lines(from: "a\tb") == """
        # a\\tb
        name=web-1
        parent=site
        errno=openvz
        on-server-loss=deny
        on-physpages=reclaim
        privvmpages=:unlimited
        numproc=7:
        numfile=100:120

        """)
  }

  @Test(
    "a line of another kind is refused",
    arguments: [
      (
        "numfile=1",
        #"bcctl bounds: cannot read "numfile=1"; accepted: RES=BARRIER:LIMIT, under a line that begins"#
      ),
      ("# a\nnumfile", #"bcctl bounds: cannot read "numfile"; accepted"#),
      (
        "# a\nnumfiles=1",
        #"bcctl bounds: cannot read "numfiles=1"; accepted: RES=BARRIER:LIMIT, name, parent"#
      ),
      ("# a\nnumfile=1K", #"bcctl bounds: numfile: cannot read "1K"; accepted: BARRIER[:LIMIT]"#),
      ("# a\nnumfile=", #"bcctl bounds: numfile: cannot read ""; accepted"#),
      ("# a\nname=", #"bcctl bounds: cannot read "name="; accepted"#),
      ("# a\nparent=a/b", #"bcctl bounds: cannot read "parent=a/b"; accepted"#),
      ("# a\nerrno=other", #"bcctl bounds: cannot read "errno=other"; accepted"#),
      ("# a\non-server-loss=", #"bcctl bounds: cannot read "on-server-loss="; accepted"#),
      ("\u{1b}[2J", #"bcctl bounds: cannot read "\u{1b}[2J"; accepted"#),
    ])
  func refused(_ text: String, _ expected: String) {
    let error = #expect(throws: UsageError.self) {
      try Configured.parse(lines: text, source: "bcctl bounds")
    }
    #expect(error?.message.hasPrefix(expected) == true, "\(error?.message ?? "")")
  }
}

@Suite struct Profiles {
  @Test("every row of the samples is set, but swap and ours", arguments: [Profile.basic, .light])
  func complete(_ profile: Profile) {
    let set = Set(profile.configured.resolved.keys)
    #expect(set == Set(Resource.allCases).subtracting([.swappages, .numinotify]))
  }

  @Test func values() {
    let basic = Profile.basic.configured.resolved
    #expect(basic[.privvmpages] == Bounds(barrier: 65536, limit: 69632))
    #expect(basic[.kmemsize] == Bounds(barrier: 14_372_700, limit: 14_790_164))
    #expect(basic[.physpages] == Bounds(barrier: 0))
    let light = Profile.light.configured.resolved
    #expect(light[.numfile] == Bounds(barrier: 512, limit: 512))
    #expect(light[.dgramrcvbuf] == Bounds(barrier: 135_168, limit: 196_608))
  }

  @Test("256 MiB of memory and 512 MiB of swap") func vswap() {
    let bounds = Profile.vswap256m.configured.resolved
    #expect(bounds[.physpages] == Bounds(barrier: 0, limit: 65536))
    #expect(bounds[.swappages] == Bounds(barrier: 0, limit: 131_072))
    #expect(bounds[.lockedpages] == Bounds(barrier: 65536))
    #expect(bounds[.oomguarpages] == Bounds(barrier: 65536))
    #expect(bounds[.vmguarpages] == Bounds(barrier: 196_608, limit: 196_608))
    #expect(bounds[.privvmpages] == Bounds())
    #expect(bounds[.numproc] == Bounds())
    #expect(bounds[.numinotify] == nil)
  }
}

@Suite struct VSwap {
  private func filled(_ bounds: [Resource: BoundsChange], _ overcommit: String? = nil) -> [Resource:
    Bounds]
  {
    Configured(bounds: bounds).filledVSwap(overcommit: overcommit.flatMap { Overcommit($0) })
      .resolved
  }
  private let ram = BoundsChange(barrier: 0, limit: 1000)

  @Test("rows that are set stay") func kept() {
    let bounds = filled(
      [.physpages: ram, .swappages: ram, .lockedpages: BoundsChange(barrier: 1, limit: 2)], "1.5")
    #expect(bounds[.lockedpages] == Bounds(barrier: 1, limit: 2))
    #expect(bounds[.privvmpages] == Bounds(barrier: 3000, limit: 3000))
    #expect(bounds.count == Resource.allCases.count - 1)
  }

  @Test("nothing without both, or with unlimited memory") func classical() {
    #expect(filled([.physpages: ram]).count == 1)
    #expect(filled([.swappages: ram]).count == 1)
    #expect(
      filled([.physpages: BoundsChange(barrier: 0, limit: .max), .swappages: ram]).count == 2)
  }

  @Test("unlimited and enormous swap") func large() {
    for swap in [Int64.max, Int64.max - 1, Int64.max - 1000] {
      let bounds = filled(
        [.physpages: ram, .swappages: BoundsChange(barrier: 0, limit: swap)], "2")
      #expect(bounds[.vmguarpages] == Bounds())
      #expect(bounds[.privvmpages] == Bounds())
    }
  }

  @Test(
    "factors are exact",
    arguments: [
      ("1", 1000, 1000), ("1.5", 1001, 1501), ("0.1", 10, 1), ("0.000000001", 1_000_000_000, 1),
      ("999999", 2, 1_999_998),
      ("2", Int64.max / 2, Int64.max - 1), ("2", Int64.max / 2 + 1, .max), ("1", .max, .max),
      ("0.5", .max, .max),
      ("3", .max - 1, .max),
    ] as [(String, Int64, Int64)])
  func factor(_ text: String, _ pages: Int64, _ expected: Int64) throws {
    #expect(try #require(Overcommit(text)).times(pages) == expected)
  }

  @Test(
    "what is no factor",
    arguments: [
      "", "0", "0.0", "-1", "1.", ".5", "1.5.5", "1e3", "1000000", "1.0000000001", "x", "1 ",
      "unlimited",
    ])
  func noFactor(_ text: String) { #expect(Overcommit(text) == nil) }
}
