public import Beancounters

/// What a run was asked to do: the options of `bcrun`, read and checked.
public struct Options: Sendable {
  public enum Format: String, Sendable { case text, json, kv }
  public enum FailOn: String, Sendable { case denial, barrier, uncovered }

  /// What the options set so far; complete once the files of `--config` are read in.
  public internal(set) var bounds: [Resource: Bounds] = [:]
  public internal(set) var name: String?
  /// The beancounter that this one is nested under.
  public internal(set) var parent: String?
  /// The socket of a running bcd; nil is a server of its own.
  public var server: String?
  /// COMMAND sees its bounds in /proc/meminfo.
  public var meminfo = false
  /// `K=V`, in the order given; a later one wins.
  public var environment: [Bytes] = []
  public var workdir: Bytes?
  /// Where the end report goes: nil is stderr.
  public var reportFile: Bytes?
  public var format: Format = .text
  public var quiet = false
  public var verbose = false
  public var failOn: [FailOn] = []
  public internal(set) var allowOnServerLoss = false
  public internal(set) var openvzErrno = false
  /// At the limit of physpages members that are idle are paged out before growth is refused.
  public internal(set) var reclaims = false
  public var bestEffort = false
  /// Charges that fail on purpose.
  public var failures: [Resource: Injection] = [:]
  /// Every charge of these resources is to fail once, in a run of its own.
  public var torture: [Resource] = []
  /// … or only the first from each place in the program.
  public var tortureShallow = false
  /// … of which this run is one.
  public var tortureRound: TortureRound?
  public var command: [String] = []
  /// Where `command` begins in the arguments that were parsed. A String cannot hold bytes that are
  /// not UTF-8: who execs takes the words from argv itself, from here on.
  public var commandStart = 0

  var steps: [Step] = []
  var origins: [Resource: Origin] = [:]

  /// The files of `--config`, in the order given. When there are any, `bcctl bounds` has to read
  /// them before the bounds mean anything: `read(configured:source:)`, then `checkEnforced()`.
  public var configFiles: [String] {
    steps.compactMap { if case .file(let path) = $0 { path } else { nil } }
  }

  /// Whether anybody is given the end report.
  public var isReported: Bool { reportFile != nil || !quiet }

  public init() {}
}
