import Beancounters
import Command

/// A beancounter as `bcctl ubc` shows it.
struct UbcView {
  /// Figures of the run before, by resource; no held at all when there was none.
  struct Before {
    var failcnt: [String: Int64] = [:]
    var held: [String: Int64]?
  }

  var heldRatio = 0.5
  var maxheldRatio = 0.8
  var quiet = false
  var verbose = false
  var relative = false
  var incremental = false
  var color = false

  /// A heading and the rows that are to be shown; nothing when there is none.
  func lines(_ one: Reply.Beancounter, before: Before = Before()) -> [String] {
    let rows = one.resources.filter { isShown($0, before) }
    guard !rows.isEmpty else { return [] }
    let title = one.name == String(one.id) ? one.name : Display.visible("\(one.name) (\(one.id))")
    var columns: [(String, Table.Side)] = [(title, .left), ("HELD", .right)]
    if incremental { columns.append(("+/-", .right)) }
    for heading in [
      "BAR%", "LIM%", "MAXHELD", "BAR%", "LIM%", "BAR", "LIM", relative ? "+FAIL" : "FAIL",
    ] {
      columns.append((heading, .right))
    }
    let table = Table(columns: columns, rows: rows.map { cells($0, before) })
    var lines = table.lines()
    for (index, row) in rows.enumerated() where row.status != "exact" {
      lines[index + 1] += "  " + row.status
    }
    guard color else { return lines }
    return [lines[0]]
      + zip(rows, lines.dropFirst()).map { row, line in
        failures(row, before) > 0
          ? "\u{1b}[31m\(line)\u{1b}[0m" : isClose(row) ? "\u{1b}[33m\(line)\u{1b}[0m" : line
      }
  }

  /// The same rows for programs, amounts in the resource's own unit: `failures` and `change` are
  /// since the run before.
  func object(_ one: Reply.Beancounter, before: Before) -> String {
    func amount(_ value: Int64?) -> String { value.map { String($0) } ?? "null" }
    let rows = one.resources.filter { isShown($0, before) }.map { row in
      #"{"resource":\#(jsonString(row.resource)),"unit":"\#(row.unit.rawValue)","held":\#(row.held),"maxheld":\#(row.maxheld),"#
        + #""barrier":\#(amount(row.barrier)),"limit":\#(amount(row.limit)),"failcnt":\#(row.failcnt),"#
        + #""failures":\#(failures(row, before)),"change":\#(incremental ? amount(change(row, before) ?? 0) : "null"),"#
        + #""status":\#(jsonString(row.status))}"#
    }
    return
      #"{"id":\#(one.id),"name":\#(jsonString(one.name)),"resources":[\#(rows.joined(separator: ","))]}"#
  }

  private func isShown(_ row: Reply.Row, _ before: Before) -> Bool {
    if row.barrier == nil, row.limit == nil, !verbose, failures(row, before) == 0 { return false }
    guard quiet else { return true }
    return failures(row, before) > 0 || isClose(row) || incremental && change(row, before) ?? 0 != 0
  }

  private func isClose(_ row: Reply.Row) -> Bool {
    // A barrier of 0 without a limit is how physpages was left to be counted only.
    let bound = row.limit ?? row.bound.flatMap { $0 > 0 ? $0 : nil }
    return reaches(row.held, bound, heldRatio) || reaches(row.maxheld, bound, maxheldRatio)
  }

  private func reaches(_ amount: Int64, _ bound: Int64?, _ ratio: Double) -> Bool {
    guard let bound, amount > 0 else { return false }
    return Double(amount) >= ratio * Double(bound)
  }

  /// What was refused since the run before; a smaller count than then is that of a new beancounter
  /// with an old id.
  private func failures(_ row: Reply.Row, _ before: Before) -> Int64 {
    guard relative, let old = before.failcnt[row.resource], old <= row.failcnt else {
      return row.failcnt
    }
    return row.failcnt - old
  }

  private func change(_ row: Reply.Row, _ before: Before) -> Int64? {
    before.held.map { row.held &- ($0[row.resource] ?? 0) }
  }

  private func cells(_ row: Reply.Row, _ before: Before) -> [String] {
    func size(_ amount: Int64?) -> String {
      guard let amount, amount != 0 else { return "-" }
      return Display.human(amount, row.unit.own)
    }
    func share(_ amount: Int64, _ bound: Int64?) -> String {
      guard let bound, bound > 0 else { return "-" }
      let percent = Double(amount) / Double(bound) * 100
      return percent < 9999.5 ? "\(Int64(percent.rounded()))%" : ">9999%"
    }
    var cells = [row.resource, size(row.held)]
    if incremental {
      let change = change(row, before) ?? 0
      cells.append(change > 0 ? "+" + size(change) : size(change))
    }
    cells += [share(row.held, row.barrier), share(row.held, row.limit), size(row.maxheld)]
    cells += [
      share(row.maxheld, row.barrier), share(row.maxheld, row.limit), size(row.barrier),
      size(row.limit),
    ]
    let failures = failures(row, before)
    return cells + [failures == 0 ? "-" : String(failures)]
  }
}
