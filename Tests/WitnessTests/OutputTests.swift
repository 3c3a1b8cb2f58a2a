import Foundation
import TestSupport
import Testing

@testable import Witness

/// Innermost first: `open` inlined into `load`, called by `main`.
private let loading = [
  Frame(function: "open", file: "a.h", line: 3, module: "/bin/x", offset: 0x20, inlined: true),
  Frame(function: "load", file: "a.c", line: 8, module: "/bin/x", offset: 0x20),
  Frame(function: "main", file: "a.c", line: 20, module: "/bin/x", offset: 0x40),
]
private let hostile = Frame(function: "</script><b>\"x\\;\u{2028}\ny'", module: nil, offset: 7)
private let holdings: [Holding] = [
  (loading, 12), (loading, 30), (Array(loading.dropFirst()), 5),
  ([hostile, Frame(function: "main", file: "a.c", line: 20, module: "/bin/x", offset: 0x40)], 1),
  ([], 2),
]

@Suite struct OutputTests {
  @Test("Folded stacks: one line for each stack, outermost first, sums")
  func folded() {
    #expect(
      Folded.text(holdings) == """
        [unknown] 2
        main;</script><b>"x\\:  y' 1
        main;load 5
        main;load;open 42

        """)
    #expect(Folded.text([]) == "")
    let unnamed = Frame(function: nil, module: "/usr/lib/libc.so.6", offset: 255)
    #expect(Folded.text([([unnamed], 1)]) == "libc.so.6+0xff 1\n")
  }

  /// Reads one message: fields in order, numbers or bytes.
  private func fields(_ data: ArraySlice<UInt8>) throws -> [(
    field: Int, number: Int64, bytes: ArraySlice<UInt8>
  )] {
    var rest = data
    func varint() throws -> UInt64 {
      var value: UInt64 = 0
      for shift in stride(from: UInt64(0), to: 70, by: 7) {
        guard let byte = rest.popFirst() else {
          throw Failed(description: "a number that does not end")
        }
        value |= UInt64(byte & 0x7f) << shift
        if byte < 0x80 { break }
      }
      return value
    }
    var found: [(Int, Int64, ArraySlice<UInt8>)] = []
    while !rest.isEmpty {
      let key = try varint()
      let value = try varint()
      if key & 7 == 2 {
        try #require(value <= rest.count)
        found.append((Int(key >> 3), 0, rest.prefix(Int(value))))
        rest = rest.dropFirst(Int(value))
      } else {
        try #require(key & 7 == 0)
        found.append((Int(key >> 3), Int64(bitPattern: value), []))
      }
    }
    return found
  }

  @Test("pprof: every sample can be read back to its functions, files, lines and amount")
  func pprof() throws {
    let profile = try fields(
      Pprof.profile(holdings, type: "numfile", unit: "count", period: 10, time: 1 << 60)[...])
    let strings = profile.filter { $0.field == 6 }.map { String(decoding: $0.bytes, as: UTF8.self) }
    #expect(strings[0] == "" && Set(strings).count == strings.count)
    func table(_ field: Int) throws -> [Int64: [(
      field: Int, number: Int64, bytes: ArraySlice<UInt8>
    )]] {
      let rows = try profile.filter { $0.field == field }.map { try fields($0.bytes) }
      return try Dictionary(
        uniqueKeysWithValues: rows.map { row in
          let id = try #require(row.first { $0.field == 1 })
          return (id.number, row)
        })
    }
    let (mappings, locations, functions) = try (table(3), table(4), table(5))
    var read: [Holding] = []
    for sample in profile where sample.field == 2 {
      let parts = try fields(sample.bytes)
      // All below 128: one byte each
      let ids = try #require(parts.first { $0.field == 1 }).bytes.map(Int64.init)
      let values = try #require(parts.first { $0.field == 2 }).bytes
      let amount = Int64(try #require(values.first))
      var stack: [Frame] = []
      for id in ids {
        let location = try #require(locations[id])
        let lines = location.filter { $0.field == 4 }
        let mapping = location.first { $0.field == 2 }.flatMap { mappings[$0.number] }
        for (i, line) in lines.enumerated() {
          let values = try fields(line.bytes)
          let id = try #require(values.first { $0.field == 1 }).number
          let function = try #require(functions[id])
          func text(_ field: Int) -> String {
            strings[Int(function.first { $0.field == field }?.number ?? 0)]
          }
          stack.append(
            Frame(
              function: text(2), file: text(4).isEmpty ? nil : text(4),
              line: values.first { $0.field == 2 }.map { Int($0.number) },
              module: mapping.map { row in strings[Int(row.first { $0.field == 5 }?.number ?? 0)] },
              offset: UInt64(location.first { $0.field == 3 }?.number ?? 0),
              inlined: i < lines.count - 1))
        }
      }
      read.append((stack, amount))
    }
    #expect(read.count == holdings.count)
    for (a, b) in zip(read, holdings) {
      #expect(a.amount == b.amount)
      #expect(a.stack == (b.stack.isEmpty ? [Frame(function: "[unknown]")] : b.stack))
    }
    #expect(profile.first { $0.field == 9 }?.number == 1 << 60)
    #expect(profile.first { $0.field == 12 }?.number == 10)
    // Each once, however often it is used: open in load, load alone, main, the hostile one and
    // [unknown].
    #expect(locations.count == 5)
  }

  @Test("The flame graph needs nothing else, takes names as data, and its boxes add up")
  func flameGraph() throws {
    let page = FlameGraph.page(holdings, title: "files of <web>", unit: "files")
    #expect(page.contains("<title>files of &lt;web&gt;</title>"))
    #expect(!page.contains("http:") && !page.contains("https:") && !page.contains("src="))
    #expect(page.components(separatedBy: "</script>").count == 2)
    let script = try #require(
      page.split(separator: "<script>").last?.split(separator: "</script>").first)
    let file = FileManager.default.temporaryDirectory.appending(path: "flame-\(getpid()).js")
    defer { try? FileManager.default.removeItem(at: file) }
    let questions = """
      const box = name => layout(0, 0).find(b => label[b.node] === name);
      console.log(total[0], box('main').width, box('load').width, box('open').width,
        matching('load'), matching('main'));
      const zoomed = layout(box('load').node, 0);
      console.log(zoomed.map(b => label[b.node] + ' ' + b.width).join(','));
      console.log(JSON.stringify(label.find(l => l.includes('script'))));
      """
    try (script + questions).write(to: file, atomically: true, encoding: .utf8)
    let said = try run("node", file.path).split(separator: "\n")
    #expect(said[0] == "50 0.96 0.94 0.84 47 48")
    #expect(said[1] == "main 1,all 1,load 1,open 0.8936170212765957")
    #expect(try JSONDecoder().decode(String.self, from: Data(said[2].utf8)) == hostile.function)
  }
}

@Suite struct SamplingTests {
  /// Grants as programs make them: each asker its own sizes, all in one fixed rhythm.
  private let grants: [(asker: Int, amount: Int64)] = (0..<3000).map { i in
    switch i % 10 {
    case 0: (0, 4096)
    case 1...6: (1, 16)
    case 7: (2, Int64(i % 700))
    default: (3, 1)
    }
  }

  @Test(
    "Over many runs the estimate is the truth, and errs as much as it says",
    arguments: [64, 1000, 20_000] as [Int64])
  func unbiased(_ interval: Int64) {
    var truth = [Int64](repeating: 0, count: 4)
    for grant in grants { truth[grant.asker] += grant.amount }
    let total = truth.reduce(0, +)
    var generator = Seeded(state: UInt64(interval))
    let runs = 400
    var sums = [Double](repeating: 0, count: 4), squares = sums
    var claimed = sums, shareInside = 0, shares = 0
    for _ in 0..<runs {
      var sampler = Sampler(interval: interval, using: &generator)
      var seen = [Int](repeating: 0, count: 4)
      for grant in grants {
        seen[grant.asker] += sampler.points(in: grant.amount, using: &generator)
      }
      let sampling = Sampling(interval: interval, points: seen.reduce(0, +))
      for asker in 0..<4 {
        let estimate = sampling.amount(seen: seen[asker])
        sums[asker] += estimate.value
        squares[asker] +=
          (estimate.value - Double(truth[asker])) * (estimate.value - Double(truth[asker]))
        claimed[asker] += estimate.standardError * estimate.standardError
      }
      if let share = sampling.share(seen: seen[0]) {
        shares += 1
        if abs(share.value - Double(truth[0]) / Double(total)) <= 2 * share.standardError + 1e-9 {
          shareInside += 1
        }
      }
    }
    for asker in 0..<4 {
      let deviation = (Double(truth[asker]) * Double(interval)).squareRoot()  // of Poisson points
      #expect(
        abs(sums[asker] / Double(runs) - Double(truth[asker])) < 4 * deviation
          / Double(runs).squareRoot())
      // Where a grant is larger than 64 intervals the claim is an upper bound.
      #expect(squares[asker] < 1.35 * claimed[asker] + 1)
    }
    #expect(Double(shareInside) > 0.9 * Double(shares))
  }

  @Test("Nothing is nothing, and a huge grant takes no time")
  func edges() {
    var generator = Seeded(state: 7)
    var sampler = Sampler(interval: 3, using: &generator)
    #expect(
      sampler.points(in: 0, using: &generator) == 0
        && sampler.points(in: -5, using: &generator) == 0)
    let huge = sampler.points(in: .max, using: &generator)
    #expect(huge == Int.max / 3 || huge == Int.max / 3 + 1)
    #expect(Sampling(interval: 3, points: 0).share(seen: 0) == nil)
    #expect(
      Sampling(interval: 10, points: 4).amount(seen: 4)
        == Sampling.Estimate(value: 40, standardError: 20))
    #expect(
      Sampling(interval: 10, points: 4).share(seen: 4)
        == Sampling.Estimate(value: 1, standardError: 0))
  }
}
