private import CLinux

/// Records of file locks, one unit of numflock each: flock(2), POSIX and OFD ranges, leases
/// (proc(5) /proc/locks). A flock that still waits for its turn has its record already and counts;
/// a waiting range does not (OpenVZ 2.6.18, fs/locks.c).
public enum Locks {
  public struct Held: Equatable, Sendable {
    /// Of each process asked about, in order; what several hold together is put down to the first
    /// of them.
    public var perProcess: [Int64]
    public var total: Int64 { perProcess.reduce(0, +) }
  }

  /// A line of /proc/locks, or of a `lock:` row in /proc/PID/fdinfo.
  struct Line: Equatable {
    enum Kind: Equatable { case flock, range, description, lease }
    var kind: Kind
    var waits: Bool
    /// The process that asked for it, which may be gone; −1 for OFD locks, which belong to a
    /// description.
    var pid: Int32
    var inode: UInt64

    /// `1: [->] FLOCK  ADVISORY  WRITE 7980 fe:00:16221653 0 EOF`
    init?(_ text: some StringProtocol) {
      var words = text.split(separator: " ").dropFirst()[...]
      waits = words.first == "->"
      if waits { words = words.dropFirst() }
      guard words.count >= 5, let name = words.first else { return nil }
      switch name {
      case "FLOCK": kind = .flock
      case "POSIX": kind = .range
      case "OFDLCK": kind = .description
      case "LEASE", "DELEG": kind = .lease
      default: return nil
      }
      let rest = Array(words.dropFirst())
      guard let pid = Int32(rest[2]),
        let number = rest[3].split(separator: ":").last.flatMap({ UInt64($0) })
      else {
        return nil
      }
      self.pid = pid
      inode = number
    }

    var counts: Bool { !waits || kind == .flock }
  }

  /// nil where the kernel does not tell.
  public static func count(_ pids: [Int32]) -> Held? {
    guard let text = Procfs.read("/proc/locks", limit: 16 << 20) ?? emptyIfThere() else {
      return nil
    }
    var held = Held(perProcess: Array(repeating: 0, count: pids.count))
    var indices: [Int32: Int] = [:]
    for (i, pid) in pids.enumerated() { indices[pid] = i }
    // Inodes locked through descriptions whose holder the line does not name
    var others: Set<UInt64> = []
    for row in text.split(separator: "\n") {
      guard let line = Line(row), line.counts else { continue }
      if let i = indices[line.pid] {
        held.perProcess[i] += 1
      } else if line.kind != .range {
        others.insert(line.inode)
      }
    }
    if !others.isEmpty { addDescriptions(of: others, pids, indices, to: &held) }
    return held
  }

  private static func emptyIfThere() -> String? { access("/proc/locks", R_OK) == 0 ? "" : nil }

  /// Locks taken by a process that is gone, or by nobody in particular: whoever has the description
  /// has the lock.
  private static func addDescriptions(
    of inodes: Set<UInt64>, _ pids: [Int32], _ indices: [Int32: Int], to held: inout Held
  ) {
    var seen: [Descriptors.Entry] = []
    for (i, pid) in pids.enumerated() {
      for entry in Descriptors.entries(.init(pid: pid) { [] }, process: i)
      where inodes.contains(entry.inode) {
        let information = Procfs.read("/proc/\(pid)/fdinfo/\(entry.fd)", limit: 1 << 20) ?? ""
        let lines = information.split(separator: "\n").filter { $0.hasPrefix("lock:") }
          .compactMap { Line($0.dropFirst(5).drop { $0 == "\t" || $0 == " " }) }
        let own = lines.filter { $0.kind != .range && $0.counts && indices[$0.pid] == nil }
        guard !own.isEmpty, !seen.contains(where: { Descriptors.same($0, entry) }) else { continue }
        seen.append(entry)
        held.perProcess[i] += Int64(own.count)
      }
    }
  }
}
