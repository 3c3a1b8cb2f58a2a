import ArgumentParser
import Beancounters
import Command

struct SetCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "set", abstract: "Change bounds of a live beancounter; all of them, or none.",
    discussion: """
      One value sets barrier and limit, 100: the barrier alone, :120 the limit alone. Sizes: K M G T P(ages) B, base \
      1024; a bare number is in the resource's own unit. A bound may be below what is held: what exists stays, and new \
      charges fail.

      Example: bcctl set web numfile=100:120 privvmpages=64M: numproc=unlimited
      """)

  @Argument(help: "A name or an id.", completion: .beancounters)
  var name: String
  @Argument(
    help: ArgumentHelp("New bounds.", valueName: "res=barrier[:limit]"),
    completion: .boundsOfResources)
  var bounds: [String]
  @OptionGroup var json: JSONOption
  @OptionGroup var server: ServerSocket

  func run() throws {
    let words = try Change.words(bounds)
    try done(try server.control().ask(["set", name] + words), json)
    Change.warn(of: bounds)
  }
}

struct CreateCommand: ParsableCommand {
  enum Errno: String, ExpressibleByArgument, CaseIterable { case posix, openvz }
  enum Loss: String, ExpressibleByArgument, CaseIterable { case deny, allow }
  enum Full: String, ExpressibleByArgument, CaseIterable { case refuse, reclaim }

  static let configuration = CommandConfiguration(
    commandName: "create", abstract: "Make an empty beancounter, and print its id.",
    discussion: "Example: bcctl create web --parent all numfile=1000 privvmpages=1G:1200M")

  @Argument(help: "The name.")
  var name: String
  @Argument(
    help: ArgumentHelp("Its bounds.", valueName: "res=barrier[:limit]"),
    completion: .boundsOfResources)
  var bounds: [String] = []
  @Option(
    help: ArgumentHelp("Its id, of at most 8 digits (default: one that is free).", valueName: "n"))
  var id: Int?
  @Option(
    help: ArgumentHelp("The beancounter that it is in.", valueName: "name"),
    completion: .beancounters)
  var parent: String?
  @Option(help: "Which error a denied fork gives: EAGAIN or ENOMEM.")
  var errno = Errno.posix
  @Option(help: "Charges while the server is lost.")
  var onServerLoss = Loss.deny
  @Option(
    help: "Growth at the limit of physpages: refused, or once idle members have been paged out.")
  var onPhyspages = Full.refuse
  @Flag(help: "Members see their bound on memory in /proc/meminfo.")
  var meminfo = false
  @OptionGroup var json: JSONOption
  @OptionGroup var server: ServerSocket

  func validate() throws {
    // Readers of the kernel's file lose a beancounter with nine digits.
    if let id, !(1...99_999_999).contains(id) {
      throw ValidationError("--id: \(id) is not in 1…99999999")
    }
  }

  func run() throws {
    var words = ["create", name]
    if let id { words.append("id=\(id)") }
    if let parent { words.append("parent=\(parent)") }
    if errno == .openvz { words.append("errno=openvz") }
    if onServerLoss == .allow { words.append("on-server-loss=allow") }
    if onPhyspages == .reclaim { words.append("on-physpages=reclaim") }
    if meminfo { words.append("meminfo") }
    let answer = try server.control().ask(words + Change.words(bounds))
    if json.isOn {
      try outputJSON(answer)
    } else {
      try output("\(Reply.read(answer, as: Reply.Created.self).id)\n")
    }
    Change.warn(of: bounds)
  }
}

struct RemoveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "remove", abstract: "Remove a beancounter that has no members.")

  @Argument(help: "A name or an id.", completion: .beancounters)
  var name: String
  @OptionGroup var json: JSONOption
  @OptionGroup var server: ServerSocket

  func run() throws { try done(try server.control().ask(["remove", name]), json) }
}

/// `RES=BARRIER[:LIMIT]` as people write it, to the plain numbers of the protocol.
enum Change {
  /// Every word is read before any is sent; the same resource twice is a slip.
  static func words(_ texts: [String]) throws(UsageError) -> [String] {
    var words: [String] = []
    var seen: [Resource] = []
    for text in texts {
      guard let sign = text.firstIndex(of: "=") else {
        throw UsageError(
          "\(Display.quoted(text)) is no bound; accepted: RES=BARRIER[:LIMIT], such as numfile=100:120"
        )
      }
      let resource = try resourceName(String(text[..<sign]))
      guard !seen.contains(resource) else {
        throw UsageError("\(resource.name) is given twice; give it once")
      }
      seen.append(resource)
      let value = String(text[text.index(after: sign)...])
      let change = try BoundsChange(value, of: resource, option: resource.name)
      words.append("\(resource.name)=\(plain(change.barrier)):\(plain(change.limit))")
    }
    return words
  }

  /// Bounds that are counted and no more are taken, and named.
  static func warn(of texts: [String]) {
    var bounds: [Resource: Bounds] = [:]
    for text in texts {
      let parts = text.split(separator: "=", maxSplits: 1)
      guard parts.count == 2, let resource = Resource(name: parts[0]) else { continue }
      bounds[resource] = (try? BoundsChange(String(parts[1]), of: resource, option: ""))?.applied(
        to: Bounds())
    }
    if let line = Options.notEnforced(in: bounds) {
      try? write(Array("bcctl: \(line)\n".utf8), to: 2)
    }
  }

  private static func plain(_ amount: Int64?) -> String {
    guard let amount else { return "" }
    return amount == Bounds.unlimited ? "unlimited" : String(amount)
  }
}

extension CompletionKind {
  static var boundsOfResources: CompletionKind { .list(Resource.allCases.map { $0.name + "=" }) }
}
