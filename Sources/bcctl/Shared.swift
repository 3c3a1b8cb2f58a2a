import ArgumentParser
import Beancounters
import Command
import FoundationEssentials

/// Which server, for every command that asks one.
struct ServerSocket: ParsableArguments {
  @Option(help: ArgumentHelp("The server's socket.", valueName: "path"), completion: .file())
  var socket: String?

  func control() throws -> Control {
    Control(
      path: try ServerPath.find(option: socket, environment: ProcessInfo.processInfo.environment))
  }
}

/// `--json`, for every command that prints what the server said.
struct JSONOption: ParsableArguments {
  @Flag(name: .customLong("json"), help: "Print the server's object.")
  var isOn = false
}

extension CompletionKind {
  /// The names of the running server's beancounters.
  static var beancounters: CompletionKind { .shellCommand("bcctl list -H -o name 2>/dev/null") }
  static var resources: CompletionKind { .list(Resource.allCases.map(\.name)) }
}

/// A resource's name as given; the error helps with a slip.
func resourceName(_ word: String) throws(UsageError) -> Resource {
  if let resource = Resource(name: word) { return resource }
  let names = Resource.allCases.map(\.name)
  let hint = Display.nearest(to: word, among: names).map { " (did you mean \($0)?)" } ?? ""
  throw UsageError(
    "\(Display.quoted(word)) is no resource\(hint); accepted: \(names.joined(separator: ", "))")
}

/// The server's answer as it is, ended by a newline.
func outputJSON(_ answer: [UInt8]) throws {
  try Reply.check(answer)
  try output(answer.last == UInt8(ascii: "\n") ? answer : answer + [UInt8(ascii: "\n")])
}

/// An answer that says no more than that it is done: printed with `--json` alone.
func done(_ answer: [UInt8], _ json: JSONOption) throws {
  let _: Reply.Done = try Reply.read(answer)
  if json.isOn { try outputJSON(answer) }
}
