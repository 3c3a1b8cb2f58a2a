import ArgumentParser
import Beancounters
import Command

struct ShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "One beancounter: every row with its status, its processes, and the server's work.",
    discussion: """
      The status of a row says what its figures are: exact, an estimate (held is never too low, but for kmemsize), a view \
      (the kernel's figure at a look, which no call is refused for), or unseen: not all of it can be seen here, or nobody \
      looked. The mode is fast while an estimate within the barrier is enough, and slow \
      while every charge needs an exact count.
      """)

  @Argument(help: "A name or an id.", completion: .beancounters)
  var name: String
  @Argument(
    help: ArgumentHelp("Only the rows of these resources.", valueName: "res"),
    completion: .resources)
  var resources: [String] = []
  @OptionGroup var json: JSONOption
  @OptionGroup var server: ServerSocket

  func run() throws {
    var only: [Resource] = []
    for word in resources { only.append(try resourceName(word)) }
    let answer = try server.control().ask(["show", name] + only.map(\.name))
    if json.isOn { return try outputJSON(answer) }
    let one: Reply.Beancounter = try Reply.read(answer, as: Reply.Show.self).beancounter
    let lines = only.isEmpty ? Show.lines(one) : try Show.rows(one, only: only.map(\.name))
    try output(lines.map { $0 + "\n" }.joined())
  }
}

/// One beancounter as people read it.
enum Show {
  static func lines(_ one: Reply.Beancounter) -> [String] {
    var lines = [headline(one)] + table(one.resources, mode: one.mode).lines()
    if let processes = one.processes, !processes.isEmpty {
      lines.append("processes:")
      let columns: [(String, Table.Side)] = [("PID", .right), ("COMM", .left), ("COVERAGE", .left)]
      let cells = processes.map { [String($0.pid), $0.comm, $0.coverage] }
      lines += Table(columns: columns, rows: cells, indent: "  ").lines()
    }
    if let denials = one.denials, !denials.isEmpty {
      lines += ["denials:"] + denials.flatMap(Denials.lines)
    }
    if let uncovered = one.uncovered, !uncovered.isEmpty {
      lines.append("uncovered:")
      lines += uncovered.map {
        "  \(Display.visible($0.executable))[\($0.pid)]: \(Display.visible($0.reason))"
      }
    }
    if let work = one.server { lines.append("server: " + describe(work)) }
    return lines
  }

  /// The rows of some resources alone; refuses to be silent about one that the server does not
  /// show.
  static func rows(_ one: Reply.Beancounter, only names: [String]) throws(Refused) -> [String] {
    var rows: [Reply.Row] = []
    for name in names {
      guard let row = one[name] else { throw Refused("the server has no row \(name)") }
      rows.append(row)
    }
    return table(rows, mode: one.mode).lines()
  }

  private static func headline(_ one: Reply.Beancounter) -> String {
    let parent = one.parent.map { ", in \(Display.visible($0))" } ?? ""
    return
      "\(Display.visible(one.name)) (id \(one.id)\(parent)): \(Display.plural(Int64(one.members), "member"))"
  }

  private static func table(_ rows: [Reply.Row], mode: [String: String]?) -> Table {
    var table = Table(
      columns: [
        ("RESOURCE", .left), ("HELD", .right), ("MAXHELD", .right), ("BARRIER", .right),
        ("LIMIT", .right),
        ("FAILCNT", .right), ("STATUS", .left), ("MODE", .left),
      ], indent: "  ")
    for row in rows {
      let unit = row.unit.own
      func bound(_ amount: Int64?) -> String { Display.human(amount ?? Bounds.unlimited, unit) }
      table.rows.append([
        row.resource, Display.human(row.held, unit), Display.human(row.maxheld, unit),
        bound(row.barrier),
        bound(row.limit), String(row.failcnt), row.status, mode?[row.resource] ?? "-",
      ])
    }
    if mode?.isEmpty ?? true {
      table.columns.removeLast()
      for index in table.rows.indices { table.rows[index].removeLast() }
    }
    return table
  }

  private static func describe(_ work: Reply.Work) -> String {
    var words = [
      Display.plural(work.requests, "request"), Display.plural(work.recalls, "recall"),
      Display.plural(work.recounts, "recount"),
    ]
    if let switches = work.switches {
      words += ["\(switches.toSlow) to slow", "\(switches.toFast) to fast"]
    }
    if let reclaims = work.reclaims, reclaims.times > 0 {
      words.append(
        "\(Display.plural(reclaims.pages, "page")) out in \(Display.plural(reclaims.times, "reclaim"))"
      )
    }
    return words.joined(separator: ", ")
  }
}
