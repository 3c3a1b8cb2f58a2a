internal import Beancounters
internal import CLinux
internal import Command
internal import Recount

/// What bcctl and `bcrun --server` ask: words with NUL between them, answered with JSON. The caller
/// is the server's own user or root.
final class Control {
  private let server: Server
  private var host: Host { server.host }
  private let pid: Int32
  /// The connection stays, for events as they come.
  private(set) var follows = false

  init(server: Server, pid: Int32) {
    self.server = server
    self.pid = pid
  }

  enum Answer {
    case now(String)
    /// When the names in it have been read.
    case later(Told)
  }

  func reply(to bytes: [UInt8]) -> Answer {
    var words = bytes.split(separator: 0, omittingEmptySubsequences: false).map {
      String(decoding: $0, as: UTF8.self)
    }
    guard words.count >= 2, words[0] == "bcctl/1" else {
      return .now(error("this server speaks bcctl/1; use the bcctl of the same version"))
    }
    let verb = words[1]
    words.removeFirst(2)
    do {
      if let told = try tell(verb, words) { return .later(told) }
      return .now(try perform(verb, words))
    } catch {
      return .now(self.error(error.text))
    }
  }

  private func error(_ text: String) -> String { #"{"error":\#(jsonString(text))}"# + "\n" }

  private func find(_ words: [String], for verb: String) throws(Host.Refusal) -> Accounting {
    guard let name = words.first else {
      throw Host.Refusal(text: "\(verb) needs the name of a beancounter")
    }
    return try host.find(name)
  }

  /// Verbs whose answers have places in programs; nil for others.
  private func tell(_ verb: String, _ words: [String]) throws(Host.Refusal) -> Told? {
    func first() throws(Host.Refusal) -> Accounting { try find(words, for: verb) }
    switch verb {
    case "show":
      let one = try first()
      let told = one.told(try resources(words.dropFirst()))
      return Told(stacks: told.stacks) { #"{"beancounter":\#(told.text($0))}"# + "\n" }
    case "denials":
      let denials = try first().denials
      return Told(stacks: denials.stacks) {
        #"{"denials":\#(Report.array(denials.told($0).map(Report.object)))}"# + "\n"
      }
    case "report": return try report(try first(), Array(words.dropFirst()))
    case "holders":
      let one = try first()
      guard words.count == 2, let resource = Resource(name: words[1]) else {
        throw Host.Refusal(
          text:
            "holders needs a resource; accepted: \(Resource.allCases.map(\.name).joined(separator: ", "))"
        )
      }
      return one.toldHolders(resource)
    case "diff":
      let one = try first()
      guard let told = one.grownSinceMark() else {
        throw Host.Refusal(text: "\(one.name) has no mark; set one with mark")
      }
      return told
    default: return nil
    }
  }

  private func perform(_ verb: String, _ words: [String]) throws(Host.Refusal) -> String {
    func first() throws(Host.Refusal) -> Accounting { try find(words, for: verb) }
    let ok = #"{"ok":true}"# + "\n"
    switch verb {
    case "list":
      return #"{"beancounters":\#(Report.array(host.inOrder.map { $0.json() }))}"#
        + "\n"
    case "set":
      let one = try first()
      one.setBounds(try bounds(words.dropFirst()) { one.ledger[$0].bounds })
      return ok
    case "create": return #"{"id":\#(try create(words).id)}"# + "\n"
    case "remove":
      try host.remove(try first())
      return ok
    case "enter": return try enter(try first())
    case "membership": return "\(server.path)\n\(try first().token.text)\n\(server.shim)\n"
    case "mark":
      try first().setMark()
      return ok
    case "events", "events-follow":
      let of = words.isEmpty ? nil : try first().name
      follows = verb == "events-follow"
      return host.events.all.filter { of == nil || $0.beancounter == of }.map { $0.json() + "\n" }
        .joined()
    case "user_beancounters":
      // As the kernel's: the newest first, and none that is within another, which pays for it.
      let shown =
        words.isEmpty ? host.inOrder.reversed().filter { $0.parent == nil } : [try first()]
      return UserBeancounters.text(shown.map { ($0.id, $0.rows(recount: true)) })
    case "ending": return try ending(try first())
    default:
      throw Host.Refusal(text: "no verb \(verb); use the bcctl of the same version as the server")
    }
  }

  /// Those that are named; all when none is.
  private func resources(_ words: ArraySlice<String>) throws(Host.Refusal) -> [Resource] {
    var named: [Resource] = []
    for word in words {
      guard let resource = Resource(name: word) else {
        throw Host.Refusal(
          text:
            "\(word) is no resource; accepted: \(Resource.allCases.map(\.name).joined(separator: ", "))"
        )
      }
      named.append(resource)
    }
    return named.isEmpty ? Resource.shown : named
  }

  // MARK: Making and entering

  private func bounds(_ words: ArraySlice<String>, now: (Resource) -> Bounds = { _ in Bounds() })
    throws(Host.Refusal) -> [Resource: Bounds]
  {
    var bounds: [Resource: Bounds] = [:]
    for word in words {
      guard let equals = word.firstIndex(of: "="), let resource = Resource(name: word[..<equals])
      else {
        throw Host.Refusal(text: "\(word): accepted: RES=BARRIER:LIMIT")
      }
      var bound = bounds[resource] ?? now(resource)
      do {
        let text = String(word[word.index(after: equals)...])
        bound = try BoundsChange(text, of: resource, option: resource.name).applied(to: bound)
      } catch {
        throw Host.Refusal(text: error.message)
      }
      bounds[resource] = bound
    }
    return bounds
  }

  private func create(_ words: [String]) throws(Host.Refusal) -> Accounting {
    guard let name = words.first, isBeancounterName(name) else {
      throw Host.Refusal(text: "a name is needed of \(acceptedNames)")
    }
    var settings = Settings(bounds: [:])
    var id: Int?
    var parent = host.owner[pid]  // a member's beancounters are below its own
    var rest: [String] = []
    for word in words.dropFirst() {
      if word == "errno=openvz" {
        settings.openvzErrno = true
      } else if word == "on-server-loss=allow" {
        settings.allowOnServerLoss = true
      } else if word == "on-physpages=reclaim" {
        if let why = Accounting.reclaimRefusal() { throw Host.Refusal(text: why) }
        settings.reclaims = true
      } else if word == "meminfo" {
        settings.meminfo = true
      } else if word == "of-one-run" {
        settings.ofOneRun = true
      } else if word.hasPrefix("fail=") {
        guard let (resource, rule) = Injection.read(String(word.dropFirst(5))) else {
          throw Host.Refusal(text: "\(word); accepted: fail=RES@N, fail=RES%P:SEED, fail=RES:stack")
        }
        settings.failures[resource] = rule
      } else if word.hasPrefix("parent=") {
        parent = try host.find(word.dropFirst(7))
      } else if word.hasPrefix("id=") {
        guard let n = Int(word.dropFirst(3)) else {
          throw Host.Refusal(text: "\(word); accepted: 1 to \(Host.greatestId)")
        }
        id = n
      } else {
        rest.append(word)
      }
    }
    settings.bounds = try bounds(rest[...])
    return try host.create(name: name, id: id, parent: parent, settings: settings)
  }

  private func enter(_ one: Accounting) throws(Host.Refusal) -> String {
    if let level = one.enter(pid) {
      throw Host.Refusal(text: "\(level.name) has as many processes as its numproc allows")
    }
    let fields = [("server", server.path), ("token", one.token.text), ("shim", server.shim)]
    return "{" + fields.map { #""\#($0)":\#(jsonString($1))"# }.joined(separator: ",") + "}\n"
  }

  // MARK: The end of a run that is served here

  /// `report NAME FORMAT VERBOSE CODE SIGNAL MILLISECONDS COMMAND…`: a line of what happened, then
  /// the report. The beancounter of the run goes when it is empty.
  private func report(_ one: Accounting, _ words: [String]) throws(Host.Refusal) -> Told {
    guard words.count >= 6, let milliseconds = Double(words[4]) else {
      throw Host.Refusal(text: "report lacks words")
    }
    let made = one.report(
      command: Array(words[5...]),
      exit: Int32(words[3]).map { .init(signal: $0) } ?? .init(code: Int32(words[2])),
      seconds: milliseconds / 1000)
    one.hasReported = true
    host.removeIfOver(one)
    return Told(stacks: made.denials.stacks) { names in
      made.verdict.map(\.rawValue).joined(separator: " ") + "\n"
        + made.told(names).text(
          as: Options.Format(rawValue: words[0]) ?? .text, verbose: words[1] == "verbose")
    }
  }

  /// How many members, and stacks being read, there are, and whether one of them is on its way out.
  private func ending(_ one: Accounting) throws(Host.Refusal) -> String {
    one.tick()
    let reading = one.stacksUnderWay
    return "\(one.memberCount + reading) \(one.anyoneEnding() || reading > 0 ? 1 : 0)\n"
  }
}
