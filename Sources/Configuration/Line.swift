/// Lines of a file that may hold any bytes.
enum Line {
  /// The lines with their numbers, from 1, without what ends them (LF or CR LF) and without a byte
  /// order mark.
  static func all(_ bytes: [UInt8]) -> some Sequence<(number: Int, line: ArraySlice<UInt8>)> {
    let marked = bytes.starts(with: [0xef, 0xbb, 0xbf])
    let lines = bytes[(marked ? 3 : 0)...].split(
      separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    return lines.enumerated().lazy.map { index, line in
      (number: index + 1, line: line.last == UInt8(ascii: "\r") ? line.dropLast() : line)
    }
  }

  static func isBlank(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t")
  }

  static func isDigit(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
  }

  /// A byte of a shell variable's name.
  static func isNameByte(_ byte: UInt8) -> Bool {
    isDigit(byte) || byte == UInt8(ascii: "_")
      || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
  }
}
