import Beancounters
import CLinux
import Command

/// Where the beancounter of a run is kept.
protocol Place: AnyObject {
  /// What COMMAND needs to know to be a member.
  var membership: (server: String, token: String, shim: String) { get }
  /// Starts COMMAND as a member: 0 and its process, or an errno, or CLINUX_NO_INTERPRETER.
  func spawn(_ launch: Launch) -> (Int32, Int32)
  /// Waits until `fd` can be read, serving meanwhile what there is to serve.
  func wait(for fd: Int32, _ ready: () -> Void)
  /// Gives what COMMAND killed or left behind a moment to be gone.
  func settle()
  /// `peak`: what was most resident of one process, of COMMAND and those that it waited for, in
  /// KiB.
  func report(_ options: Options, exit: Report.Exit, seconds: Double, peak: Int) -> (
    [Options.FailOn], String
  )
  /// COMMAND could not be started.
  func abandon()
  /// The report is out.
  func leave()
}

/// What COMMAND is started with.
struct Launch {
  let options: Options
  let environment: [Bytes]
  let mask: sigset_t

  init(_ options: Options, environment: [Bytes], mask: sigset_t) {
    self.options = options
    self.environment = environment
    self.mask = mask
  }

  /// argv as it came: a String cannot hold bytes that are not UTF-8.
  var argv: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?> {
    CommandLine.unsafeArgv + ownWords + options.commandStart
  }
  var words: [UnsafeMutablePointer<CChar>?] {
    environment.map { $0.withCString { strdup($0) } } + [nil]
  }

  func withDirectory<Result>(_ body: (UnsafePointer<CChar>?) -> Result) -> Result {
    options.workdir.map { $0.withCString(body) } ?? body(nil)
  }
}

enum Environment {
  /// Ours, with -e, and with what makes COMMAND a member.
  static func made(_ place: any Place, _ options: Options) -> [Bytes] {
    var words = own()
    func name(_ entry: Bytes) -> ArraySlice<UInt8> {
      entry.bytes.prefix { $0 != UInt8(ascii: "=") }
    }
    func set(_ entry: Bytes) {
      words.removeAll { name($0) == name(entry) }
      words.append(entry)
    }
    for entry in options.environment { set(entry) }
    let (server, token, shim) = place.membership
    let preload =
      words.first { name($0).elementsEqual("LD_PRELOAD".utf8) }?.bytes.dropFirst(11) ?? []
    let others = preload.split { $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: " ") }.filter {
      !$0.elementsEqual(shim.utf8)
    }
    set(
      Bytes(others.reduce(Array("LD_PRELOAD=\(shim)".utf8)) { $0 + [UInt8(ascii: ":")] + $1 }[...]))
    set("BC_SERVER=\(server)")
    set("BC_TOKEN=\(token)")
    set("BC_SHIM=\(shim)")
    if options.failures[.privvmpages] != nil { set("BC_INJECT=1") }
    if options.allowOnServerLoss { set("BC_ON_SERVER_LOSS=allow") }
    return words
  }

  private static func own() -> [Bytes] {
    var words: [Bytes] = []
    while let entry = clinux_environment(words.count) { words.append(Bytes(cString: entry)) }
    return words
  }
}
