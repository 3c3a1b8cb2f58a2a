public import Beancounters
public import Witness

/// All that the end report says, whatever its format. Amounts are in the resource's own unit.
public struct Report: Sendable {
  public struct Row: Sendable {
    public var resource: Resource
    public var held: Int64
    public var maxheld: Int64
    public var bounds: Bounds
    public var failcnt: Int64
    /// `exact`, `estimate`, `view` or `unseen`.
    public var status: String

    public init(
      resource: Resource, held: Int64, maxheld: Int64, bounds: Bounds, failcnt: Int64,
      status: String
    ) {
      self.resource = resource
      self.held = held
      self.maxheld = maxheld
      self.bounds = bounds
      self.failcnt = failcnt
      self.status = status
    }
  }

  /// Denials of one resource to one process through one call, and from one place in the program as
  /// far as stacks are known, counted together.
  public struct Denial: Sendable {
    public var resource: Resource
    public var count: Int64
    /// The name the program saw: `ENFILE`.
    public var errno: String
    public var pid: Int32
    public var comm: String
    public var call: String
    /// The path or name that the first of them was given; empty when the call takes none.
    public var detail: String
    /// Other arguments of the first of them in words (`AF_INET, SOCK_STREAM`); empty when there is
    /// a path.
    public var arguments: String
    public var amount: Int64
    /// The thread that was refused first, `pid` for the main one, and what another is called.
    public var thread: Int32
    public var threadName: String
    /// Where it was refused, innermost first; empty when the stack is not known.
    public var frames: [Frame]
    /// Of `count`, those whose stack was read and is this one; the others got their share of those
    /// that were not.
    public var witnessed: Int64
    /// Refused because a test asked for it (`--fail`): there was room, and failcnt does not count
    /// it.
    public var injected: Bool

    public init(
      resource: Resource, count: Int64, errno: String, pid: Int32, comm: String, call: String,
      detail: String,
      arguments: String = "", amount: Int64, thread: Int32? = nil, threadName: String = "",
      frames: [Frame] = [], witnessed: Int64 = 0, injected: Bool = false
    ) {
      self.resource = resource
      self.count = count
      self.errno = errno
      self.pid = pid
      self.comm = comm
      self.call = call
      self.detail = detail
      self.arguments = arguments
      self.amount = amount
      self.thread = thread ?? pid
      self.threadName = threadName
      self.frames = frames
      self.witnessed = witnessed
      self.injected = injected
    }
  }

  public struct Uncovered: Sendable {
    public var pid: Int32
    public var executable: String
    public var reason: String

    public init(pid: Int32, executable: String, reason: String) {
      self.pid = pid
      self.executable = executable
      self.reason = reason
    }
  }

  /// How COMMAND ended: exactly one of the two is set.
  public struct Exit: Sendable {
    public var code: Int32?
    public var signal: Int32?

    public init(code: Int32? = nil, signal: Int32? = nil) {
      self.code = code
      self.signal = signal
    }
  }

  public struct Work: Sendable {
    public var requests: Int64 = 0
    public var recalls: Int64 = 0
    public var recounts: Int64 = 0
    public var toSlow: Int64 = 0
    public var toFast: Int64 = 0
    /// How often members were paged out, and how many pages.
    public var reclaims: Int64 = 0
    public var reclaimed: Int64 = 0
    /// Nanoseconds that all of these took.
    public var recalling: UInt64 = 0
    public var recounting: UInt64 = 0
    public var switching: UInt64 = 0
    public var reclaiming: UInt64 = 0

    public init() {}
  }

  public var id: Int
  public var name: String
  public var command: [String]
  public var exit: Exit
  public var seconds: Double
  public var rows: [Row]
  public var denials: [Denial]
  public var uncovered: [Uncovered]
  /// Processes of the beancounter that outlive COMMAND.
  public var remaining: Int
  public var server: Work
  /// Descriptors that processes had open when they ended, of those charged to them: an upper
  /// estimate.
  public var leftOpen: Int64 = 0
  /// Of a survey: which charges, by their number, were the first of a place in the program.
  public var firstOfPlaces: [Int64] = []

  public init(
    id: Int, name: String, command: [String], exit: Exit, seconds: Double, rows: [Row],
    denials: [Denial],
    uncovered: [Uncovered], remaining: Int, server: Work
  ) {
    self.id = id
    self.name = name
    self.command = command
    self.exit = exit
    self.seconds = seconds
    self.rows = rows
    self.denials = denials
    self.uncovered = uncovered
    self.remaining = remaining
    self.server = server
  }
}

extension Report {
  /// Which of the events of `--fail-on` happened.
  public var verdict: [Options.FailOn] {
    var happened: [Options.FailOn] = []
    if denials.contains(where: { !$0.injected }) { happened.append(.denial) }
    if rows.contains(where: {
      $0.failcnt > 0
        || $0.maxheld > $0.bounds.barrier && !Resource.withoutBarrier.contains($0.resource)
    }) {
      happened.append(.barrier)
    }
    if !uncovered.isEmpty { happened.append(.uncovered) }
    return happened
  }

  public func text(as format: Options.Format, verbose: Bool) -> String {
    switch format {
    case .text: text(verbose: verbose)
    case .json: json()
    case .kv: kv()
    }
  }
}
