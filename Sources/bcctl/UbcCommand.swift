import ArgumentParser
import Command
import FoundationEssentials
import Glibc

struct UbcCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ubc", abstract: "Beancounters for people, with the options of vzubc(8).",
    discussion: """
      Amounts are sizes, and held and maxheld are also shown as shares of the barrier and the limit. Nothing and no bound \
      are both shown as -. Names and ids that no beancounter has are passed over.

      The ratio of -qh and -qm is to the limit, or to the barrier where there is no limit. Without -r and -i nothing is \
      saved; with them the figures of this run are, in $XDG_STATE_HOME/beancounter/ubc (~/.local/state/…) or the \
      directory of -rd.

      Example: bcctl ubc -q -c -qh 0.8 -qm 1 web
      """)

  @Argument(help: "Names or ids; without any, all.", completion: .beancounters)
  var names: [String] = []

  @Flag(name: [.short, .long], help: "Run under watch(1), every 2 seconds.")
  var watch = false
  @Flag(name: .customLong("wd", withSingleDash: true), help: "watch -d: mark what changes.")
  var watchDifferences = false
  @Flag(name: .customLong("wt", withSingleDash: true), help: "watch -t: no title.")
  var watchWithoutTitle = false
  @Option(
    name: .customLong("wn", withSingleDash: true),
    help: ArgumentHelp("watch -n: the interval.", valueName: "seconds"))
  var watchInterval: Double?

  @Flag(name: [.short, .long], help: "Only rows with failures, or close to a limit.")
  var quiet = false
  @Option(
    name: .customLong("qh", withSingleDash: true),
    help: ArgumentHelp("Close is held from this on.", valueName: "ratio"))
  var heldRatio = 0.5
  @Option(
    name: .customLong("qm", withSingleDash: true),
    help: ArgumentHelp("Close is maxheld from this on.", valueName: "ratio"))
  var maxheldRatio = 0.8
  @Flag(name: [.short, .long], help: "Also rows without any bound.")
  var verbose = false

  @Flag(
    name: [.short, .long], help: "Failures since the last run with -r; the column is headed +FAIL.")
  var relative = false
  @Option(
    name: [.customLong("rd", withSingleDash: true), .customLong("id", withSingleDash: true)],
    help: ArgumentHelp("Where figures are saved for the next run.", valueName: "directory"),
    completion: .directory)
  var directory: String?
  @Flag(name: .customLong("rc", withSingleDash: true), help: "Forget all saved failures first.")
  var clearFailures = false
  @Flag(
    name: [.short, .long], help: "A column of what held has changed by since the last run with -i.")
  var incremental = false
  @Flag(name: .customLong("ic", withSingleDash: true), help: "Forget all saved held first.")
  var clearHeld = false

  @Flag(name: [.short, .long], help: "Close rows in yellow, those with failures in red.")
  var color = false
  @Option(
    name: [.short, .long],
    help: ArgumentHelp("Read this instead of asking the server; - is stdin.", valueName: "file"),
    completion: .file())
  var file: String?
  @OptionGroup var json: JSONOption
  @OptionGroup var server: ServerSocket

  private var watches: Bool {
    watch || watchDifferences || watchWithoutTitle || watchInterval != nil
  }

  func validate() throws {
    for (option, ratio) in [("-qh", heldRatio), ("-qm", maxheldRatio)] where !(ratio >= 0) {
      throw ValidationError("\(option): accepted: a ratio such as 0.5, not below 0")
    }
    if let watchInterval, !(watchInterval >= 0.1) {
      throw ValidationError("-wn: accepted: seconds, 0.1 or more")
    }
    if watches, json.isOn {
      throw ValidationError("--json is for programs, and -w for people; leave one out")
    }
    if watches, file == "-" {
      throw ValidationError("-w reads again and again, which stdin cannot give; name a file")
    }
  }

  func run() throws {
    if watches { try runUnderWatch() }
    let store = UbcStore(
      directory: directory ?? UbcStore.standard(ProcessInfo.processInfo.environment))
    if clearFailures { try store.clear(.failcnt) }
    if clearHeld { try store.clear(.held) }
    let view = UbcView(
      heldRatio: heldRatio, maxheldRatio: maxheldRatio, quiet: quiet, verbose: verbose,
      relative: relative,
      incremental: incremental, color: color)
    var text = ""
    var objects: [String] = []
    for one in try wanted(all()) {
      let old = UbcView.Before(
        failcnt: relative ? store.read(.failcnt, of: one.id) ?? [:] : [:],
        held: incremental ? store.read(.held, of: one.id) : nil)
      text += view.lines(one, before: old).map { $0 + "\n" }.joined()
      objects.append(view.object(one, before: old))
      if relative { try store.save(.failcnt, of: one) }
      if incremental { try store.save(.held, of: one) }
    }
    try output(json.isOn ? #"{"beancounters":[\#(objects.joined(separator: ","))]}"# + "\n" : text)
  }

  private func all() throws -> [Reply.Beancounter] {
    guard let file else {
      return try Reply.read(server.control().ask(["list"]), as: Reply.List.self).beancounters
    }
    return try UbcFile.read(String(decoding: Files.read(file), as: UTF8.self), from: file)
  }

  private func wanted(_ all: [Reply.Beancounter]) -> [Reply.Beancounter] {
    names.isEmpty ? all : all.filter { names.contains($0.name) || names.contains(String($0.id)) }
  }

  /// The same command without -w, under watch(1).
  private func runUnderWatch() throws -> Never {
    var words = ["watch", "-x"]
    if watchDifferences { words.append("-d") }
    if watchWithoutTitle { words.append("-t") }
    if color { words.append("-c") }
    words += [
      "-n", String(watchInterval ?? 2), "--", try ownPath(), "ubc", "-qh", String(heldRatio), "-qm",
      String(maxheldRatio),
    ]
    let flags = [
      ("-q", quiet), ("-v", verbose), ("-r", relative), ("-i", incremental), ("-c", color),
    ]
    words += flags.filter { $0.1 }.map { $0.0 }
    if let directory { words += ["-rd", directory] }
    if let file { words += ["-f", file] }
    if let socket = server.socket { words += ["--socket", socket] }
    words += ["--"] + names
    // What is to be forgotten is forgotten once, not every two seconds.
    let store = UbcStore(
      directory: directory ?? UbcStore.standard(ProcessInfo.processInfo.environment))
    if clearFailures { try store.clear(.failcnt) }
    if clearHeld { try store.clear(.held) }
    let vector = words.map { strdup($0) } + [nil]
    execvp("watch", vector)
    throw Refused("watch: \(String(cString: strerror(errno))); install procps, or leave out -w")
  }

  private func ownPath() throws -> String {
    var path = [CChar](repeating: 0, count: 4096)
    let n = readlink("/proc/self/exe", &path, path.count)
    guard n > 0 else { throw Files.refused("/proc/self/exe") }
    return String(decoding: path[..<n].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
