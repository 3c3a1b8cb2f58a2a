import Beancounters
import Command
import TOMLKit

/// Reads bounds from TOML:
///
///     name = "web-1"              # all five optional
///     parent = "site"
///     errno = "posix"             # or "openvz"
///     on-server-loss = "deny"     # or "allow"
///     on-physpages = "refuse"     # or "reclaim"
///
///     [bounds]
///     numproc = 240                                     # barrier and limit
///     numfile = "100:120" # as every option has it; "100:" and ":120" are one alone
///     privvmpages = { barrier = "64M", limit = "80M" }  # either may be left out
///
/// and, for `bcd --config`, any number of beancounters, with the rows right in their tables:
///
///     [beancounter.site]
///     numproc = 1000
///     [beancounter.web-1]
///     parent = "site"
///     numfile = "100:120"
///
/// Amounts are read as options read them: a number is in the resource's own unit, -1 is no bound. A
/// key that is not known is an error, for a bound with a slip in its name would bound nothing.
struct TOMLReader {
  private var problems: [Problem] = []
  private let lines: KeyLines

  static func read(
    _ bytes: [UInt8]
  ) -> Result<(top: ConfigurationFile.Section, named: [ConfigurationFile.Section]), Problems> {
    if let problem = unfit(bytes) { return .failure(Problems(all: [problem])) }
    let root: TOMLTable
    do {
      root = try TOMLTable(string: String(decoding: bytes, as: UTF8.self))
    } catch {
      return .failure(Problems(all: [problem(error)]))
    }
    var reader = TOMLReader(lines: KeyLines(bytes))
    let found = reader.readRoot(root)
    return reader.problems.isEmpty ? .success(found) : .failure(Problems(all: reader.problems))
  }

  private init(lines: KeyLines) { self.lines = lines }

  /// What TOMLKit would not tell us: it takes a C string, gives C strings back, and ends the
  /// program (an assertion in toml++'s parse_key) where the name of a table begins with what no
  /// name begins with.
  private static func unfit(_ bytes: [UInt8]) -> Problem? {
    for (number, line) in Line.all(bytes) {
      let text = String(decoding: line, as: UTF8.self)
      if line.contains(0) || text.contains("\\u0000") || text.contains("\\U00000000") {
        return Problem(
          line: number, message: "has a NUL character, which no name and no amount has")
      }
      if !text.utf8.elementsEqual(line) {
        return Problem(line: number, message: "\(quoted(text)) is not UTF-8, which TOML is")
      }
      if hasNoName(line) {
        return Problem(line: number, message: "\(quoted(text)) names no table; accepted: [NAME]")
      }
    }
    return nil
  }

  private static func hasNoName(_ line: ArraySlice<UInt8>) -> Bool {
    let open = UInt8(ascii: "[")
    var rest = line.drop(while: Line.isBlank)
    guard rest.popFirst() == open else { return false }
    if rest.first == open { rest.removeFirst() }
    guard let first = rest.drop(while: Line.isBlank).first else { return true }
    return !Line.isNameByte(first) && !"-\"'[]{".utf8.contains(first)
  }

  private static func problem(_ error: any Error) -> Problem {
    guard let error = error as? TOMLParseError else {
      return Problem(message: "is not TOML: \(shown("\(error)"))")
    }
    return Problem(
      line: error.source.begin.line, message: "is not TOML: \(shown(error.description))")
  }

  // MARK: Tables

  private static let settings = ["name", "parent", "errno", "on-server-loss", "on-physpages"]

  private mutating func readRoot(
    _ root: TOMLTable
  ) -> (top: ConfigurationFile.Section, named: [ConfigurationFile.Section]) {
    var top = ConfigurationFile.Section()
    var named: [ConfigurationFile.Section] = []
    for (key, value) in root {
      switch key {
      case "bounds":
        guard let table = table(value, [key], "a table: [bounds]") else { continue }
        for (row, amount) in table {
          readRow(row, amount, ["bounds", row], among: [], into: &top.configured)
        }
      case "beancounter":
        guard let table = table(value, [key], "tables: [beancounter.NAME]") else { continue }
        for (name, value) in table {
          if let found = readBeancounter(name, value) { named.append(found) }
        }
      case _ where TOMLReader.settings.contains(key):
        readSetting(key, value, [key], into: &top.configured)
      case _ where Resource(name: key) != nil: report([key], "\(key) belongs under [bounds]")
      default: reportUnknown([key], among: ["bounds", "beancounter"] + TOMLReader.settings)
      }
    }
    return (top, parentsFirst(named))
  }

  /// Each beancounter after the one it is nested under, so that whoever makes them in this order
  /// finds the parent there. A parent that is not in the file may be anywhere else; one that is
  /// under its own child is nowhere.
  private mutating func parentsFirst(_ named: [ConfigurationFile.Section]) -> [ConfigurationFile
    .Section]
  {
    var ordered: [ConfigurationFile.Section] = []
    var rest = named
    while !rest.isEmpty {
      let waiting = Set(rest.compactMap(\.configured.name))
      let ready = rest.filter { !($0.configured.parent.map(waiting.contains) ?? false) }
      guard !ready.isEmpty else {
        for case let name? in rest.map(\.configured.name) {
          report(
            ["beancounter", name, "parent"],
            "\(dotted(["beancounter", name])) is nested under itself; accepted: a tree"
          )
        }
        return named
      }
      ordered += ready
      rest.removeAll { section in ready.contains(section) }
    }
    return ordered
  }

  private mutating func readBeancounter(_ name: String, _ value: any TOMLValueConvertible)
    -> ConfigurationFile.Section?
  {
    let path = ["beancounter", name]
    guard isBeancounterName(name) else {
      report(
        path, "cannot read \(quoted(name)) as a beancounter's name; accepted: \(acceptedNames)")
      return nil
    }
    guard let table = table(value, path, "a table: [beancounter.\(shown(name))]") else {
      return nil
    }
    var section = ConfigurationFile.Section(configured: Configured(name: name))
    let settings = TOMLReader.settings.filter { $0 != "name" }  // the table has it
    for (key, value) in table {
      if settings.contains(key) {
        readSetting(key, value, path + [key], into: &section.configured)
      } else {
        readRow(key, value, path + [key], among: settings, into: &section.configured)
      }
    }
    return section
  }

  // MARK: Values

  private mutating func readSetting(
    _ key: String, _ value: any TOMLValueConvertible, _ path: [String],
    into configured: inout Configured
  ) {
    let text = value.string
    switch (key, text) {
    case ("name", let name?) where isBeancounterName(name): configured.name = name
    case ("parent", let name?) where isBeancounterName(name): configured.parent = name
    case ("errno", "posix"), ("errno", "openvz"): configured.openvzErrno = text == "openvz"
    case ("on-server-loss", "deny"), ("on-server-loss", "allow"):
      configured.allowOnServerLoss = text == "allow"
    case ("on-physpages", "refuse"), ("on-physpages", "reclaim"):
      configured.reclaims = text == "reclaim"
    case ("errno", _): reportUnreadable(path, value, accepted: "\"posix\" or \"openvz\"")
    case ("on-server-loss", _): reportUnreadable(path, value, accepted: "\"deny\" or \"allow\"")
    case ("on-physpages", _): reportUnreadable(path, value, accepted: "\"refuse\" or \"reclaim\"")
    default: reportUnreadable(path, value, accepted: "a string of \(acceptedNames)")
    }
  }

  private mutating func readRow(
    _ key: String, _ value: any TOMLValueConvertible, _ path: [String], among others: [String],
    into configured: inout Configured
  ) {
    guard let resource = Resource(name: key) else {
      return reportUnknown(path, among: others + Resource.allCases.map(\.name))
    }
    if let table = value.table {
      if let change = readParts(table, of: resource, path) { configured.bounds[resource] = change }
    } else if let number = value.int {
      guard let both = amount("\(number)", resource, path) else { return }
      configured.bounds[resource] = BoundsChange(barrier: both, limit: both)
    } else if let text = value.string {
      do {
        configured.bounds[resource] = try BoundsChange(text, of: resource, option: dotted(path))
      } catch {
        report(path, error.message)
      }
    } else {
      reportUnreadable(path, value, accepted: TOMLReader.accepted(resource))
    }
  }

  /// `{ barrier = …, limit = … }`
  private mutating func readParts(_ table: TOMLTable, of resource: Resource, _ path: [String])
    -> BoundsChange?
  {
    var change = BoundsChange()
    for (part, value) in table {
      let path = path + [part]
      guard part == "barrier" || part == "limit" else {
        reportUnknown(path, among: ["barrier", "limit"])
        continue
      }
      guard let text = value.string ?? value.int.map({ "\($0)" }) else {
        reportUnreadable(path, value, accepted: Amount.accepted(resource.unit))
        continue
      }
      let amount = amount(text, resource, path)
      if part == "barrier" { change.barrier = amount } else { change.limit = amount }
    }
    guard !table.isEmpty else {
      report(
        path, "\(dotted(path)): an empty table bounds nothing; accepted: barrier, limit or both")
      return nil
    }
    return change
  }

  private mutating func amount(_ text: String, _ resource: Resource, _ path: [String]) -> Int64? {
    let accepted = Amount.accepted(resource.unit)
    do {
      return try readAmount(
        text, in: text, unit: resource.unit, option: dotted(path), accepted: accepted)
    } catch {
      report(path, error.message)
      return nil
    }
  }

  private static func accepted(_ resource: Resource) -> String {
    "a number, a string such as \(resource.unit == .items ? "\"100:120\"" : "\"64M:80M\"") or { barrier = …, limit = … }"
  }

  // MARK: Problems

  private mutating func table(
    _ value: any TOMLValueConvertible, _ path: [String], _ accepted: String
  ) -> TOMLTable? {
    if value.table == nil { reportUnreadable(path, value, accepted: accepted) }
    return value.table
  }

  private mutating func report(_ path: [String], _ message: String) {
    problems.append(Problem(line: lines.line(of: path), message: message))
  }

  private mutating func reportUnreadable(
    _ path: [String], _ value: any TOMLValueConvertible, accepted: String
  ) {
    let read =
      value.string.map(quoted) ?? value.int.map { "\($0)" } ?? "a value of type \(value.type)"
    report(path, "\(dotted(path)): cannot read \(read); accepted: \(accepted)")
  }

  private mutating func reportUnknown(_ path: [String], among known: [String]) {
    let key = path[path.count - 1]
    let near = nearest(to: key, among: known).map { "did you mean \($0)? " } ?? ""
    report(path, "unknown key \(dotted(path)); \(near)accepted: \(known.joined(separator: ", "))")
  }

  private func dotted(_ path: [String]) -> String { shown(path.joined(separator: ".")) }
}
