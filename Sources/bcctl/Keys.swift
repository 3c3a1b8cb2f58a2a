/// A key as `bcctl top` knows it.
enum Key: Equatable {
  case character(Character)
  case up, down, left, right, pageUp, pageDown, home, end
  case enter, escape, backspace
}

/// Keys out of the bytes that a terminal sends, which may be cut anywhere: ECMA-48 sequences, as
/// xterm has them in normal and in application mode, and UTF-8.
struct KeyReader {
  private var pending: [UInt8] = []

  /// Whether what has come so far may be the Escape key, or the beginning of a longer sequence.
  var isWaiting: Bool { !pending.isEmpty }

  mutating func take(_ bytes: some Sequence<UInt8>) -> [Key] {
    pending += bytes
    var keys: [Key] = []
    while let (key, length) = next() {
      pending.removeFirst(length)
      if let key { keys.append(key) }
    }
    return keys
  }

  /// Nothing came for a while: an escape that stands alone was the key.
  mutating func giveUp() -> [Key] {
    defer { pending = [] }
    return pending == [0x1b] ? [.escape] : []
  }

  /// The first key and its length; nil when more bytes are needed. A sequence that is no key of
  /// ours is passed over.
  private func next() -> (Key?, Int)? {
    guard let first = pending.first else { return nil }
    switch first {
    case 0x1b: return sequence()
    case 0x0d, 0x0a: return (.enter, 1)
    case 0x7f, 0x08: return (.backspace, 1)
    case 0..<0x20: return (nil, 1)
    default: return character(first)
    }
  }

  private func sequence() -> (Key?, Int)? {
    guard pending.count > 1 else { return nil }
    if pending[1] == UInt8(ascii: "O") {
      return pending.count > 2 ? (KeyReader.final(pending[2], ""), 3) : nil
    }
    guard pending[1] == UInt8(ascii: "[") else { return (.escape, 1) }
    guard let last = pending.dropFirst(2).firstIndex(where: { (0x40...0x7e).contains($0) }) else {
      return pending.count > 32 ? (nil, pending.count) : nil
    }
    return (
      KeyReader.final(pending[last], String(decoding: pending[2..<last], as: UTF8.self)), last + 1
    )
  }

  private static func final(_ byte: UInt8, _ parameters: String) -> Key? {
    switch (Unicode.Scalar(byte), parameters) {
    case ("A", _): .up
    case ("B", _): .down
    case ("C", _): .right
    case ("D", _): .left
    case ("H", _), ("~", "1"), ("~", "7"): .home
    case ("F", _), ("~", "4"), ("~", "8"): .end
    case ("~", "5"): .pageUp
    case ("~", "6"): .pageDown
    default: nil
    }
  }

  private func character(_ first: UInt8) -> (Key?, Int)? {
    let length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
    guard pending.count >= length else { return nil }
    guard let text = String(validating: pending[..<length], as: UTF8.self), let one = text.first
    else {
      return (nil, 1)
    }
    return (.character(one), length)
  }
}
