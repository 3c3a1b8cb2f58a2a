import ArgumentParser

struct BeancountersCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "beancounters", abstract: "The text of /proc/user_beancounters, Version 2.5.",
    discussion: """
      Exactly as the 64-bit OpenVZ kernel printed it, for tools that read that file: the newest first, and without NAME none that \
      is within another.
      """)

  @Argument(help: "A name or an id; without one, all.", completion: .beancounters)
  var name: String?
  @OptionGroup var json: JSONOption
  @OptionGroup var server: ServerSocket

  func run() throws {
    if json.isOn {
      return try outputJSON(server.control().ask(name.map { ["show", $0] } ?? ["list"]))
    }
    let answer = try server.control().ask(["user_beancounters"] + (name.map { [$0] } ?? []))
    try Reply.check(answer)
    try output(answer)
  }
}
