private import CLinux

/// Records of queued signals, one unit of numsiginfo each (kernel/signal.c `struct sigqueue`), and
/// POSIX timers, which have theirs from the start.
///
/// The kernel shows three things: which signals are pending for a process and its threads, one bit
/// each; its timers; and how many records all processes of the user have (`SigQ`). A standard
/// signal is queued at most once, so its bit is its record; a real-time signal (32 and up) may
/// stand for many. Where none is pending the count is exact. Where one is, the figure of the user
/// less what that user's other processes hold is exact too, unless one of those has a real-time
/// signal pending. Otherwise only the bits can be proven; the rest counts as free, so that nobody
/// is refused for what may not be there.
public enum Signals {
  public struct Pending: Equatable, Sendable {
    /// Bits of pending standard signals, of the process and of each of its threads.
    public var standard: Int64 = 0
    /// Bits of pending real-time signals: at least one record each.
    public var realTime: Int64 = 0
    public var timers: Int64 = 0
    /// Records that surely are.
    public var least: Int64 { standard + realTime + timers }
  }

  public struct Held: Equatable, Sendable {
    /// Of each process asked about, in order: `least`, and to one with real-time signals pending
    /// what the user's figure proves beyond that.
    public var perProcess: [Int64]
    /// Whether that is the number of records and not only a proven part of them.
    public var isExact: Bool
    public var total: Int64 { perProcess.reduce(0, +) }
  }

  /// Without SIGKILL, which is pending without a record (kernel/signal.c send_signal_locked).
  private static let standardBits: UInt64 = ((1 << 31) - 1) & ~(1 << 8)
  private static let realTimeBits: UInt64 = ~((1 << 31) - 1)

  /// nil when the process has gone.
  public static func count(_ pid: Int32) -> Pending? {
    guard let status = Procfs.read("/proc/\(pid)/status", limit: 16384) else { return nil }
    var pending = Pending()
    func add(_ mask: UInt64) {
      pending.standard += Int64((mask & standardBits).nonzeroBitCount)
      pending.realTime += Int64((mask & realTimeBits).nonzeroBitCount)
    }
    add(mask(status, "ShdPnd") ?? 0)
    if field(status, "Threads") == "1" {
      add(mask(status, "SigPnd") ?? 0)
    } else {
      for thread in Procfs.list("/proc/\(pid)/task") {
        if let text = Procfs.read("/proc/\(pid)/task/\(thread)/status", limit: 16384) {
          add(mask(text, "SigPnd") ?? 0)
        }
      }
    }
    let timers = Procfs.read("/proc/\(pid)/timers", limit: 4 << 20) ?? ""
    pending.timers = Int64(timers.split(separator: "\n").count { $0.hasPrefix("ID:") })
    return pending
  }

  /// What a group of processes holds.
  public static func held(_ pids: [Int32]) -> Held {
    let all = pids.map { count($0) ?? Pending() }
    var held = Held(perProcess: all.map(\.least), isExact: all.allSatisfy { $0.realTime == 0 })
    guard !held.isExact, let first = all.firstIndex(where: { $0.realTime > 0 }),
      let records = recordsOfUsers(pids),
      let again = recordsOfUsers(pids)
    else { return held }
    // Others' signals come and go while they are looked at: two readings that differ prove the
    // lesser.
    held.perProcess[first] += max(0, min(records, again) - held.total)
    held.isExact = records == again
    return held
  }

  /// Records of the users of these processes, less those of their other processes; nil where those
  /// cannot be known.
  private static func recordsOfUsers(_ pids: [Int32]) -> Int64? {
    var users: [Substring: Int64] = [:]
    for pid in pids {
      guard let text = Procfs.read("/proc/\(pid)/status", limit: 16384), let user = realUser(text),
        let queue = field(text, "SigQ"), let n = Int64(queue.prefix { $0 != "/" })
      else { continue }
      users[user] = n
    }
    var records = users.values.reduce(0, +)
    let members = Set(pids)
    for name in Procfs.list("/proc") {
      guard let pid = Int32(name), !members.contains(pid),
        let text = Procfs.read("/proc/\(pid)/status", limit: 16384),
        let user = realUser(text), users[user] != nil
      else { continue }
      guard access("/proc/\(pid)/timers", R_OK) == 0, let other = count(pid), other.realTime == 0
      else { return nil }
      records -= other.least
    }
    return records
  }

  private static func field(_ text: String, _ key: String) -> Substring? {
    for line in text.split(separator: "\n")
    where line.hasPrefix(key) && line.dropFirst(key.count).first == ":" {
      return line.dropFirst(key.count + 1).drop { $0 == "\t" || $0 == " " }
    }
    return nil
  }

  private static func mask(_ text: String, _ key: String) -> UInt64? {
    field(text, key).flatMap { UInt64($0, radix: 16) }
  }

  private static func realUser(_ text: String) -> Substring? {
    field(text, "Uid")?.split(separator: "\t").first
  }
}
