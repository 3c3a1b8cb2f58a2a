package import Beancounters

/// One option of `bcrun` or of `bcd`: a row of the table that getopt, the messages and the tests
/// share.
struct LongOption {
  enum Key: Equatable {
    case limit, memory, memoryReservation, pidsLimit, config, profile
    case name, parent, server, environment, workdir, meminfo
    case report, reportFormat, quiet, verbose, failOn, fail, torture, tortureShallow, tortureRound,
      onServerLoss, onPhyspages, errno, bestEffort, help, version
    case socket, state
    case resource(Resource)
  }

  enum Value: Int32 {
    case none = 0
    case required = 1
    case optional = 2
  }

  let name: String
  let short: Character?
  let value: Value
  let key: Key

  private init(_ name: String, _ short: Character? = nil, _ value: Value = .required, key: Key) {
    self.name = name
    self.short = short
    self.value = value
    self.key = key
  }

  static let all: [LongOption] =
    [
      LongOption("limit", "l", key: .limit),
      LongOption("memory", "m", key: .memory),
      LongOption("memory-reservation", key: .memoryReservation),
      LongOption("pids-limit", key: .pidsLimit),
      LongOption("config", key: .config),
      LongOption("profile", key: .profile),
      LongOption("name", key: .name),
      LongOption("parent", key: .parent),
      LongOption("server", key: .server),
      LongOption("env", "e", key: .environment),
      LongOption("workdir", "w", key: .workdir),
      LongOption("meminfo", nil, .none, key: .meminfo),
      LongOption("report", nil, .optional, key: .report),
      LongOption("report-format", key: .reportFormat),
      LongOption("quiet", "q", .none, key: .quiet),
      LongOption("verbose", "v", .none, key: .verbose),
      LongOption("fail-on", key: .failOn),
      LongOption("fail", key: .fail),
      LongOption("torture", key: .torture),
      LongOption("torture-shallow", nil, .none, key: .tortureShallow),
      LongOption("torture-round", key: .tortureRound),
      LongOption("on-server-loss", key: .onServerLoss),
      LongOption("on-physpages", key: .onPhyspages),
      LongOption("errno", key: .errno),
      LongOption("best-effort", nil, .none, key: .bestEffort),
      LongOption("help", "h", .none, key: .help),
      LongOption("version", nil, .none, key: .version),
    ] + Resource.allCases.map { LongOption($0.name, key: .resource($0)) }

  /// Those of bcd.
  static let ofServer = [
    LongOption("socket", key: .socket), LongOption("state", key: .state),
    LongOption("config", key: .config),
    LongOption("help", "h", .none, key: .help), LongOption("version", nil, .none, key: .version),
  ]

  /// What its value may be, for messages.
  var accepted: String {
    switch key {
    case .limit:
      "RES=BARRIER[:LIMIT], such as numfile=100:120; RES is one of \(resourceNames(Resource.allCases))"
    case .memory, .memoryReservation: Amount.accepted(.pages)
    case .pidsLimit: Amount.accepted(.items)
    case .config: "a file: an OpenVZ container configuration or TOML"
    case .profile: Profile.accepted
    case .name, .parent: acceptedNames
    case .server: "the socket of a running bcd"
    case .socket: "a path to listen at, of at most 107 bytes"
    case .state: "a database of bcd's, or a new name"
    case .environment: "K=V, with K not empty"
    case .workdir: "a directory"
    case .report: "a file, as --report=FILE, or none for stderr"
    case .reportFormat: "text, json or kv"
    case .failOn: "denial, barrier or uncovered"
    case .fail: Injection.accepted
    case .torture: "all, or some of \(resourceNames(TortureRound.resources)) with commas between"
    case .tortureRound: TortureRound.accepted
    case .onServerLoss: "deny or allow"
    case .onPhyspages: "refuse or reclaim"
    case .errno: "posix or openvz"
    case .resource(let resource): BoundsChange.accepted(resource.unit)
    case .meminfo, .tortureShallow, .quiet, .verbose, .bestEffort, .help, .version: "no value"
    }
  }
}

package func resourceNames(_ resources: [Resource]) -> String {
  resources.map(\.name).joined(separator: ", ")
}

/// The candidate that `word` is most likely a slip for; nil when none is near enough to be helpful.
package func nearest(to word: String, among candidates: [String]) -> String? {
  let word = word.lowercased()
  let allowed = max(2, word.utf8.count / 3)
  let best = candidates.map { (name: $0, distance: editDistance(word, $0)) }.min {
    $0.distance < $1.distance
  }
  guard let best, best.distance <= allowed, best.distance < best.name.utf8.count else { return nil }
  return best.name
}

/// Levenshtein's distance. Long words are cut, for the cost is quadratic and the answer would be
/// "far" anyway.
private func editDistance(_ first: String, _ second: String) -> Int {
  let a = Array(first.utf8.prefix(64))
  let b = Array(second.utf8.prefix(64))
  var row = Array(0...b.count)
  for (i, x) in a.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for (j, y) in b.enumerated() {
      let replaced = diagonal + (x == y ? 0 : 1)
      diagonal = row[j + 1]
      row[j + 1] = min(replaced, row[j] + 1, diagonal + 1)
    }
  }
  return row[b.count]
}
