import ArgumentParser
import Beancounters
import Command
import Foundation

struct HoldersCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "holders", abstract: "Which processes hold a resource, what they hold, and since when.")

  @Argument(help: "A name or an id.", completion: .beancounters)
  var name: String
  @Argument(help: ArgumentHelp("The resource.", valueName: "res"), completion: .resources)
  var resource: String
  @OptionGroup var json: JSONOption
  @OptionGroup var server: ServerOptions

  func run() throws {
    let resource = try resourceName(resource)
    let answer = try server.control().ask(["holders", name, resource.name])
    if json.isOn { return try outputJSON(answer) }
    let holders = try Reply.read(answer, as: Reply.Holders.self).holders
    try output(Holders.lines(holders) { Display.human($0, resource.unit) }.map { $0 + "\n" }.joined())
  }
}

/// Holders, the greatest first.
enum Holders {
  static func lines(_ holders: [Reply.Holder], amount: (Int64) -> String) -> [String] {
    holders.sorted { ($0.amount, $1.pid) > ($1.amount, $0.pid) }.flatMap { holder in
      let line = "\(Display.visible(holder.comm))[\(holder.pid)]: \(amount(holder.amount))"
      return [line] + (holder.items ?? []).map(describe) + (holder.stack ?? []).map { "    at \($0.text)" }
    }
  }

  private static func describe(_ item: Reply.Holder.Item) -> String {
    let fd = item.fd.map { "fd \($0): " } ?? ""
    let since = item.since.map { " since \(Display.visible($0))" } ?? ""
    return "  \(fd)\(Display.visible(item.what))\(since)"
  }
}
