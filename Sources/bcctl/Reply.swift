import Beancounters
import FoundationEssentials

/// What the server answers, as far as people are shown it. Unknown keys are left alone, so that an
/// older bcctl can speak with a newer bcd; `--json` prints what the server said, not this.
enum Reply {
  struct List: Decodable { var beancounters: [Beancounter] }
  struct Show: Decodable { var beancounter: Beancounter }
  struct Denials: Decodable { var denials: [Denial] }
  struct Holders: Decodable { var holders: [Holder] }
  struct Created: Decodable { var id: Int }
  struct Done: Decodable { var ok: Bool }
  private struct Failure: Decodable { var error: String }

  /// Where an `enter` leads: what the process needs in its environment.
  struct Entrance: Decodable { var server, token, shim: String }

  struct Beancounter: Decodable {
    var id: Int
    var name: String
    var parent: String?
    var members: Int
    var resources: [Row]
    var processes: [Process]?
    var denials: [Denial]?
    var uncovered: [Uncovered]?
    var server: Work?
    var mode: [String: String]?
  }

  /// Amounts in the resource's own unit; nil is no bound.
  struct Row: Decodable {
    var resource: String
    var unit: Unit
    var held, maxheld: Int64
    var barrier, limit: Int64?
    var failcnt: Int64
    var status: String
  }

  enum Unit: String, Decodable { case items, pages, bytes }

  struct Process: Decodable {
    var pid: Int32
    var comm: String
    var coverage: String
  }

  struct Denial: Decodable {
    var resource: String
    var count: Int64
    var errno: String
    var pid: Int32
    var comm, call: String
    var detail, arguments: String?
    var amount: Int64
    var thread: Int32?
    var threadName: String?
    var frames: [Frame]?
    var injected: Bool?
  }

  struct Frame: Decodable {
    var function, file: String?
    var line: Int?
    var module: String?
    var offset: Int64?
    var inlined, guessed: Bool?
  }

  struct Uncovered: Decodable {
    var pid: Int32
    var executable, reason: String
  }

  struct Work: Decodable {
    struct Switches: Decodable { var toSlow, toFast: Int64 }
    var requests, recalls, recounts: Int64
    struct Reclaims: Decodable { var times, pages: Int64 }
    var switches: Switches?
    var reclaims: Reclaims?
  }

  struct Holder: Decodable {
    struct Item: Decodable {
      var fd: Int?
      var what: String
      var since: String?
    }
    var pid: Int32
    var comm: String
    var amount: Int64
    var items: [Item]?
    /// Where what it holds was obtained: estimates.
    struct Place: Decodable {
      var amount, error, points: Int64
      var frames: [Frame]
    }
    var stack: [Frame]?
    var stacks: [Place]?
  }

  struct Grown: Decodable {
    struct Row: Decodable {
      var resource: String
      var before, after: Int64
    }
    struct Place: Decodable {
      var resource: String
      var pid: Int32
      var comm: String
      var amount, points: Int64
      var frames: [Frame]
    }
    var milliseconds: Int64
    var rows: [Row]
    var places: [Place]
  }

  struct Event: Decodable {
    var time: String
    var beancounter: String
    var event: String
    var resource: String?
    var pid: Int32?
    var text: String?
  }

  /// The object that `bytes` are; throws what the server refused with.
  static func read<T: Decodable>(_ bytes: [UInt8], as type: T.Type = T.self) throws(Refused) -> T {
    try check(bytes)
    do {
      return try JSONDecoder().decode(type, from: Data(bytes))
    } catch {
      throw Refused(
        "the server's answer cannot be read (\(describe(error))); are bcctl and bcd of the same version?"
      )
    }
  }

  /// Throws if `bytes` are a refusal; anything else is left to the reader.
  static func check(_ bytes: [UInt8]) throws(Refused) {
    guard bytes.starts(with: Array(#"{"error""#.utf8)) else { return }
    if let failure = try? JSONDecoder().decode(Failure.self, from: Data(bytes)) {
      throw Refused(failure.error)
    }
  }

  private static func describe(_ error: any Error) -> String {
    switch error {
    case DecodingError.keyNotFound(let key, let context):
      "no \(key.stringValue) in \(place(context))"
    case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context):
      "\(place(context)) is of another kind"
    default: "it is not JSON"
    }
  }

  private static func place(_ context: DecodingError.Context) -> String {
    let path = context.codingPath.map { $0.intValue.map(String.init) ?? $0.stringValue }
    return path.isEmpty ? "the object" : path.joined(separator: ".")
  }
}

extension Reply.Unit {
  var own: Resource.Unit {
    switch self {
    case .items: .items
    case .pages: .pages
    case .bytes: .bytes
    }
  }
}

extension Reply.Beancounter {
  subscript(_ resource: String) -> Reply.Row? { resources.first { $0.resource == resource } }
}

extension Reply.Row {
  /// The bound that a charge meets first, nil when there is none. Some barriers bound nothing
  /// (OpenVZ: those of the guarantees say what is safe from overcommitment and from the OOM killer,
  /// those of RAM and swap are 0 by convention).
  var bound: Int64? {
    let isBarrier = !Resource.withoutBarrier.contains { $0.name == resource }
    return [isBarrier ? barrier : nil, limit].compactMap { $0 }.min()
  }

  /// `held` as a share of that bound; nil without one. A bound of nothing is reached from the
  /// start.
  var share: Double? {
    guard let bound else { return nil }
    return bound > 0 ? Double(held) / Double(bound) : held > 0 ? .infinity : 1
  }
}
