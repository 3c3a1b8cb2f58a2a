private import CLinux

/// The open file descriptions of a group of processes, each counted once however many descriptors name it.
public struct Descriptions: Sendable {
  public struct Count: Equatable, Sendable {
    public var files: Int64 = 0
    public var tcpSockets: Int64 = 0
    public var otherSockets: Int64 = 0
  }

  /// For each process asked about, in order, those found there first.
  public var perProcess: [Count] = []
  /// Whether some of what was counted there is held by another of them too: it stays when this one dies.
  public var shares: [Bool] = []
}

public enum Descriptors {
  struct Entry {
    var process: Int  // index; −1 for one that was open outside
    var pid: Int32
    var fd: Int32
    var device: UInt64
    var inode: UInt64
    var isSocket: Bool
  }

  /// The numbers of its descriptors.
  public static func open(of pid: Int32) -> [Int32] {
    Procfs.list("/proc/\(pid)/fd").compactMap { Int32($0) }
  }

  /// Each descriptor with what it is: a path, `socket:[inode]`, `pipe:[inode]`, `anon_inode:[eventfd]`.
  public static func named(_ pid: Int32) -> [(fd: Int32, name: String)] {
    open(of: pid).sorted().compactMap { fd in Procfs.link("/proc/\(pid)/fd/\(fd)").map { (fd, $0) } }
  }

  public static func isOpen(_ pid: Int32, _ fd: Int32) -> Bool {
    Procfs.link("/proc/\(pid)/fd/\(fd)") != nil
  }

  /// How many descriptors the process has: exact and cheap from Linux 6.2 on (fs/proc/fd.c proc_fd_getattr), else counted.
  public static func number(_ pid: Int32) -> Int64? {
    var info = CLinux.stat()
    guard clinux_stat("/proc/\(pid)/fd", &info) == 0 else { return nil }
    return info.st_size > 0 ? Int64(info.st_size) : Int64(Procfs.list("/proc/\(pid)/fd").count)
  }

  /// A process to look at, and descriptors of it that are not to count.
  public struct Process {
    public var pid: Int32
    /// Asked once the process has been looked at: what came meanwhile is known then.
    public var without: () -> [Int32]

    public init(pid: Int32, without: @escaping () -> [Int32]) {
      self.pid = pid
      self.without = without
    }
  }

  private static func entries(
    _ pid: Int32, process: Int, only: [Int32]? = nil, without: () -> [Int32] = { [] }
  ) -> [Entry] {
    let numbers = only ?? Procfs.list("/proc/\(pid)/fd").compactMap { Int32($0) }
    var found: [Entry] = []
    found.reserveCapacity(numbers.count)
    for fd in numbers {
      var info = CLinux.stat()
      guard clinux_stat("/proc/\(pid)/fd/\(fd)", &info) == 0 else {
        // Closed since; or it cannot be looked at, and is one of its own.
        if Procfs.link("/proc/\(pid)/fd/\(fd)") != nil {
          found.append(Entry(process: process, pid: pid, fd: fd, device: .max, inode: 0, isSocket: false))
        }
        continue
      }
      found.append(
        Entry(
          process: process, pid: pid, fd: fd, device: UInt64(info.st_dev), inode: UInt64(info.st_ino),
          isSocket: clinux_is_socket(info.st_mode)))
    }
    let not = without()
    return found.filter { !not.contains($0.fd) }
  }

  /// kcmp(2) KCMP_FILE: two descriptors of one description?
  static func same(_ a: Entry, _ b: Entry) -> Bool {
    syscall5(Int(SYS_kcmp), Int(a.pid), Int(b.pid), 0, Int(a.fd), Int(b.fd)) == 0
  }

  /// `sockfs` names the protocol: no descriptor of another process has to be borrowed to ask. TCP, TCPv6, MPTCP, …
  private static func isTCP(_ entry: Entry) -> Bool {
    var name = [CChar](repeating: 0, count: 32)
    let n = getxattr("/proc/\(entry.pid)/fd/\(entry.fd)", "system.sockprotoname", &name, name.count - 1)
    guard n > 0 else { return false }
    let text = String(decoding: name[..<n].prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return text.hasPrefix("TCP") || text.hasPrefix("MPTCP")
  }

  /// Counts what the processes hold, without what those outside hold as the given descriptors: who opened it pays.
  public static func count(_ processes: [Process], outside: [(pid: Int32, fds: [Int32])]) -> Descriptions {
    var all = outside.flatMap { entries($0.pid, process: -1, only: $0.fds) }
    for (index, one) in processes.enumerated() {
      all += entries(one.pid, process: index, without: one.without)
    }
    var result = Descriptions(
      perProcess: Array(repeating: .init(), count: processes.count),
      shares: Array(repeating: false, count: processes.count))
    // Only descriptors of one inode can be one description, so only those are compared: kcmp is 1.6 µs.
    all.sort { ($0.device, $0.inode, $0.process, $0.fd) < ($1.device, $1.inode, $1.process, $1.fd) }
    var start = 0
    while start < all.count {
      var end = start + 1
      while end < all.count, all[end].device == all[start].device, all[end].inode == all[start].inode,
        all[start].device != .max
      { end += 1 }
      // A socket has one description; anonymous inodes and files may have many.
      var distinct: [Entry] = []
      for entry in all[start..<end] {
        if let first = distinct.first(where: { entry.isSocket || same($0, entry) }) {
          if first.process >= 0, first.process != entry.process { result.shares[first.process] = true }
          continue
        }
        distinct.append(entry)
        guard entry.process >= 0 else { continue }
        result.perProcess[entry.process].files += 1
        guard entry.isSocket else { continue }
        if isTCP(entry) {
          result.perProcess[entry.process].tcpSockets += 1
        } else {
          result.perProcess[entry.process].otherSockets += 1
        }
      }
      start = end
    }
    return result
  }

  /// How many of its descriptors are, under the same number, the ones that were open outside.
  public static func fromOutside(_ pid: Int32, _ outside: (pid: Int32, fds: [Int32])) -> Int64 {
    var n: Int64 = 0
    for fd in outside.fds where same(pid, outside.pid, fd) { n += 1 }
    return n
  }

  /// Whether two processes have the same description under one number.
  public static func same(_ one: Int32, _ other: Int32, _ fd: Int32) -> Bool {
    same(
      Entry(process: 0, pid: one, fd: fd, device: 0, inode: 0, isSocket: false),
      Entry(process: 0, pid: other, fd: fd, device: 0, inode: 0, isSocket: false))
  }
}

private func syscall5(_ number: Int, _ a: Int, _ b: Int, _ c: Int, _ d: Int, _ e: Int) -> Int {
  clinux_syscall(number, a, b, c, d, e)
}
