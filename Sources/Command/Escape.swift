// Names, paths and commands come from programs that may be hostile: none of them may move a
// terminal's cursor, end a line of kv or leave a JSON string.

/// `text` with every control character shown as `\n`, `\t` or `\u{1b}`, and direction overrides
/// likewise.
package func visible(_ text: String) -> String { escaped(text, also: "") }

/// `visible`, in double quotes.
package func quoted(_ text: String) -> String { "\"" + escaped(text, also: "\"\\") + "\"" }

/// A kv value: one line, and reversible because the backslash is escaped too.
func kvValue(_ text: String) -> String { escaped(text, also: "\\") }

func escaped(_ text: String, also special: String) -> String {
  var out = ""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\n": out += "\\n"
    case "\r": out += "\\r"
    case "\t": out += "\\t"
    case _ where isUnprintable(scalar): out += "\\u{" + String(scalar.value, radix: 16) + "}"
    case _ where special.unicodeScalars.contains(scalar):
      out += "\\"
      out.unicodeScalars.append(scalar)
    default: out.unicodeScalars.append(scalar)
    }
  }
  return out
}

/// C0, DEL, C1, line and paragraph separators, and what reorders text (UAX #9).
func isUnprintable(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.value {
  case 0..<0x20, 0x7f..<0xa0, 0x200e...0x200f, 0x2028...0x202e, 0x2066...0x2069: true
  default: false
  }
}

/// A JSON string with its quotes (RFC 8259 §7). A Swift String is valid Unicode already: bytes that
/// were not UTF-8 became U+FFFD when it was made.
package func jsonString(_ text: String) -> String {
  var out = "\""
  for scalar in text.unicodeScalars {
    switch scalar.value {
    case 0x22: out += "\\\""
    case 0x5c: out += "\\\\"
    case 0..<0x20, 0x7f, 0x2028...0x2029:  // the last two end a line in JavaScript
      let hex = String(scalar.value, radix: 16)
      out += "\\u" + String(repeating: "0", count: 4 - hex.utf8.count) + hex
    default: out.unicodeScalars.append(scalar)
    }
  }
  return out + "\""
}

/// `words` as one line that bash reads back as the same words. Quotes are never escaped with a
/// backslash, and control characters are in `$'…'`, so that the line needs no second escaping in
/// kv.
func shellQuoted(_ words: [String]) -> String {
  words.map(shellQuoted).joined(separator: " ")
}

private func shellQuoted(_ word: String) -> String {
  let plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-"
    .unicodeScalars
  if !word.isEmpty, word.unicodeScalars.allSatisfy({ plain.contains($0) }) { return word }
  if !word.unicodeScalars.contains(where: isUnprintable) {
    return "'" + word.unicodeScalars.map { $0 == "'" ? "'\"'\"'" : String($0) }.joined() + "'"
  }
  var out = "$'"
  for byte in word.utf8 {
    switch byte {
    case UInt8(ascii: "\n"): out += "\\n"
    case UInt8(ascii: "\t"): out += "\\t"
    case UInt8(ascii: "'"), UInt8(ascii: "\\"): out += "\\" + String(Unicode.Scalar(byte))
    case 0x20..<0x7f: out += String(Unicode.Scalar(byte))
    default:
      // Always three digits, so that a digit after it stays apart
      let octal = String(byte, radix: 8)
      out += "\\" + String(repeating: "0", count: 3 - octal.utf8.count) + octal
    }
  }
  return out + "'"
}
