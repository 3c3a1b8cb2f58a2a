internal import Beancounters
internal import CLinux
internal import Command
internal import Recount

/// Since when a process has not used a processor.
struct Idle {
  private var ticks: Int64 = -1
  private var lookedAt: Int64 = 0
  /// In milliseconds; nil until it has been looked at.
  private(set) var since: Int64?

  /// Long enough that who only waits for an answer is not taken for idle.
  static let least: Int64 = 100

  var isDue: Bool { Clock.milliseconds() - lookedAt >= Idle.least }

  mutating func saw(_ now: Int64) {
    lookedAt = Clock.milliseconds()
    if now != ticks || since == nil { since = lookedAt }
    ticks = now
  }
}

/// `--on-physpages reclaim`: before growth is refused at the limit of physpages, members that are
/// idle are paged out, those first that have been for longest. What they have is in swap then, and
/// comes back when they touch it, which nobody can refuse.
extension Accounting {
  /// Why this server cannot do it, in words for whoever asked for it; nil when it can.
  public static func reclaimRefusal() -> String? {
    PageOut.refusal().map {
      "on-physpages reclaim: \($0); --on-physpages refuse is accepted everywhere"
    }
  }

  /// From the tick, where somebody may want to know it.
  func lookWhetherIdle(_ pid: Int32) {
    guard upwards.contains(where: { $0.settings.reclaims && $0.physicalLimit != nil }),
      let member = members[pid], member.idle.isDue, let stat = Procfs.stat(pid)
    else { return }
    members[pid]?.idle.saw(stat.ticks)
  }

  /// So many pages, at least, from members here and below; false when they would not come to that.
  /// After a recount.
  func reclaim(_ wanted: Int64, for asker: Int32) -> Bool {
    let idle = idleMembers(except: asker)
    func own(_ pid: Int32) -> Int64 { host.physical.memory(pid)?.own ?? 0 }
    let most = mostToReclaim
    guard idle.reduce(0, { $0 + own($1.member.pid) }) >= wanted, most >= wanted else {
      return false
    }
    let start = Clock.nanoseconds()
    var left = min(most, max(wanted, Accounting.reclaimed)), done: Int64 = 0
    holdOthers {
      for (one, member) in idle where left > 0 && own(member.pid) > 0 {
        let (pages, error) = PageOut.of(member.pid, pages: left, pause: host.pause)
        left -= pages
        done += pages
        work.reclaimed += pages
        let comm = Procfs.stat(member.pid)?.comm ?? "?"
        host.events.add(
          .reclaim, of: one, .physpages, pid: member.pid,
          "\(Display.plural(pages, "page")) of \(comm) out"
            + (error == 0 ? "" : ", then \(String(cString: strerror(error)))"))
      }
    }
    work.reclaims += 1
    work.reclaiming += Clock.nanoseconds() - start
    return done > 0
  }
  /// Some for the next growth too: a count is dearer than what a page costs.
  private static let reclaimed: Int64 = 2048

  /// The longest idle first.
  private func idleMembers(except asker: Int32) -> [(of: Accounting, member: Member)] {
    for one in subtree {
      for member in one.members.values where !member.isZombie {
        if let stat = Procfs.stat(member.pid) { one.members[member.pid]?.idle.saw(stat.ticks) }
      }
    }
    let latest = Clock.milliseconds() - Idle.least
    return subtree.flatMap { one in
      one.members.values.filter {
        !$0.isZombie && $0.pid != asker && !one.borrowsMemory($0)
          && ($0.idle.since ?? .max) <= latest
      }.map { (of: one, member: $0) }
    }.sorted { ($0.member.idle.since!, $0.member.pid) < ($1.member.idle.since!, $1.member.pid) }
  }

  /// What is free of swap, and of what swappages lets be used, at every level.
  private var mostToReclaim: Int64 {
    upwards.reduce(PageOut.swap()?.free ?? 0) { least, level in
      let limit = level.ledger[.swappages].bounds.limit
      guard limit != Bounds.unlimited else { return least }
      let swapped = level.subtree.reduce(0) { sum, one in
        sum + one.members.keys.reduce(0) { $0 + (host.physical.memory($1)?.swapped ?? 0) }
      }
      return min(least, max(0, limit - swapped))
    }
  }
}
