private import CLinux

/// The open file descriptions of a group of processes, each counted once however many descriptors name it.
public struct Descriptions: Sendable {
  public struct Count: Equatable, Sendable {
    public var files: Int64 = 0
    public var tcpSockets: Int64 = 0
    public var otherSockets: Int64 = 0
    /// Masters of pseudo-terminals: opens of /dev/ptmx, whichever its path.
    public var terminals: Int64 = 0
    public var inotify: Int64 = 0
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
    var isMaster = false
    var isAnonymous = false  // of anon_inodefs: its link says what it is
  }

  /// The numbers of its descriptors.
  public static func open(of pid: Int32) -> [Int32] {
    Procfs.list("/proc/\(pid)/fd").compactMap { Int32($0) }
  }

  /// Each descriptor with what it is: a path, `socket:[inode]`, `pipe:[inode]`, `anon_inode:[eventfd]`.
  public static func named(_ pid: Int32) -> [(fd: Int32, name: String)] {
    open(of: pid).sorted().compactMap { fd in Procfs.link("/proc/\(pid)/fd/\(fd)").map { (fd, $0) } }
  }

  /// What one descriptor is, as `named` has it; nil when it is not open.
  public static func name(_ pid: Int32, _ fd: Int32) -> String? { fd < 0 ? nil : Procfs.link("/proc/\(pid)/fd/\(fd)") }

  /// Which file a descriptor is of; nil when it is closed.
  public struct Identity: Hashable, Sendable {
    var device, inode: UInt64
  }

  public static func identity(_ pid: Int32, _ fd: Int32) -> Identity? {
    var info = CLinux.stat()
    guard clinux_stat("/proc/\(pid)/fd/\(fd)", &info) == 0 else { return nil }
    return Identity(device: UInt64(info.st_dev), inode: UInt64(info.st_ino))
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

  static func entries(
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
          isSocket: clinux_is_socket(info.st_mode),
          isMaster: info.st_mode & mode_t(S_IFMT) == mode_t(S_IFCHR) && info.st_rdev == masterDevice,
          isAnonymous: info.st_mode & mode_t(S_IFMT) == 0))
    }
    let not = without()
    // A socket that has gone meanwhile was a question of the shim's, which is quick, or is closed anyway.
    return found.filter { entry in
      guard !not.contains(entry.fd) else { return false }
      guard entry.isSocket, process >= 0 else { return true }
      var now = CLinux.stat()
      return clinux_stat("/proc/\(pid)/fd/\(entry.fd)", &now) == 0 && UInt64(now.st_ino) == entry.inode
    }
  }

  /// /dev/ptmx is character device 5:2 (Linux, Documentation/admin-guide/devices.txt).
  private static let masterDevice: dev_t = 5 << 8 | 2

  /// kcmp(2) KCMP_FILE: two descriptors of one description?
  static func same(_ a: Entry, _ b: Entry) -> Bool {
    syscall5(Int(SYS_kcmp), Int(a.pid), Int(b.pid), 0, Int(a.fd), Int(b.fd)) == 0
  }

  /// By the kernel's own order of descriptions (kcmp(2): 1 less, 2 greater), so that equal ones are neighbours after
  /// n log n comparisons; among equals the first process leads. What is closed meanwhile has no place in that order: it
  /// goes, and the rest is sorted again.
  private static func sortedByDescription(_ entries: ArraySlice<Entry>) -> [Entry] {
    var entries = Array(entries)
    for _ in 0..<4 {
      var failed = false
      entries.sort { a, b in
        switch syscall5(Int(SYS_kcmp), Int(a.pid), Int(b.pid), 0, Int(a.fd), Int(b.fd)) {
        case 1: return true
        case 2: return false
        case 0: return (a.process, a.fd) < (b.process, b.fd)
        default:
          failed = true
          return (a.process, a.fd) < (b.process, b.fd)
        }
      }
      guard failed else { break }
      entries.removeAll { !same($0, $0) }
    }
    return entries
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
      let group = end - start > 2 && !all[start].isSocket ? sortedByDescription(all[start..<end]) : Array(all[start..<end])
      var first: Entry?
      for entry in group {
        if let first, entry.isSocket || same(first, entry) {
          if first.process >= 0, first.process != entry.process { result.shares[first.process] = true }
          continue
        }
        first = entry
        guard entry.process >= 0 else { continue }
        result.perProcess[entry.process].files += 1
        if entry.isMaster { result.perProcess[entry.process].terminals += 1 }
        if entry.isAnonymous, Procfs.link("/proc/\(entry.pid)/fd/\(entry.fd)") == "anon_inode:inotify" {
          result.perProcess[entry.process].inotify += 1
        }
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
