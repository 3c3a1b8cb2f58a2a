import ArgumentParser
import Command
import Glibc

struct EnterCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "enter", abstract: "Run a command in a beancounter of the server.",
    usage: "bcctl enter <name> [--socket <path>] -- COMMAND [ARG…]",
    discussion: """
      This process becomes a member and then the command, in place: its exit status and signals are the command's own. \
      Exit status 126 when the command cannot be executed, 127 when it is not found.

      Example: bcctl enter web -- make -j8
      """)

  @Argument(help: "A name or an id.", completion: .beancounters)
  var name: String
  @Argument(
    parsing: .postTerminator, help: ArgumentHelp("The command, after --.", valueName: "command"))
  var command: [String] = []
  @OptionGroup var server: ServerSocket

  func validate() throws {
    guard !command.isEmpty else {
      throw ValidationError(
        "there is no command to run; give it after --, as in: bcctl enter \(name) -- make")
    }
  }

  func run() throws {
    let control = try server.control()
    try MemoryAhead.take()
    let answer = try control.ask(["enter", name])
    let entrance: Reply.Entrance = try Reply.read(answer)
    for (variable, value) in entrance.variables(
      preload: getenv("LD_PRELOAD").map { String(cString: $0) })
    {
      setenv(variable, value, 1)
    }
    // The words are taken from argv, for a String cannot hold bytes that are not UTF-8.
    let error = execute(CommandLine.unsafeArgv + (Int(CommandLine.argc) - command.count))
    leave(
      error == ENOENT ? 127 : 126,
      "bcctl: \(Display.visible(command[0])): \(String(cString: strerror(error)))\n")
  }

  private func execute(_ words: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Int32 {
    if let name = words[0] { execvp(name, words) }
    return errno
  }
}

/// From the answer on, this process is under the beancounter's bound on memory, and there is no
/// shim in it that could ask for more: what reading the answer takes must be there before.
private enum MemoryAhead {
  static func take() throws(Refused) {
    // Whatever is made at the first use.
    let _: Reply.Entrance = try Reply.read(Array(#"{"server":"","token":"","shim":""}"#.utf8))
    // Blocks below glibc's threshold for mappings of their own (128 KiB), freed under one that
    // stays: the heap cannot shrink past that one, and what is freed serves the next allocations.
    let blocks = (0..<64).map { _ in malloc(64 << 10) }
    for block in blocks.dropLast() { free(block) }
  }
}

extension Reply.Entrance {
  /// What bcrun gives its command, too: the shim before whatever else is preloaded, once.
  func variables(preload: String?) -> [(String, String)] {
    let others = (preload ?? "").split { $0 == ":" || $0 == " " }.filter { $0 != shim }
    return [
      ("BC_SERVER", server), ("BC_TOKEN", token), ("BC_SHIM", shim),
      ("LD_PRELOAD", ([shim] + others.map(String.init)).joined(separator: ":")),
    ]
  }
}
