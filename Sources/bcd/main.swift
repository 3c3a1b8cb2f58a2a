import CLinux
import Command

/// `bcd run …` is bcrun; anything else is the server that many share.
let isRun = CommandLine.arguments.dropFirst().first == "run"

func fail(_ message: String) -> Never {
  let text = "\(isRun ? "bcrun" : "bcd"): \(message)\n"
  _ = text.withCString { write(2, $0, strlen($0)) }
  exit(isRun ? 125 : 1)
}

func say(_ text: String) { text.withCString { _ = write(1, $0, strlen($0)) } }

if isRun {
  do {
    switch try parseOptions(Array(CommandLine.arguments.dropFirst(2))) {
    case .help: say(helpText)
    case .version: say("beancounter 0.1\n")
    case .run(let options):
      if !options.torture.isEmpty, options.tortureRound == nil { Torture(completed(options)).go() }
      Run(completed(options)).go()
    }
  } catch {
    fail(error.message)
  }
} else {
  serve(Array(CommandLine.arguments.dropFirst()))
}
