public import Beancounters

/// What a run was asked to do: the options of `bcrun`, read and checked.
public struct Options: Sendable {
  public enum Format: String, Sendable { case text, json, kv }
  public enum FailOn: String, Sendable { case denial, barrier, uncovered }

  public var bounds: [Resource: Bounds] = [:]
  public var name: String?
  /// `K=V`, in the order given; a later one wins.
  public var environment: [String] = []
  public var workdir: String?
  /// The beancounter to nest under; needs `server`.
  public var parent: String?
  /// The socket of a running bcd; nil is a private server.
  public var server: String?
  /// Where the end report goes: nil is stderr.
  public var reportFile: String?
  public var format: Format = .text
  public var quiet = false
  public var verbose = false
  public var failOn: [FailOn] = []
  public var allowOnServerLoss = false
  public var openvzErrno = false
  public var bestEffort = false
  public var command: [String] = []
  /// Where `command` begins in the arguments that were parsed. A String cannot hold bytes that are not UTF-8: who
  /// execs takes the words from argv itself, from here on.
  public var commandStart = 0

  public init() {}
}
