public import Beancounters
internal import CLinux

/// What happened: kept for a while for whoever asks, and told at once to whoever follows.
public final class Events {
  public enum Kind: String, Sendable {
    case created, removed, set, join, leave, denial, uncovered
    /// A charge brought use above the barrier; only SOFT and FORCE do.
    case barrier
    /// A member that is idle has been paged out, or could not be.
    case reclaim
    /// New bounds are below what is held.
    case over
    /// A member's page holds what the shim cannot have written.
    case corrupt
    /// A process named a membership that nobody gave out.
    case stranger
  }

  public struct Event: Sendable {
    public var seconds: Int
    public var milliseconds: Int
    public var beancounter: String
    public var kind: Kind
    public var resource: Resource?
    public var pid: Int32?
    public var text: String
  }

  private static let kept = 10_000
  private var ring: [Event] = []
  private var next = 0
  var follow: ((Event) -> Void)?

  public var all: [Event] { Array(ring[next...] + ring[..<next]) }

  private var strangers: (second: Int64, pids: Set<Int32>) = (0, [])
  private static let mostStrangers = 16

  /// Each process is named once a second, and not too many of them, for what they say costs them
  /// nothing.
  func addStranger(_ pid: Int32) {
    let now = Clock.milliseconds() / 1000
    if now != strangers.second { strangers = (now, []) }
    guard strangers.pids.count < Events.mostStrangers, strangers.pids.insert(pid).inserted else {
      return
    }
    add(.stranger, named: "-", nil, pid: pid, "no such membership")
  }

  func add(
    _ kind: Kind, of one: Accounting, _ resource: Resource? = nil, pid: Int32? = nil,
    _ text: String = ""
  ) {
    add(kind, named: one.name, resource, pid: pid, text)
  }

  private func add(
    _ kind: Kind, named name: String, _ resource: Resource?, pid: Int32?, _ text: String
  ) {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    let event = Event(
      seconds: now.tv_sec, milliseconds: now.tv_nsec / 1_000_000, beancounter: name, kind: kind,
      resource: resource,
      pid: pid, text: text)
    if ring.count < Events.kept {
      ring.append(event)
    } else {
      ring[next] = event
      next = (next + 1) % Events.kept
    }
    follow?(event)
  }
}
