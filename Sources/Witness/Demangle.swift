import CWitness
private import CLinux

/// A name as people write it: of C++ and Rust by way of `room`, of Swift by its runtime; nil when
/// it is none of them, does not fit, or might explode (CWitness/demangle.c).
func demangle(_ name: UnsafePointer<CChar>, _ room: UnsafeMutableBufferPointer<CChar>) -> String? {
  guard let to = room.baseAddress else { return nil }
  if witness_demangle(name, to, room.count) { return rustName(String(cString: to)) }
  return swiftName(name)
}

/// Rust's own mangling until the v0 of 2025 is C++'s, with a hash at the end and escapes for what
/// C++ has no letters for (rustc_symbol_mangling, legacy.rs).
/// `t::Cache$LT$T$GT$::load::hd1e6adec7f5e70c2` is `t::Cache<T>::load`.
private func rustName(_ name: String) -> String {
  guard let last = name.range(of: "::h", fromEnd: true), name[last...].count == 16,
    name[last...].allSatisfy({ $0.isHexDigit && !$0.isUppercase })
  else { return name }
  var text = ""
  var rest = name[..<name.index(last, offsetBy: -3)]
  while let dollar = rest.firstIndex(of: "$") {
    text += rest[..<dollar]
    let escape = rest[rest.index(after: dollar)...].prefix { $0 != "$" }
    guard let plain = rustEscape(escape), escape.endIndex < rest.endIndex else {
      text += "$"
      rest = rest[rest.index(after: dollar)...]
      continue
    }
    text += plain
    rest = rest[rest.index(after: escape.endIndex)...]
  }
  text += rest
  // A path in an escape's place begins with an underscore, for names in C++ begin with a letter.
  return text.split(separator: "::", omittingEmptySubsequences: false)
    .map { $0.hasPrefix("_<") || $0.hasPrefix("_{") ? $0.dropFirst() : $0 }.joined(separator: "::")
}

private func rustEscape(_ word: Substring) -> String? {
  switch word {
  case "SP": return "@"
  case "BP": return "*"
  case "RF": return "&"
  case "LT": return "<"
  case "GT": return ">"
  case "LP": return "("
  case "RP": return ")"
  case "C": return ","
  default:
    guard word.first == "u", let code = UInt32(word.dropFirst(), radix: 16),
      let scalar = Unicode.Scalar(code)
    else { return nil }
    return String(Character(scalar))
  }
}

extension String {
  /// Behind the last `word`.
  fileprivate func range(of word: String, fromEnd: Bool) -> Index? {
    var at = endIndex
    while at > startIndex {
      at = index(before: at)
      if self[at...].hasPrefix(word) { return index(at, offsetBy: word.count) }
    }
    return nil
  }
}

/// The Swift runtime's own, which is linked into this very program.
@_silgen_name("swift_demangle")
private func runtimeDemangle(
  _ name: UnsafePointer<CChar>?, _ length: UInt, _ to: UnsafeMutablePointer<CChar>?,
  _ size: UnsafeMutablePointer<UInt>?, _ flags: UInt32
) -> UnsafeMutablePointer<CChar>?

/// `$s` is Swift 5 and later, `$S` and `_T0` came before (docs/ABI/Mangling.rst of Swift).
private func swiftName(_ name: UnsafePointer<CChar>) -> String? {
  let length = strnlen(name, longestName)
  guard length < longestName, swiftPrefixes.contains(where: { strncmp(name, $0, strlen($0)) == 0 }),
    let text = runtimeDemangle(name, UInt(length), nil, nil, 0)
  else { return nil }
  defer { free(text) }
  return String(cString: text)
}

private let swiftPrefixes: [String] = ["$s", "$S", "_$s", "_$S", "_T0"]
private let longestName = 1024
