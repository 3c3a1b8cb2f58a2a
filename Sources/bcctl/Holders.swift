import ArgumentParser
import Beancounters
import Command
import Witness

struct HoldersCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "holders",
    abstract: "Which processes hold a resource, what they hold, and where they obtained it.",
    discussion: """
      What a process holds is counted; how it is shared out among places in the program is an estimate, from grants that are \
      sampled by amount where the resource has a bound.
      """)

  @Argument(help: "A name or an id.", completion: .beancounters)
  var name: String
  @Argument(help: ArgumentHelp("The resource.", valueName: "res"), completion: .resources)
  var resource: String
  @OptionGroup var export: ExportOptions
  @OptionGroup var json: JSONOption
  @OptionGroup var server: ServerSocket

  func run() throws {
    let resource = try resourceName(resource)
    let answer = try server.control().ask(["holders", name, resource.name])
    if json.isOn { return try outputJSON(answer) }
    let holders = try Reply.read(answer, as: Reply.Holders.self).holders
    if export.isText {
      return try export.write(
        Holders.lines(holders) { Display.human($0, resource.unit) }.map { $0 + "\n" }.joined())
    }
    try export.write(
      holders.flatMap(Holders.holdings), title: "\(resource.name) held by \(name)",
      unit: resource.unit)
  }
}

/// Holders, the greatest first.
enum Holders {
  static func lines(_ holders: [Reply.Holder], amount: (Int64) -> String) -> [String] {
    holders.sorted { ($0.amount, $1.pid) > ($1.amount, $0.pid) }.flatMap { holder in
      let line = "\(Display.visible(holder.comm))[\(holder.pid)]: \(amount(holder.amount))"
      let places = (holder.stacks ?? []).map { place in
        let error = place.error > 0 ? " ± " + amount(place.error) : ""
        return "  about " + amount(place.amount) + error + " (estimate)  " + place.frames.line
      }
      let stack = (holder.stack ?? []).map { "    at \($0.text)" }
      return [line] + places + described(holder.items ?? []) + stack
    }
  }

  /// For exports: places below their process, which holds the rest at places that are not known.
  static func holdings(_ holder: Reply.Holder) -> [Holding] {
    let process = "\(holder.comm)[\(holder.pid)]"
    let places = (holder.stacks ?? []).map { (stack: $0.frames.under(process), amount: $0.amount) }
    let rest = holder.amount - places.reduce(0) { $0 + $1.amount }
    return places + (rest > 0 ? [(stack: [Frame(function: process)], amount: rest)] : [])
  }

  /// As many as are told one by one when they are the same file.
  private static let mostEqual = 4

  /// One line for each, or for all that are one file when those are many: a leak is a thousand of
  /// the same.
  private static func described(_ items: [Reply.Holder.Item]) -> [String] {
    var equal: [String: [Reply.Holder.Item]] = [:]
    for item in items { equal[item.what, default: []].append(item) }
    return items.compactMap { item in
      guard let all = equal[item.what] else { return nil }  // told already
      guard all.count > mostEqual else { return describe(item) }
      equal[item.what] = nil
      let times = all.compactMap(\.since).sorted()
      let since = times.first.map { first in
        " since \(Display.visible(first))"
          + (times.last == first ? "" : " … \(Display.visible(times.last ?? ""))")
      }
      let fds = all.compactMap(\.fd)
      return
        "  fd \(fds.min() ?? 0) … \(fds.max() ?? 0), \(all.count) times: \(Display.visible(item.what))\(since ?? "")"
    }
  }

  private static func describe(_ item: Reply.Holder.Item) -> String {
    let fd = item.fd.map { "fd \($0): " } ?? ""
    let since = item.since.map { " since \(Display.visible($0))" } ?? ""
    return "  \(fd)\(Display.visible(item.what))\(since)"
  }
}
