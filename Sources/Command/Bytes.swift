/// A word of a command line or of an environment. It need not be UTF-8, which a String has to be:
/// what is handed on to the kernel or to a program is handed on as it came.
public struct Bytes: Sendable, Hashable, ExpressibleByStringLiteral,
  ExpressibleByStringInterpolation
{
  /// Without the zero at the end, and with none inside.
  public let bytes: ArraySlice<UInt8>

  public init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }
  public init(_ text: String) { bytes = Array(text.utf8.prefix { $0 != 0 })[...] }
  public init(stringLiteral text: String) { self.init(text) }
  public init(cString: UnsafePointer<CChar>) {
    var count = 0
    while cString[count] != 0 { count += 1 }
    bytes = cString.withMemoryRebound(to: UInt8.self, capacity: count) {
      Array(UnsafeBufferPointer(start: $0, count: count))[...]
    }
  }

  /// For people and for JSON: what is no UTF-8 is U+FFFD.
  public var text: String { String(decoding: bytes, as: UTF8.self) }

  public func withCString<Result>(_ body: (UnsafePointer<CChar>) throws -> Result) rethrows
    -> Result
  {
    try (bytes + [0]).withUnsafeBytes {
      try body($0.baseAddress!.assumingMemoryBound(to: CChar.self))
    }
  }
}
