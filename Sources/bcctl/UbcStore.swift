import Glibc

/// What `bcctl ubc` remembers from run to run: a file for each beancounter and kind, of lines
/// `RESOURCE NUMBER`.
struct UbcStore {
  enum Kind: String { case failcnt, held }

  let directory: String

  /// The user's own, unlike one under /tmp, where others could have made it first.
  static func standard(_ environment: [String: String]) -> String {
    if let state = environment["XDG_STATE_HOME"], state.hasPrefix("/") {
      return state + "/beancounter/ubc"
    }
    return (environment["HOME"] ?? "") + "/.local/state/beancounter/ubc"
  }

  /// By resource; nil when nothing was saved.
  func read(_ kind: Kind, of id: Int) -> [String: Int64]? {
    guard let bytes = try? Files.read(path(kind, id)) else { return nil }
    let text = String(decoding: bytes, as: UTF8.self)
    var values: [String: Int64] = [:]
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ")
      if words.count == 2, let value = Int64(words[1]) { values[String(words[0])] = value }
    }
    return values
  }

  func save(_ kind: Kind, of one: Reply.Beancounter) throws(Refused) {
    let lines = one.resources.map { "\($0.resource) \(kind == .failcnt ? $0.failcnt : $0.held)\n" }
    do {
      try Files.makeDirectory(directory)
      try Files.replace(path(kind, one.id), with: Array(lines.joined().utf8))
    } catch {
      throw Refused("\(error.message); give a directory that can be written with -rd")
    }
  }

  func clear(_ kind: Kind) throws(Refused) {
    for name in Files.names(in: directory)
    where name.hasPrefix("ubc.") && name.hasSuffix("." + kind.rawValue) {
      let path = directory + "/" + name
      guard unlink(path) == 0 || errno == ENOENT else { throw Files.refused(path) }
    }
  }

  private func path(_ kind: Kind, _ id: Int) -> String { "\(directory)/ubc.\(id).\(kind.rawValue)" }
}
