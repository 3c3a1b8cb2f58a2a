import Foundation

/// What `bcctl ubc` remembers from run to run: a file for each beancounter and kind, of lines `RESOURCE NUMBER`.
struct UbcStore {
  enum Kind: String { case failcnt, held }

  let directory: String

  /// The user's own, unlike one under /tmp, where others could have made it first.
  static func standard(_ environment: [String: String]) -> String {
    if let state = environment["XDG_STATE_HOME"], state.hasPrefix("/") { return state + "/beancounter/ubc" }
    return (environment["HOME"] ?? "") + "/.local/state/beancounter/ubc"
  }

  /// By resource; nil when nothing was saved.
  func read(_ kind: Kind, of id: Int) -> [String: Int64]? {
    guard let text = try? String(contentsOfFile: path(kind, id), encoding: .utf8) else { return nil }
    var values: [String: Int64] = [:]
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ")
      if words.count == 2, let value = Int64(words[1]) { values[String(words[0])] = value }
    }
    return values
  }

  /// Whole, or not at all: a reader never finds half a file.
  func save(_ kind: Kind, of one: Reply.Beancounter) throws(Refused) {
    let lines = one.resources.map { "\($0.resource) \(kind == .failcnt ? $0.failcnt : $0.held)\n" }
    do {
      try FileManager.default.createDirectory(
        atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
      try Data(lines.joined().utf8).write(to: URL(filePath: path(kind, one.id)), options: .atomic)
    } catch {
      throw Refused("\(directory): \(error.localizedDescription); give a directory that can be written with -rd")
    }
  }

  func clear(_ kind: Kind) throws(Refused) {
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: directory) else { return }
    for name in names where name.hasPrefix("ubc.") && name.hasSuffix("." + kind.rawValue) {
      do {
        try FileManager.default.removeItem(atPath: directory + "/" + name)
      } catch {
        throw Refused("\(directory)/\(name): \(error.localizedDescription)")
      }
    }
  }

  private func path(_ kind: Kind, _ id: Int) -> String { "\(directory)/ubc.\(id).\(kind.rawValue)" }
}
