import CLinux
import Command

clinux_open_standard()
clinux_restore_environment()

/// `bcd run …`, or bcd by the name of bcrun, is bcrun; anything else is the server that many share.
let isCalledBcrun = CommandLine.arguments.first?.split(separator: "/").last == "bcrun"
let isRun = isCalledBcrun || CommandLine.arguments.dropFirst().first == "run"
/// The words of argv before the options.
let ownWords = isCalledBcrun ? 1 : 2

func fail(_ message: String) -> Never {
  let text = "\(isRun ? "bcrun" : "bcd"): \(message)\n"
  _ = text.withCString { write(2, $0, strlen($0)) }
  exit(isRun ? 125 : 1)
}

func say(_ text: String) { text.withCString { _ = write(1, $0, strlen($0)) } }

if isRun {
  do {
    switch try parseOptions(
      (ownWords..<max(ownWords, Int(CommandLine.argc))).map {
        Bytes(cString: CommandLine.unsafeArgv[$0]!)
      })
    {
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
