public import Beancounters
internal import CLinux

/// What happened: kept for a while for whoever asks, and told at once to whoever follows.
public final class Events {
  public enum Kind: String, Sendable {
    case created, removed, set, join, leave, denial, uncovered
    /// A charge brought use above the barrier; only SOFT and FORCE do.
    case barrier
    /// New bounds are below what is held.
    case over
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

  func add(_ kind: Kind, of one: Accounting, _ resource: Resource? = nil, pid: Int32? = nil, _ text: String = "") {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    let event = Event(
      seconds: now.tv_sec, milliseconds: now.tv_nsec / 1_000_000, beancounter: one.name, kind: kind, resource: resource,
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
