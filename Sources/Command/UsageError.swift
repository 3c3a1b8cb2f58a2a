/// A command line that cannot be run. `message` is one line for stderr, without the program's name:
/// it names the option, what was read and what would be accepted. bcrun exits 125 with it, bcctl 2.
public struct UsageError: Error, Equatable, Sendable, CustomStringConvertible {
  public let message: String

  public init(_ message: String) { self.message = message }

  public var description: String { message }

  /// `option` was given `value`, which is not one of what it accepts.
  package static func unreadable(_ option: String, _ value: String, accepted: String) -> UsageError
  {
    UsageError("\(option): cannot read \(quoted(value)); accepted: \(accepted)")
  }
}
