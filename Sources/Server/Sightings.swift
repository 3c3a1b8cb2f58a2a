internal import Beancounters
internal import CLinux
internal import Recount

/// Since when descriptors have been what they are, as far as anybody knows: the kernel keeps no
/// time for an open file, so they are looked at now and then, and each has the time of the first
/// look that saw it. Late by one interval of looks at most; a file that is closed and opened again
/// in between passes for one that stayed open.
struct Sightings {
  private struct Seen {
    var name: String
    var since: time_t
  }

  private var seen: [Int32: [Int32: Seen]] = [:]
  /// When, in milliseconds, a process is to be looked at next.
  private var next: [Int32: Int64] = [:]
  /// Processes that are to be looked at in this round.
  private var round: [Int32] = []

  private static let interval: Int64 = 1000
  /// A look at many descriptors is dear: the next is as many times later.
  private static let rest: Int64 = 100

  mutating func look(_ pid: Int32) {
    let began = Clock.precise()
    let before = seen[pid] ?? [:], now = time(nil)
    var found: [Int32: Seen] = [:]
    for (fd, name) in Descriptors.named(pid) {
      if let known = before[fd], known.name == name {
        found[fd] = known
      } else {
        found[fd] = Seen(name: name, since: now)
      }
    }
    seen[pid] = found
    let took = Int64(Clock.precise() - began)
    next[pid] = Clock.milliseconds() + max(Sightings.interval, Sightings.rest * took)
  }

  /// At most one of these, whose turn it is.
  mutating func look(atOneOf members: borrowing Members) {
    if round.isEmpty { round = Array(members.keys) }
    guard let pid = round.popLast(), members[pid] != nil, Clock.milliseconds() >= next[pid] ?? 0
    else { return }
    look(pid)
  }

  mutating func forget(_ pid: Int32) {
    seen[pid] = nil
    next[pid] = nil
  }

  func since(_ pid: Int32, _ item: (fd: Int32, name: String)) -> time_t? {
    guard let one = seen[pid]?[item.fd], one.name == item.name else { return nil }
    return one.since
  }
}

extension Accounting {
  /// Where descriptors have a bound, somebody may want to know.
  func lookAtDescriptors() {
    guard Accounting.descriptions.contains(where: isBounded) else { return }
    sightings.look(atOneOf: members)
  }

  func look(at pid: Int32) { sightings.look(pid) }
}
