import ArgumentParser
import Command

/// `bcctl`: all commands but those on bounds in files speak with a running `bcd`.
struct Bcctl: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bcctl",
    abstract: "Speak with a running bcd: see, change and watch its beancounters.",
    discussion: """
      NAME is a beancounter's name or its numeric id. The server is that of --socket, else of BC_SERVER, else \
      $XDG_RUNTIME_DIR/beancounter/bcd.sock, else beancounter-UID/bcd.sock under the temporary directory.

      Exit status: 0; 1 when the server said no or there is none; 2 for a command line that cannot be read.
      """,
    version: "beancounter 0.1",
    subcommands: [
      ListCommand.self,
      ShowCommand.self,
      TopCommand.self,
      EventsCommand.self,
      DenialsCommand.self,
      HoldersCommand.self,
      MarkCommand.self,
      DiffCommand.self,
      SetCommand.self,
      CreateCommand.self,
      RemoveCommand.self,
      EnterCommand.self,
      BeancountersCommand.self,
      UbcCommand.self,
      BoundsCommand.self,
      ValidateCommand.self,
      CompletionsCommand.self,
    ])

  // A subcommand that has the same group takes the value from here.
  @OptionGroup var server: ServerSocket
}

do {
  var command = try Bcctl.parseAsRoot()
  try command.run()
} catch let refused as Refused {
  leave(1, "bcctl: \(Display.visible(refused.message))\n")
} catch let misused as UsageError {
  leave(2, "bcctl: \(misused.message)\n")
} catch {
  let text = Bcctl.fullMessage(for: error)
  switch Bcctl.exitCode(for: error) {
  case .success:
    do { try output(text + "\n") } catch { leave(1, "") }
  case .validationFailure: leave(2, "bcctl: " + withoutPrefix(text) + "\n")
  case let code: leave(code.rawValue, text.isEmpty ? "" : "bcctl: " + withoutPrefix(text) + "\n")
  }
}

/// ArgumentParser's messages begin with its own word, where ours have the program's name.
private func withoutPrefix(_ text: String) -> String {
  text.hasPrefix("Error: ") ? String(text.dropFirst(7)) : text
}
