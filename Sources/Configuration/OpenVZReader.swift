import Beancounters
import Command

/// Reads a container configuration as OpenVZ has them, `/etc/vz/conf/CTID.conf` (ctid.conf(5)):
/// lines of shell,
///
///     # comment
///     NUMPROC="240:240"        # or NUMPROC=240, '240', export NUMPROC=…
///     PRIVVMPAGES="64M:80M"
///
/// A key is a resource's name in capitals, AVNUMPROC or VM_OVERCOMMIT; all others are OpenVZ's own
/// business and are passed over, whatever their value. A value is `BARRIER:LIMIT`, or one amount
/// for both, in the units of vzctl(8): a bare number is in the resource's own unit; T G M K are
/// sizes in bytes, B is bytes and P pages, in either case; num* takes no suffix. `unlimited`,
/// LONG_MAX of a 64-bit kernel and 2147483647, that of a 32-bit one, are no bound. A size that is
/// no whole number of pages is rounded up.
struct OpenVZReader {
  private var section = ConfigurationFile.Section()
  private var overcommit: Overcommit?
  private var problems: [Problem] = []

  static func read(_ bytes: [UInt8]) -> Result<ConfigurationFile.Section, Problems> {
    var reader = OpenVZReader()
    for (number, line) in Line.all(bytes) {
      do {
        try reader.read(line)
      } catch {
        reader.problems.append(Problem(line: number, message: error.message))
      }
    }
    guard reader.problems.isEmpty else { return .failure(Problems(all: reader.problems)) }
    reader.section.configured = reader.section.configured.filledVSwap(overcommit: reader.overcommit)
    return .success(reader.section)
  }

  /// What follows `export` and blanks, or the line as it was.
  static func withoutExport(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    let word = Array("export".utf8)
    guard line.starts(with: word), let next = line.dropFirst(word.count).first, Line.isBlank(next)
    else { return line }
    return line.dropFirst(word.count).drop(while: Line.isBlank)
  }

  private mutating func read(_ line: ArraySlice<UInt8>) throws(UsageError) {
    let rest = line.drop(while: Line.isBlank)
    if rest.isEmpty || rest.first == UInt8(ascii: "#") { return }
    let assignment = OpenVZReader.withoutExport(rest)
    let key = assignment.prefix(while: Line.isNameByte)
    guard let first = key.first, !Line.isDigit(first),
      assignment.dropFirst(key.count).first == UInt8(ascii: "=")
    else {
      let text = String(decoding: line, as: UTF8.self)
      throw UsageError(
        "cannot read \(quoted(text)); accepted: KEY=\"BARRIER:LIMIT\" without spaces around the =, or a # comment"
      )
    }
    let name = String(decoding: key, as: UTF8.self)
    guard let known = Key(name) else { return }
    let value = try OpenVZReader.word(
      assignment.dropFirst(key.count + 1), of: name, accepted: known.accepted)
    try set(known, name, value)
  }

  private enum Key {
    case resource(Resource)
    case averageProcesses, overcommit

    init?(_ name: String) {
      switch name {
      case "AVNUMPROC": self = .averageProcesses
      case "VM_OVERCOMMIT": self = .overcommit
      default:
        guard name == name.uppercased(), let resource = Resource(name: name.lowercased()) else {
          return nil
        }
        self = .resource(resource)
      }
    }

    var accepted: String {
      switch self {
      case .resource(let resource):
        "BARRIER:LIMIT or one value for both, each \(OpenVZReader.accepted(resource.unit))"
      case .averageProcesses:
        "BARRIER:LIMIT or one value for both, each \(OpenVZReader.accepted(.items))"
      case .overcommit: "a factor such as 1.5, above 0 and below 1000000"
      }
    }
  }

  private static func accepted(_ unit: Resource.Unit) -> String {
    switch unit {
    case .items: "a whole number without suffix, or unlimited"
    case .pages: "a number of pages, a size with a suffix (T G M K B, P for pages), or unlimited"
    case .bytes: "a number of bytes, a size with a suffix (T G M K B, P for pages), or unlimited"
    }
  }

  private mutating func set(_ key: Key, _ name: String, _ value: String) throws(UsageError) {
    switch key {
    case .resource(let resource):
      section.configured.bounds[resource] = try bounds(
        value, resource.unit, of: name, accepted: key.accepted)
    case .averageProcesses:
      section.averageProcesses = try bounds(value, .items, of: name, accepted: key.accepted).barrier
    case .overcommit:
      guard let factor = Overcommit(value) else {
        throw .unreadable(name, value, accepted: key.accepted)
      }
      overcommit = factor
    }
  }

  private func bounds(
    _ value: String, _ unit: Resource.Unit, of name: String, accepted: String
  ) throws(UsageError) -> BoundsChange {
    let parts = value.utf8.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
    guard parts.count <= 2 else { throw .unreadable(name, value, accepted: accepted) }
    var amounts: [Int64] = []
    for part in parts {
      amounts.append(try amount(String(decoding: part, as: UTF8.self), value, unit, name, accepted))
    }
    return BoundsChange(barrier: amounts[0], limit: amounts[amounts.count - 1])
  }

  private func amount(
    _ text: String, _ value: String, _ unit: Resource.Unit, _ name: String, _ accepted: String
  ) throws(UsageError) -> Int64 {
    if text == "unlimited" || text == "2147483647" { return Bounds.unlimited }
    // Fewer spellings than an option has: what vzctl does not know is a slip.
    let digits = text.utf8.prefix { Line.isDigit($0) || $0 == UInt8(ascii: ".") }
    let suffix = text.utf8.dropFirst(digits.count)
    guard !digits.isEmpty,
      suffix.isEmpty
        || suffix.count == 1 && "TGMKPB".utf8.contains(suffix.first.map { $0 & 0xdf } ?? 0)
    else { throw .unreadable(name, value, accepted: accepted) }
    return try readAmount(text, in: value, unit: unit, option: name, accepted: accepted)
  }

  /// The shell word at the start of `text`: quoted in any way, up to a blank outside quotes, which
  /// only a comment may follow.
  static func word(_ text: ArraySlice<UInt8>, of name: String, accepted: String) throws(UsageError)
    -> String
  {
    var out: [UInt8] = []
    var quote: UInt8?
    var rest = text
    while let byte = rest.first, quote != nil || !Line.isBlank(byte) {
      rest = rest.dropFirst()
      switch byte {
      case quote: quote = nil
      case UInt8(ascii: "'") where quote == nil, UInt8(ascii: "\"") where quote == nil: quote = byte
      case UInt8(ascii: "\\") where quote == nil && !rest.isEmpty: out.append(rest.removeFirst())
      case UInt8(ascii: "\\")
      where quote == UInt8(ascii: "\"") && rest.first.map("$`\"\\".utf8.contains) == true:
        out.append(rest.removeFirst())
      default: out.append(byte)
      }
    }
    let written = String(decoding: text, as: UTF8.self)
    if let quote {
      throw UsageError(
        "\(name): \(quoted(written)) lacks the closing \(Character(Unicode.Scalar(quote))); accepted: \(accepted)"
      )
    }
    rest = rest.drop(while: Line.isBlank)
    guard rest.isEmpty || rest.first == UInt8(ascii: "#") else {
      throw .unreadable(name, written, accepted: accepted)
    }
    return String(decoding: out, as: UTF8.self)
  }
}
