import Beancounters
import Command
import Testing

@testable import Configuration

@Suite struct Consistency {
  private func findings(_ change: [Resource: Bounds] = [:], average: Int64? = 180) -> [Finding] {
    let bounds = Profile.basic.configured.resolved.merging(change) { $1 }
    return Validation(bounds: bounds, averageProcesses: average).findings
  }

  @Test("the sample of OpenVZ is in order") func basic() { #expect(findings().isEmpty) }

  @Test("the small one has few files for half of its 40 processes") func light() {
    let found = Validation(
      bounds: Profile.light.configured.resolved, averageProcesses: Profile.light.averageProcesses
    )
    .findings
    #expect(found.map(\.rule) == ["numfile.barrier >= 32 * avnumproc"])
    #expect(found.first?.actual == 512 && found.first?.required == 640)
  }

  @Test("VSwap is in order, overcommitted or not") func vswap() throws {
    for text in ["", "VM_OVERCOMMIT=1.5\n"] {
      let section = try read("PHYSPAGES=0:256M\nSWAPPAGES=0:512M\n" + text, as: "x.conf").single()
      #expect(section.configured.isVSwap)
      #expect(section.findings.isEmpty)
    }
    // The rules of classical configurations would complain of these rows.
    let same = Validation(bounds: Profile.vswap256m.configured.resolved).findings
    #expect(
      Set(same.map(\.rule)) == ["physpages.limit = unlimited", "vmguarpages.limit = unlimited"])
  }

  @Test(
    "one value for both",
    arguments: [
      Resource.numproc, .numtcpsock, .numothersock, .shmpages, .numfile, .numpty, .numsiginfo,
      .numiptent,
    ])
  func single(_ resource: Resource) throws {
    let bounds = Bounds(barrier: 10000, limit: 10001)
    let found = Validation(bounds: [resource: bounds]).findings
    #expect(found.map(\.rule) == ["\(resource.name).barrier = \(resource.name).limit"])
    let only = try #require(found.first)
    #expect(
      only.severity == .error && only.resource == resource && only.actual == 10000
        && only.required == 10001)
    #expect(only.remedy == "set both to 10001")
    #expect(
      Validation(bounds: [resource: Bounds(barrier: 5)]).findings.first?.remedy == "set both to 5")
    #expect(Validation(bounds: [resource: Bounds(barrier: 5, limit: 5)]).findings.isEmpty)
  }

  @Test(
    "a barrier not above the limit",
    arguments: [
      Resource.kmemsize, .lockedpages, .privvmpages, .numflock, .dcachesize, .swappages,
      .numinotify,
    ])
  func order(_ resource: Resource) {
    let found = Validation(bounds: [resource: Bounds(barrier: 6, limit: 5)]).findings
    #expect(found.map(\.rule) == ["\(resource.name).limit >= \(resource.name).barrier"])
    #expect(
      found.first?.severity == .error && found.first?.actual == 5 && found.first?.required == 6)
    #expect(Validation(bounds: [resource: Bounds(barrier: 5, limit: 5)]).findings.isEmpty)
  }

  @Test("guarantees have no limit") func guarantees() {
    for resource in [Resource.vmguarpages, .oomguarpages, .physpages] {
      let found = Validation(bounds: [resource: Bounds(barrier: 0, limit: 5)]).findings
      #expect(found.map(\.rule) == ["\(resource.name).limit = unlimited"])
      #expect(
        found.first?.required == .max && found.first?.description.contains("5, unlimited") == true)
    }
    let found = Validation(bounds: [.physpages: Bounds(barrier: 3)]).findings
    #expect(found.map(\.rule) == ["physpages.barrier = 0"])
    #expect(found.first?.remedy == "set the barrier to 0")
  }

  /// One step on either side of each boundary, from OpenVZ's own formulas for the sample's figures.
  @Test(
    "the boundary of each rule",
    arguments: [
      (
        .kmemsize, 40960 * 180 + 3_624_960, .max, .error,
        "kmemsize.barrier >= 40960 * avnumproc + dcachesize.limit"
      ),
      (.numfile, 32 * 180, nil, .warning, "numfile.barrier >= 32 * avnumproc"),
      (.privvmpages, 33792, .max, .warning, "privvmpages.barrier >= vmguarpages.barrier"),
      (.dcachesize, nil, 384 * 9312, .warning, "dcachesize.limit >= 384 * numfile.barrier"),
      (
        .tcpsndbuf, nil, 1_720_320 + 2560 * 360, .error,
        "tcpsndbuf.limit - tcpsndbuf.barrier >= 2560 * numtcpsock.barrier"
      ),
      (
        .tcprcvbuf, nil, 1_720_320 + 2560 * 360, .warning,
        "tcprcvbuf.limit - tcprcvbuf.barrier >= 2560 * numtcpsock.barrier"
      ),
      (
        .othersockbuf, nil, 1_126_080 + 2560 * 360, .error,
        "othersockbuf.limit - othersockbuf.barrier >= 2560 * numothersock.barrier"
      ),
      (.tcpsndbuf, 65536, .max, .warning, "tcpsndbuf.barrier >= 65536"),
      (.tcprcvbuf, 65536, .max, .warning, "tcprcvbuf.barrier >= 65536"),
      (.dgramrcvbuf, 32768, .max, .recommendation, "dgramrcvbuf.barrier >= 32768"),
      (.othersockbuf, 32768, .max, .recommendation, "othersockbuf.barrier >= 32768"),
    ] as [(Resource, Int64?, Int64?, Finding.Severity, String)])
  func boundary(
    _ resource: Resource, _ barrier: Int64?, _ limit: Int64?, _ severity: Finding.Severity,
    _ rule: String
  ) {
    let sample = Profile.basic.configured.resolved[resource] ?? Bounds()
    func bounds(_ less: Int64) -> Bounds {
      // A limit that is nil goes with its barrier; a barrier that is nil is the sample's.
      let b = barrier.map { $0 - less } ?? sample.barrier
      return Bounds(barrier: b, limit: limit.map { barrier == nil ? $0 - less : $0 } ?? b)
    }
    #expect(findings([resource: bounds(0)]).isEmpty)
    let broken = findings([resource: bounds(1)])
    #expect(broken.map(\.rule) == [rule])
    #expect(broken.first?.severity == severity)
    #expect(broken.first.map { $0.required - $0.actual } == 1)
  }

  @Test("what would satisfy a rule does") func remedies() {
    let found = findings([
      .kmemsize: Bounds(barrier: 1, limit: .max), .tcpsndbuf: Bounds(barrier: 65536, limit: 65537),
    ])
    #expect(
      found.map(\.remedy) == [
        "raise the barrier to at least 10997760", "raise the limit to at least 987136",
      ])
    #expect(
      findings([
        .kmemsize: Bounds(barrier: 10_997_760), .tcpsndbuf: Bounds(barrier: 65536, limit: 987_136),
      ]).isEmpty)
  }

  @Test("errors first") func severities() {
    let found = findings([
      .dgramrcvbuf: Bounds(barrier: 1, limit: 2), .privvmpages: Bounds(barrier: 1, limit: 1),
      .numpty: Bounds(barrier: 1, limit: 2),
    ])
    #expect(found.map(\.severity) == [.error, .warning, .recommendation])
  }

  @Test("half of numproc stands for an average that is not stated") func average() {
    #expect(
      findings([.numfile: Bounds(barrier: 3839, limit: 3839)], average: nil).map(\.required) == [
        3840
      ])
    #expect(
      findings([.numfile: Bounds(barrier: 10, limit: 10), .numproc: Bounds()], average: nil).isEmpty
    )
  }

  @Test("rows that are not set break nothing, and nothing overflows") func partial() {
    for resource in Resource.allCases {
      #expect(
        Validation(bounds: [resource: Bounds(barrier: resource == .physpages ? 0 : .max)]).findings
          .isEmpty)
    }
    let huge = Bounds(barrier: .max - 1, limit: .max - 1)
    let all = Dictionary(uniqueKeysWithValues: Resource.allCases.map { ($0, huge) })
    #expect(!Validation(bounds: all, averageProcesses: .max).findings.isEmpty)
  }
}
