/// On which line of a TOML document each key stands: TOMLKit knows that only of what it cannot
/// parse.
///
/// Walks over a document that has been parsed already, so that it need not judge, only skip. What
/// it does not follow (a key with escapes in it) is placed at the table it stands in.
struct KeyLines {
  private var lines: [[String]: Int] = [:]
  private let bytes: [UInt8]
  private var at = 0
  private var line = 1

  init(_ bytes: [UInt8]) {
    self.bytes = bytes
    if bytes.starts(with: [0xef, 0xbb, 0xbf]) { at = 3 }
    readDocument()
  }

  /// The line of the key, or of the nearest table around it; nil for the document itself.
  func line(of path: [String]) -> Int? {
    var path = path
    while !path.isEmpty {
      if let line = lines[path] { return line }
      path.removeLast()
    }
    return nil
  }

  private var byte: UInt8? { at < bytes.count ? bytes[at] : nil }

  private func isAt(_ text: String) -> Bool {
    bytes[min(at, bytes.count)...].starts(with: text.utf8)
  }

  private mutating func step() {
    if byte == UInt8(ascii: "\n") { line += 1 }
    at += 1
  }

  private mutating func readDocument() {
    var table: [String] = []
    while let byte {
      switch byte {
      case UInt8(ascii: "#"): skipComment()
      case UInt8(ascii: "["):
        while self.byte == UInt8(ascii: "[") || self.byte.map(Line.isBlank) == true { step() }
        table = readKey(under: [])
        skipComment()  // the brackets that close it, and the rest of the line
      case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"), UInt8(ascii: "\n"): step()
      default: readPair(under: table)
      }
    }
  }

  /// `key = value`.
  private mutating func readPair(under table: [String]) {
    let before = at
    let path = readKey(under: table)
    while let byte, byte == UInt8(ascii: "=") || Line.isBlank(byte) { step() }
    skipValue(path)
    if at == before { step() }  // whatever it is, go on
  }

  /// A key with its dots; notes the line of every part that is new.
  private mutating func readKey(under table: [String]) -> [String] {
    var path = table
    while let byte {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "'"):
        let start = at + 1
        skipString()
        path.append(
          String(
            decoding: bytes[min(start, bytes.count)..<max(start, min(at - 1, bytes.count))],
            as: UTF8.self))
      case UInt8(ascii: "."), UInt8(ascii: " "), UInt8(ascii: "\t"):
        step()
        continue
      case _ where Line.isNameByte(byte) || byte == UInt8(ascii: "-"):
        let start = at
        while let next = self.byte, Line.isNameByte(next) || next == UInt8(ascii: "-") { step() }
        path.append(String(decoding: bytes[start..<at], as: UTF8.self))
      default: return path
      }
      if lines[path] == nil { lines[path] = line }
    }
    return path
  }

  /// A value, and all keys in it.
  private mutating func skipValue(_ path: [String]) {
    switch byte {
    case UInt8(ascii: "{"):
      step()
      while let next = byte, next != UInt8(ascii: "}") {
        if Line.isBlank(next) || next == UInt8(ascii: ",") { step() } else { readPair(under: path) }
      }
      step()
    case UInt8(ascii: "["):
      step()
      while let next = byte, next != UInt8(ascii: "]") {
        switch next {
        case UInt8(ascii: "#"): skipComment()
        case UInt8(ascii: "{"), UInt8(ascii: "["), UInt8(ascii: "\""), UInt8(ascii: "'"):
          skipValue(path)
        default: step()
        }
      }
      step()
    case UInt8(ascii: "\""), UInt8(ascii: "'"): skipString()
    default:
      while let next = byte, !",}]#\n".utf8.contains(next) { step() }
    }
  }

  private mutating func skipString() {
    guard let quote = byte else { return }
    let long = isAt("\"\"\"") || isAt("'''")
    for _ in 0..<(long ? 3 : 1) { step() }
    while let next = byte {
      if next == UInt8(ascii: "\\"), quote == UInt8(ascii: "\"") {
        step()
      } else if next == quote {
        if !long { break }
        if isAt("\"\"\"") || isAt("'''") {
          step()
          step()
          break
        }
      }
      step()
    }
    step()
    // A long string may end in two more quotes of its own.
    while long, byte == quote { step() }
  }

  private mutating func skipComment() {
    while let next = byte, next != UInt8(ascii: "\n") { step() }
  }
}
