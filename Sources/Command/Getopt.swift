// optind and its kin are C globals: getopt_long is not reentrant, and bcrun reads its options
// before any thread starts. Private, or a file that imports Foundation beside `@testable import
// Command` sees two different `fd_set`s.
@preconcurrency private import CLinux

/// getopt_long, with our own messages. It stops at the first word that is no option (`+`), as
/// everything from COMMAND on is COMMAND's. Owns the C copies for as long as it lives; one at a
/// time.
struct Getopt: ~Copyable {
  struct Found {
    let option: LongOption
    /// As it was given: `-m` or `--memory`.
    let spelling: String
    /// As it came.
    let word: Bytes?
    var value: String? { word?.text }
  }

  // Long options come back as their row in the table, above any short option's letter.
  private static let firstRow: Int32 = 256

  private let program: String
  private let table: [LongOption]
  private let arguments: [Bytes]
  private let words: [UnsafeMutablePointer<CChar>?]
  private let names: [UnsafeMutablePointer<CChar>?]
  private let vector: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
  private let options: [option]
  private let short: String

  init(_ arguments: [Bytes], program: String = "bcrun", table: [LongOption] = LongOption.all) {
    self.program = program
    self.table = table
    self.arguments = arguments
    // getopt skips argv[0].
    words = [strdup(program)] + arguments.map { $0.withCString { strdup($0) } }
    let names = table.map { strdup($0.name) }
    self.names = names
    vector = .allocate(capacity: words.count + 1)
    for (index, word) in words.enumerated() { (vector + index).initialize(to: word) }
    (vector + words.count).initialize(to: nil)
    options =
      table.enumerated().map { row, entry in
        option(
          name: names[row], has_arg: entry.value.rawValue, flag: nil,
          val: Getopt.firstRow + Int32(row))
      } + [option()]
    // "+" stops at COMMAND; ":" asks for ':' instead of '?' when a value is missing.
    short =
      "+:"
      + table.compactMap { row in
        row.short.map { "\($0)" + (row.value == .required ? ":" : "") }
      }.joined()
    optind = 0  // glibc: start afresh, and forget what an earlier parse left half read
    opterr = 0
  }

  deinit {
    for word in words { free(word) }
    for name in names { free(name) }
    vector.deallocate()
  }

  /// Index in the arguments of the first word that no option took.
  var position: Int { Int(optind) - 1 }

  /// The next option, or nil where COMMAND begins.
  func next() throws(UsageError) -> Found? {
    let code = getopt_long(Int32(words.count), vector, short, options, nil)
    switch code {
    case -1: return nil
    case Int32(UInt8(ascii: ":")):
      guard let (entry, spelling) = lookUp(optopt) else {
        throw UsageError("an option lacks its value; see --help")
      }
      throw UsageError("\(spelling) needs a value; accepted: \(entry.accepted)")
    case Int32(UInt8(ascii: "?")):
      if let (_, spelling) = lookUp(optopt) {
        throw UsageError("\(spelling) takes no value; see \(program) --help")
      }
      throw optopt == 0 ? unknownLong() : unknownShort(optopt)
    default:
      guard let (entry, spelling) = lookUp(code) else { throw unknownShort(code) }
      return Found(option: entry, spelling: spelling, word: optarg.map { Bytes(cString: $0) })
    }
  }

  private func lookUp(_ code: Int32) -> (option: LongOption, spelling: String)? {
    let row = Int(code - Getopt.firstRow)
    if table.indices.contains(row) { return (table[row], "--" + table[row].name) }
    guard let byte = UInt8(exactly: code) else { return nil }
    let letter = Character(Unicode.Scalar(byte))
    return table.first { $0.short == letter }.map { ($0, "-\(letter)") }
  }

  private func unknownLong() -> UsageError {
    // The word getopt has just stepped over.
    let index = position - 1
    let word = arguments.indices.contains(index) ? arguments[index].text : ""
    let name = String(word.drop { $0 == "-" }.prefix { $0 != "=" })
    let same = table.map(\.name).filter { $0.hasPrefix(name) }
    if same.count > 1, !name.isEmpty {
      return UsageError(
        "--\(visible(name)) may be \(same.map { "--" + $0 }.joined(separator: " or ")); write it out"
      )
    }
    return unknown("--" + name, nearest(to: name, among: table.map(\.name)))
  }

  private func unknownShort(_ code: Int32) -> UsageError {
    // A long option with one dash: getopt is still inside that word.
    let word = arguments.indices.contains(position) ? arguments[position].text : ""
    let name = String(word.dropFirst().prefix { $0 != "=" })
    if word.hasPrefix("-"), table.contains(where: { $0.name == name }) {
      return unknown("-" + name, name)
    }
    // optopt is a signed char: half of a letter outside ASCII is shown as the whole word.
    guard let byte = UInt8(exactly: code), byte < 0x80 else { return unknown(word, nil) }
    return unknown("-\(Character(Unicode.Scalar(byte)))", nil)
  }

  private func unknown(_ spelling: String, _ near: String?) -> UsageError {
    let hint = near.map { "did you mean --\($0)? " } ?? ""
    return UsageError(
      "unknown option \(visible(spelling)); \(hint)\(program) --help lists the accepted ones")
  }
}
