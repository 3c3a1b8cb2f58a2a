import ArgumentParser
import Configuration

struct ValidateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "validate",
    abstract: "Check configuration files against OpenVZ's consistency rules.",
    discussion: """
      Three severities, as vzcfgvalidate has them: error, warning and recommendation. Exits 1 when a file has an error \
      or cannot be read. The rules are advice: the bounds work as they are.
      """)

  @Flag(help: "Print one JSON object.")
  var json = false

  @Argument(help: "The files to check.", completion: .file())
  var files: [String]

  func run() throws {
    let verdicts = files.map { Verdict(path: $0) }
    if json {
      print(#"{"files":[\#(verdicts.map(\.json).joined(separator: ","))]}"#)
    } else {
      for verdict in verdicts { print(verdict.text, terminator: "") }
    }
    if verdicts.contains(where: \.failed) { throw ExitCode(1) }
  }
}
