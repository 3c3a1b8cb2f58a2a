import ArgumentParser
import Command
import Configuration
import Glibc

/// Reads configuration files for whoever must not link what that takes: bcrun and bcd run this and
/// read its lines.
struct BoundsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bounds", abstract: "Print the bounds that configuration files set.",
    discussion: """
      FILE is an OpenVZ container configuration (KEY="BARRIER:LIMIT") or TOML with a [bounds] table, told apart by the \
      extension (.conf, .toml) or the first line. Each file is printed as a line that begins with #, and lines \
      RES=BARRIER:LIMIT in the resource's own unit. Profiles come first. Nothing is printed when a file has an error.
      """)

  @Flag(
    help: "Print every [beancounter.NAME] of a file, each under a # line of its own, with its name."
  )
  var each = false

  @Option(help: ArgumentHelp("Print a sample that came with OpenVZ.", valueName: "name"))
  var profile: [Profile] = []

  @Argument(help: "The files to read.", completion: .file())
  var files: [String] = []

  func validate() throws {
    if files.isEmpty, profile.isEmpty { throw ValidationError("Name a file or a --profile.") }
  }

  func run() throws {
    var out = profile.map { $0.configured.lines(from: $0.rawValue) }.joined()
    var failed = false
    for path in files {
      do {
        let file = try ConfigurationFile(path: path)
        out += each ? file.eachBoundsLines() : try file.boundsLines()
      } catch {
        failed = true
        _ = "\(error)\n".withCString { write(2, $0, strlen($0)) }
      }
    }
    if failed { throw ExitCode(1) }
    print(out, terminator: "")
  }
}

extension Profile: ExpressibleByArgument {}
