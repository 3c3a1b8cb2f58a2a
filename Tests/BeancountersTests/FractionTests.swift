import Beancounters
import TestSupport
import Testing

@Suite struct FractionRule {
  private func sequence(_ holders: [Int]) -> [[String]] {
    var fractions = Fractions()
    let page = Fractions.Page(file: fractions.file(device: 1, inode: 2), index: 3)
    return holders.map {
      fractions.add(page, to: $0)
      return fractions.shares(page).map { "\($0.holder):1/\(1 << $0.shift)" }
    }
  }

  /// The order of 2.6.18 kernel/ub/ub_page_bc.c, holders numbered as they come.
  @Test func anArrivalHalvesTheHead() {
    #expect(
      sequence([1, 2, 3, 4, 5]) == [
        ["1:1/1"],
        ["1:1/2", "2:1/2"],
        ["2:1/2", "1:1/4", "3:1/4"],
        ["1:1/4", "3:1/4", "2:1/4", "4:1/4"],
        ["3:1/4", "2:1/4", "4:1/4", "1:1/8", "5:1/8"],
      ])
  }

  @Test func whoHasThePageAlreadyPaysNoMore() {
    #expect(sequence([1, 1, 2, 1, 2]).last == ["1:1/2", "2:1/2"])
  }

  @Test func theLastToLeaveHadItAll() {
    var fractions = Fractions()
    let page = Fractions.Page(file: fractions.file(device: 1, inode: 2), index: 0)
    for holder in 0..<3 { fractions.add(page, to: holder) }
    fractions.add(page, to: 0)
    #expect(fractions.held(1) == Fractions.unitsPerPage / 2)
    #expect(fractions.pages(1) == 0)
    let step1 = fractions.remove(page, from: 1)  // the big one: both others grow
    #expect(step1)
    #expect(fractions.held(0) == Fractions.unitsPerPage / 2)
    #expect(fractions.held(2) == Fractions.unitsPerPage / 2)
    let step2 = fractions.remove(page, from: 2)
    #expect(step2)
    let step3 = fractions.remove(page, from: 0)
    #expect(step3)
    #expect(fractions.pages(0) == 1)  // one process of it still has it
    let step4 = fractions.remove(page, from: 0)
    #expect(step4)
    let step5 = fractions.remove(page, from: 0)
    #expect(!step5)
    #expect(fractions.held(0) == 0)
    #expect(fractions.pageCount == 0)
  }

  @Test func aFileIsForgottenOnlyWithoutPages() {
    var fractions = Fractions()
    let one = fractions.file(device: 8, inode: 100)
    let again = fractions.file(device: 8, inode: 100)
    #expect(again == one)
    fractions.add(one, from: 10, count: 5, to: 7)
    #expect(fractions.pages(7) == 5)
    let step6 = fractions.forget(one)
    #expect(!step6)
    let step7 = fractions.remove(one, from: 8, count: 5, from: 7)
    #expect(step7 == 2)
    let step8 = fractions.remove(one, from: 13, count: 2, from: 7)
    #expect(step8 == 0)
    #expect(fractions.held(7) == 0)
    let step9 = fractions.forget(one)
    #expect(step9)
    let step10 = fractions.forget(one)
    #expect(!step10)
    let other = fractions.file(device: 8, inode: 200)
    fractions.add(other, from: 0, count: 1, to: 7)
    #expect(fractions.pages(7) == 1)
  }

  /// Every order in which five holders can leave.
  @Test func theyMayLeaveInAnyOrder() {
    func orders(_ rest: [Int]) -> [[Int]] {
      rest.isEmpty
        ? [[]] : rest.flatMap { one in orders(rest.filter { $0 != one }).map { [one] + $0 } }
    }
    for order in orders([0, 1, 2, 3, 4]) {
      let arrivals = (0..<5).map { Step.add(0, $0) }
      let broken = FractionWorld.broken(arrivals + order.map { Step.remove(0, $0) })
      #expect(broken == nil, "\(order)")
    }
  }
}

private enum Step: CustomStringConvertible {
  case add(UInt32, Int)
  case remove(UInt32, Int)

  init(_ word: UInt64, holders: UInt64) {
    let page = UInt32(word >> 8 & 3), holder = Int((word >> 16) % holders)
    self = word & 1 == 0 ? .add(page, holder) : .remove(page, holder)
  }

  var description: String {
    switch self {
    case .add(let page, let holder): "+\(page):\(holder)"
    case .remove(let page, let holder): "-\(page):\(holder)"
    }
  }
}

/// The fractions beside a table of who has what.
private struct FractionWorld {
  var fractions = Fractions()
  var counts: [UInt32: [Int: Int]] = [:]
  let files: [Fractions.File]

  init() {
    var fractions = Fractions()
    files = [fractions.file(device: 5, inode: 0), fractions.file(device: 5, inode: 1)]
    self.fractions = fractions
  }

  private func page(_ number: UInt32) -> Fractions.Page {
    Fractions.Page(file: files[Int(number) % 2], index: number / 2)
  }

  /// nil, or which law it broke.
  mutating func step(_ step: Step) -> String? {
    let touched: UInt32
    var others: [Int: UInt64] = [:]
    switch step {
    case .add(let number, let holder):
      touched = number
      let isNew = counts[number]?[holder] == nil
      for one in counts[number, default: [:]].keys where one != holder {
        others[one] = fractions.held(one)
      }
      fractions.add(page(number), to: holder)
      counts[number, default: [:]][holder, default: 0] += 1
      let changed = others.count { fractions.held($0.key) != $0.value }
      let expected = isNew && !others.isEmpty ? 1 : 0
      if changed != expected { return "an arrival changed \(changed) others, not \(expected)" }
    case .remove(let number, let holder):
      touched = number
      let had = counts[number]?[holder] ?? 0
      if fractions.remove(page(number), from: holder) != (had > 0) {
        return "removed what was not there, or did not"
      }
      if had > 0 { counts[number]![holder] = had == 1 ? nil : had - 1 }
    }
    return law(touched)
  }

  private func law(_ number: UInt32) -> String? {
    let shares = fractions.shares(page(number))
    let there = counts[number] ?? [:]
    if Dictionary(uniqueKeysWithValues: shares.map { ($0.holder, $0.count) }) != there {
      return "holders \(shares)"
    }
    let sum = shares.reduce(UInt64(0)) { $0 + Fractions.unitsPerPage >> UInt64($1.shift) }
    if !shares.isEmpty, sum != Fractions.unitsPerPage { return "the shares add up to \(sum)" }
    let shifts = shares.map(\.shift)
    if zip(shifts, shifts.dropFirst()).contains(where: { $0 > $1 }) {
      return "shares grow from the head: \(shifts)"
    }
    if let first = shifts.first, let last = shifts.last, last - first > 1 {
      return "halved more than once: \(shifts)"
    }
    var held: [Int: UInt64] = [:]
    for number in counts.keys {
      for share in fractions.shares(page(number)) {
        held[share.holder, default: 0] += Fractions.unitsPerPage >> UInt64(share.shift)
      }
    }
    for holder in 0..<40 where fractions.held(holder) != held[holder, default: 0] {
      return
        "\(holder) is said to hold \(fractions.held(holder)) and holds \(held[holder, default: 0])"
    }
    if fractions.pageCount != counts.values.count(where: { !$0.isEmpty }) { return "pages" }
    return nil
  }

  static func broken(_ steps: [Step]) -> String? {
    var world = FractionWorld()
    for step in steps {
      if let law = world.step(step) { return law }
    }
    return nil
  }
}

@Suite struct FractionLaws {
  /// 200 000 arrivals and departures in 400 runs, with few and with many holders.
  @Test(arguments: 0..<40) func holdInEveryOrder(batch: Int) {
    let seeds = UInt64(batch * 10)..<UInt64(batch * 10 + 10)
    let broken = firstBroken(
      seeds, filter: "FractionLaws",
      steps: { random in
        let holders = ([2, 5, 12, 40] as [UInt64]).randomElement(using: &random)!
        return (0..<500).map { _ in Step(random.next(), holders: holders) }
      }, law: FractionWorld.broken)
    #expect(broken == nil, "\(broken?.description ?? "")")
  }
}

private struct RunStep: CustomStringConvertible {
  var isArrival: Bool
  var first: UInt32
  var count: UInt32
  var holder: Int

  static let pages: UInt32 = 12

  init(_ word: UInt64, holders: UInt64) {
    isArrival = word % 8 < 5
    first = UInt32(word >> 8 & 0xff) % RunStep.pages
    count = 1 + UInt32(word >> 16 & 0xff) % (RunStep.pages - first)
    holder = Int((word >> 32) % holders)
  }

  var description: String {
    "\(isArrival ? "+" : "-")\(first)…\(first + count - 1):\(holder)"
  }
}

/// A file that is held by the run, beside one in which no page has another beside it.
private struct RunWorld {
  private var byRun = Fractions()
  private var byPage = Fractions()
  private let file: Fractions.File
  private let apart: Fractions.File

  init() {
    var one = Fractions(), other = Fractions()
    file = one.file(device: 1, inode: 1)
    apart = other.file(device: 1, inode: 1)
    (byRun, byPage) = (one, other)
  }

  /// nil, or what is not the same in both.
  mutating func step(_ step: RunStep) -> String? {
    let pages = step.first..<(step.first + step.count)
    var missing = 0, missed = 0
    if step.isArrival {
      byRun.add(file, from: step.first, count: step.count, to: step.holder)
      for i in pages { byPage.add(.init(file: apart, index: 2 * i), to: step.holder) }
    } else {
      missing = byRun.remove(file, from: step.first, count: step.count, from: step.holder)
      for i in pages {
        missed += byPage.remove(.init(file: apart, index: 2 * i), from: step.holder) ? 0 : 1
      }
    }
    if missing != missed { return "\(missing) of a run were not there, and \(missed) by the page" }
    func text(_ shares: [(holder: Int, shift: Int, count: Int)]) -> [String] {
      shares.map { "\($0.holder):2^-\($0.shift) of \($0.count)" }
    }
    var apartExtents = 0
    var last: [String]?
    for i in 0..<RunStep.pages {
      let expected = text(byPage.shares(.init(file: apart, index: 2 * i)))
      let found = text(byRun.shares(.init(file: file, index: i)))
      if found != expected { return "page \(i) has \(found), not \(expected)" }
      if !expected.isEmpty, expected != last { apartExtents += 1 }
      last = expected
    }
    if byRun.extentCount != apartExtents {
      return "\(byRun.extentCount) extents where \(apartExtents) do"
    }
    for holder in 0..<40 where byRun.held(holder) != byPage.held(holder) {
      return "\(holder) holds \(byRun.held(holder)), not \(byPage.held(holder))"
    }
    return byRun.pageCount == byPage.pageCount ? nil : "\(byRun.pageCount) pages"
  }

  static func broken(_ steps: [RunStep]) -> String? {
    var world = RunWorld()
    for step in steps {
      if let law = world.step(step) { return law }
    }
    return nil
  }
}

@Suite struct FractionRuns {
  /// 80 000 runs that overlap, in 200 orders.
  @Test(arguments: 0..<40) func areHeldAsTheirPagesWouldBe(batch: Int) {
    let seeds = UInt64(batch * 5)..<UInt64(batch * 5 + 5)
    let broken = firstBroken(
      seeds, filter: "FractionRuns",
      steps: { random in
        let holders = ([1, 2, 5, 12] as [UInt64]).randomElement(using: &random)!
        return (0..<400).map { _ in RunStep(random.next(), holders: holders) }
      }, law: RunWorld.broken)
    #expect(broken == nil, "\(broken?.description ?? "")")
  }
}
