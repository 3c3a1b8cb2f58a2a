import Beancounters
import Command

/// One column of `bcctl list`, in the words of vzlist: `numfile` is what is held, and `.m .b .l .f`
/// are maxheld, barrier, limit and failcnt; `.s`, which vzlist lacks, is the status.
enum Field: Equatable {
  enum Part: String {
    case held, maxheld = "m", barrier = "b", limit = "l", failcnt = "f", status = "s"
  }

  case id, name, parent, members
  case resource(Resource, Part)

  /// What a cell holds, so that it can be sorted: text after numbers, nothing last.
  enum Value: Equatable {
    case number(Int64), unlimited, text(String), none
  }

  static let accepted =
    "id, name, parent, members, and RES, RES.m, RES.b, RES.l, RES.f, RES.s for every resource RES"

  init(_ word: String) throws(UsageError) {
    switch word.lowercased() {
    case "id": self = .id
    case "name": self = .name
    case "parent": self = .parent
    case "members": self = .members
    case let word:
      let parts = word.split(separator: ".", omittingEmptySubsequences: false)
      guard let resource = Resource(name: parts[0]), parts.count <= 2 else {
        throw Field.unknown(word)
      }
      let part = parts.count == 1 ? Part.held : Part(rawValue: String(parts[1]))
      guard let part, parts.count == 1 || part != .held else { throw Field.unknown(word) }
      self = .resource(resource, part)
    }
  }

  private static func unknown(_ word: String) -> UsageError {
    let names = ["id", "name", "parent", "members"] + Resource.allCases.map(\.name)
    let hint = Display.nearest(to: word, among: names).map { " (did you mean \($0)?)" } ?? ""
    return UsageError("\(Display.quoted(word)) is no field\(hint); accepted: \(accepted)")
  }

  /// `FIELD,FIELD…`
  static func list(_ text: String) throws(UsageError) -> [Field] {
    var fields: [Field] = []
    for word in text.split(separator: ",", omittingEmptySubsequences: false) {
      fields.append(try Field(String(word)))
    }
    return fields
  }

  var heading: String {
    switch self {
    case .id: "ID"
    case .name: "NAME"
    case .parent: "PARENT"
    case .members: "MEMBERS"
    case .resource(let resource, .held): resource.name.uppercased()
    case .resource(let resource, let part):
      resource.name.uppercased() + "." + part.rawValue.uppercased()
    }
  }

  var side: Table.Side {
    switch self {
    case .name, .parent, .resource(_, .status): .left
    default: .right
    }
  }

  func value(of one: Reply.Beancounter) -> Value {
    switch self {
    case .id: return .number(Int64(one.id))
    case .name: return .text(one.name)
    case .parent: return one.parent.map(Value.text) ?? .none
    case .members: return .number(Int64(one.members))
    case .resource(let resource, let part):
      guard let row = one[resource.name] else { return .none }
      switch part {
      case .held: return .number(row.held)
      case .maxheld: return .number(row.maxheld)
      case .failcnt: return .number(row.failcnt)
      case .status: return .text(row.status)
      case .barrier: return row.barrier.map(Value.number) ?? .unlimited
      case .limit: return row.limit.map(Value.number) ?? .unlimited
      }
    }
  }

  /// Amounts in the resource's own unit, or as sizes for people.
  func cell(of one: Reply.Beancounter, human: Bool) -> String {
    switch value(of: one) {
    case .none: return "-"
    case .unlimited: return "unlimited"
    case .text(let text): return text
    case .number(let number):
      if human, case .resource(let resource, let part) = self, part != .failcnt {
        return Display.human(number, resource.unit)
      }
      return String(number)
    }
  }
}

extension Field.Value: Comparable {
  static func < (a: Field.Value, b: Field.Value) -> Bool {
    switch (a, b) {
    case (.number(let a), .number(let b)): a < b
    case (.text(let a), .text(let b)): a < b
    default: a.rank < b.rank
    }
  }

  private var rank: Int {
    switch self {
    case .number: 0
    case .unlimited: 1
    case .text: 2
    case .none: 3
    }
  }
}

/// `-s FIELD`, or `-FIELD` for the greatest first.
struct Order: Equatable {
  let field: Field
  let descending: Bool

  init(_ text: String) throws(UsageError) {
    descending = text.hasPrefix("-")
    field = try Field(descending ? String(text.dropFirst()) : text)
  }

  /// Beancounters of the same value stay in the order of their ids, either way.
  func sorted(_ all: [Reply.Beancounter]) -> [Reply.Beancounter] {
    all.sorted {
      let a = field.value(of: $0)
      let b = field.value(of: $1)
      if a == b { return $0.id < $1.id }
      return descending ? a > b : a < b
    }
  }
}
