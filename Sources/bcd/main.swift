import Beancounters
import CLinux
import Command

func fail(_ message: String) -> Never {
  let text = "bcrun: \(message)\n"
  _ = text.withCString { write(2, $0, strlen($0)) }
  exit(125)
}

let parsed: Parsed
do {
  parsed = try parseOptions(Array(CommandLine.arguments.dropFirst()))
} catch {
  fail(error.message)
}
switch parsed {
case .help:
  helpText.withCString { _ = write(1, $0, strlen($0)) }
case .version:
  _ = write(1, "beancounter 0.1\n", 16)
case .run(let options):
  Run(completed(options)).go()
}
