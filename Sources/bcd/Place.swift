import Beancounters
import CLinux
import Command

/// Where the beancounter of a run is kept.
protocol Place: AnyObject {
  /// What COMMAND needs to know to be a member.
  var membership: (server: String, token: String, shim: String) { get }
  /// Starts COMMAND as a member: 0 and its process, or an errno.
  func spawn(_ launch: Launch) -> (Int32, Int32)
  /// Waits until `fd` can be read, serving meanwhile what there is to serve.
  func wait(for fd: Int32, _ ready: () -> Void)
  /// Gives what COMMAND killed or left behind a moment to be gone.
  func settle()
  func report(_ options: Options, exit: Report.Exit, seconds: Double) -> ([Options.FailOn], String)
  /// COMMAND could not be started.
  func abandon()
  /// The report is out.
  func leave()
}

/// What COMMAND is started with.
struct Launch {
  let options: Options
  let environment: [String]
  let mask: sigset_t

  init(_ options: Options, environment: [String], mask: sigset_t) {
    self.options = options
    self.environment = environment
    self.mask = mask
  }

  /// argv as it came: a String cannot hold bytes that are not UTF-8.
  var argv: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?> { CommandLine.unsafeArgv + 2 + options.commandStart }
  var words: [UnsafeMutablePointer<CChar>?] { environment.map { strdup($0) } + [nil] }
}

enum Environment {
  /// Ours, with -e, and with what makes COMMAND a member.
  static func made(_ place: any Place, _ options: Options) -> [String] {
    var words: [(name: Substring, entry: String)] = []
    func set(_ entry: String) {
      let name = entry.prefix { $0 != "=" }
      words.removeAll { $0.name == name }
      words.append((name, entry))
    }
    var i = 0
    while let entry = clinux_environment(i) {
      let text = String(cString: entry)
      words.append((text.prefix { $0 != "=" }, text))
      i += 1
    }
    for entry in options.environment { set(entry) }
    let (server, token, shim) = place.membership
    let preload = words.first { $0.name == "LD_PRELOAD" }?.entry.dropFirst(11) ?? ""
    let others = preload.split { $0 == ":" || $0 == " " }.filter { $0 != shim }
    set("LD_PRELOAD=" + ([shim[...]] + others).joined(separator: ":"))
    set("BC_SERVER=" + server)
    set("BC_TOKEN=" + token)
    set("BC_SHIM=" + shim)
    if options.failures[.privvmpages] != nil { set("BC_INJECT=1") }
    if options.allowOnServerLoss { set("BC_ON_SERVER_LOSS=allow") }
    return words.map(\.entry)
  }
}
