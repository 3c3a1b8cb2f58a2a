private import CLinux
private import Wire

/// The open file descriptions of a group of processes, each counted once however many descriptors
/// name it.
public struct Descriptions: Sendable {
  public struct Count: Equatable, Sendable {
    public var files: Int64 = 0
    public var tcpSockets: Int64 = 0
    public var otherSockets: Int64 = 0
    /// Masters of pseudo-terminals: opens of /dev/ptmx, whichever its path.
    public var terminals: Int64 = 0
    public var inotify: Int64 = 0

    mutating func add(_ kind: Descriptors.Kind) {
      files += 1
      switch kind {
      case .file: break
      case .tcpSocket: tcpSockets += 1
      case .otherSocket: otherSockets += 1
      case .terminal: terminals += 1
      case .inotify: inotify += 1
      }
    }
  }

  /// For each process asked about, in order, those found there first.
  public var perProcess: [Count] = []
  /// Whether some of what was counted there is held by another of them too: it stays when this one
  /// dies.
  public var shares: [Bool] = []
  /// Whether everything there is known to be its own alone, or was open outside.
  public var isAlone: [Bool] = []
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
    var isMade = false  // by its process, and not one with another of its descriptors
    var isGrouped = false  // nobody else has it
    var place: Int { process << 32 | Int(fd) }
  }

  /// The numbers of its descriptors.
  public static func open(of pid: Int32) -> [Int32] {
    Procfs.list("/proc/\(pid)/fd").compactMap { Int32($0) }
  }

  /// Each descriptor with what it is: a path, `socket:[inode]`, `pipe:[inode]`,
  /// `anon_inode:[eventfd]`.
  public static func named(_ pid: Int32) -> [(fd: Int32, name: String)] {
    open(of: pid).sorted().compactMap { fd in Procfs.link("/proc/\(pid)/fd/\(fd)").map { (fd, $0) }
    }
  }

  /// What one descriptor is, as `named` has it; nil when it is not open.
  public static func name(_ pid: Int32, _ fd: Int32) -> String? {
    fd < 0 ? nil : Procfs.link("/proc/\(pid)/fd/\(fd)")
  }

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

  /// How many descriptors the process has: exact and cheap from Linux 6.2 on (fs/proc/fd.c
  /// proc_fd_getattr), else counted.
  public static func number(_ pid: Int32) -> Int64? {
    numberAtOnce(pid).map { $0 > 0 ? $0 : Int64(Procfs.list("/proc/\(pid)/fd").count) }
  }

  /// … and 0 where it would have to be counted.
  public static func numberAtOnce(_ pid: Int32) -> Int64? {
    var info = CLinux.stat()
    guard clinux_stat("/proc/\(pid)/fd", &info) == 0 else { return nil }
    return Int64(info.st_size)
  }

  /// What a process itself knows of one of its descriptors.
  public enum Known: Sendable, Equatable {
    /// Nothing, or that it may be shared.
    case nothing
    /// It made it, and had no other of the same description; a child may have it since.
    case made
    /// No other descriptor is of its description, here or elsewhere.
    case own(Kind)
    /// Nobody else has its description, but others of its own may be of it.
    case grouped
  }

  public enum Kind: Sendable { case file, tcpSocket, otherSocket, terminal, inotify }

  /// A process to look at, and descriptors of it that are not to count.
  public struct Process {
    public var pid: Int32
    /// Asked once the process has been looked at: what came meanwhile is known then.
    public var without: () -> [Int32]
    public var known: (Int32) -> Known

    public init(
      pid: Int32, known: @escaping (Int32) -> Known = { _ in .nothing },
      without: @escaping () -> [Int32]
    ) {
      self.pid = pid
      self.known = known
      self.without = without
    }
  }

  /// The numbers of its descriptors, without a string for each.
  static func numbers(_ pid: Int32) -> [Int32] {
    guard let directory = opendir("/proc/\(pid)/fd") else { return [] }
    defer { closedir(directory) }
    var found: [Int32] = []
    while let entry = readdir(directory) {
      let first = entry.pointee.d_name.0
      guard first >= 48, first <= 57 else { continue }
      found.append(
        withUnsafePointer(to: &entry.pointee.d_name) {
          $0.withMemoryRebound(to: CChar.self, capacity: 256) {
            Int32(truncatingIfNeeded: atol($0))
          }
        })
    }
    return found
  }

  static func entries(
    _ one: Process, process: Int, only: [Int32]? = nil, own: (Kind) -> Void = { _ in },
    pause: () -> Void = {}
  ) -> [Entry] {
    let pid = one.pid
    var found: [Entry] = []
    for (i, fd) in (only ?? numbers(pid)).enumerated() {
      let known = one.known(fd)
      if case .own(let kind) = known {
        own(kind)
        continue
      }
      if i & 63 == 63 { pause() }
      var info = CLinux.stat()
      guard clinux_stat("/proc/\(pid)/fd/\(fd)", &info) == 0 else {
        // Closed since; or it cannot be looked at, and is one of its own.
        if Procfs.link("/proc/\(pid)/fd/\(fd)") != nil {
          found.append(
            Entry(process: process, pid: pid, fd: fd, device: .max, inode: 0, isSocket: false))
        }
        continue
      }
      if info.st_mode == questionMode { continue }  // the shim's own
      found.append(
        Entry(
          process: process, pid: pid, fd: fd, device: UInt64(info.st_dev),
          inode: UInt64(info.st_ino),
          isSocket: clinux_is_socket(info.st_mode),
          isMaster: info.st_mode & mode_t(S_IFMT) == mode_t(S_IFCHR)
            && info.st_rdev == masterDevice,
          isAnonymous: info.st_mode & mode_t(S_IFMT) == 0, isMade: known == .made,
          isGrouped: known == .grouped))
    }
    let not = one.without()
    // A socket that has gone meanwhile was a question of the shim's, which is quick, or is closed
    // anyway.
    return found.filter { entry in
      guard !not.contains(entry.fd) else { return false }
      return !entry.isSocket || process < 0 || isStill(entry)
    }
  }

  private static let questionMode = mode_t(S_IFSOCK) | mode_t(BC_QUESTION_MODE)

  /// /dev/ptmx is character device 5:2 (Linux, Documentation/admin-guide/devices.txt).
  private static let masterDevice: dev_t = 5 << 8 | 2

  /// kcmp(2) KCMP_FILE: 0 the same description, 1 less, 2 greater, −1 one of them is not open.
  private static func compare(_ a: Entry, _ b: Entry) -> Int {
    syscall5(Int(SYS_kcmp), Int(a.pid), Int(b.pid), 0, Int(a.fd), Int(b.fd))
  }

  static func same(_ a: Entry, _ b: Entry) -> Bool { compare(a, b) == 0 }

  /// By the kernel's own order of descriptions (kcmp(2): 1 less, 2 greater), so that equal ones are
  /// neighbours after n log n comparisons; among equals the first process leads. What is closed
  /// meanwhile has no place in that order: it goes, and the rest is sorted again.
  private static func sortedByDescription(_ entries: ArraySlice<Entry>) -> [Entry] {
    var entries = Array(entries)
    for _ in 0..<4 {
      var failed = false
      entries.sort { a, b in
        switch compare(a, b) {
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

  /// `sockfs` names the protocol: no descriptor of another process has to be borrowed to ask. TCP,
  /// TCPv6, MPTCP, …; nil when it is closed.
  private static func protocolName(_ entry: Entry) -> String? {
    var name = [CChar](repeating: 0, count: 32)
    let n = getxattr(
      "/proc/\(entry.pid)/fd/\(entry.fd)", "system.sockprotoname", &name, name.count - 1)
    guard n > 0 else { return isOpen(entry.pid, entry.fd) ? "" : nil }
    return String(
      decoding: name[..<n].prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Of the same number; what is none of them takes its place in the order of all.
  private static let mostTried = 4

  /// Each description of one inode once, as the first of `entries` that is it; `again` is told of
  /// each further one. What a process made is different from all else that it made, and what a fork
  /// copied has its number still: for those, one comparison is enough.
  private static func distinct(
    _ entries: ArraySlice<Entry>, _ pause: () -> Void,
    _ again: (_ first: Entry, _ other: Entry) -> Void
  )
    -> [Entry]
  {
    guard entries.count > 1 else { return Array(entries) }
    let leader = entries[entries.startIndex]
    guard !leader.isSocket else {  // a socket has one description
      // Closed there meanwhile, it is still held elsewhere.
      let leader = entries.first { isOpen($0.pid, $0.fd) } ?? leader
      for other in entries where other.place != leader.place { again(leader, other) }
      return [leader]
    }
    var first: [Entry] = []
    var byNumber: [Int32: [Int]] = [:]
    for (i, entry) in entries.enumerated() {
      if i & 63 == 63 { pause() }
      var isKnown = false, isGone = false
      for at in (byNumber[entry.fd] ?? []).prefix(mostTried)
      where first[at].process != entry.process {
        switch compare(first[at], entry) {
        case 0:
          again(first[at], entry)
          isKnown = true
        case 1, 2, 3: continue
        default:  // one of the two was closed meanwhile, or its process has ended
          if same(entry, entry) {
            first[at] = entry
            isKnown = true
          } else {
            isGone = true
          }
        }
        break
      }
      guard !isKnown, !isGone else { continue }
      byNumber[entry.fd, default: []].append(first.count)
      first.append(entry)
    }
    // Made by one process, all of them: different. Else they are put in the kernel's order.
    guard first.count > 1, !first.allSatisfy({ $0.isMade && $0.process == first[0].process }) else {
      return first
    }
    let sorted = sortedByDescription(first[...])
    first = []
    for entry in sorted {
      if let last = first.last, same(last, entry) {
        again(last, entry)
      } else {
        first.append(entry)
      }
    }
    return first
  }

  /// … as they are still when all have been compared. A number that was closed meanwhile may be
  /// another file's by now, perhaps a question's of the shim: compared with that, what it was looks
  /// like none of the others.
  private static func distinctNow(_ entries: ArraySlice<Entry>, _ pause: () -> Void)
    -> (first: [Entry], same: [(first: Entry, other: Entry)])
  {
    var group = Array(entries)
    guard group.count > 1 else { return (group, []) }
    for _ in 0..<4 {
      var same: [(Entry, Entry)] = []
      let first = distinct(group[...], pause) { same.append(($0, $1)) }
      let there = group.filter { $0.device == .max || isStill($0) }
      if there.count == group.count { return (first, same) }
      group = there
    }
    return (group, [])
  }

  private static func isStill(_ entry: Entry) -> Bool {
    var now = CLinux.stat()
    return clinux_stat("/proc/\(entry.pid)/fd/\(entry.fd)", &now) == 0
      && UInt64(now.st_ino) == entry.inode && UInt64(now.st_dev) == entry.device
      && now.st_mode != questionMode
  }

  /// Counts what the processes hold, without what those outside hold as the given descriptors: who
  /// opened it pays. `pause` is called now and then. `alone` is told of each descriptor that is its
  /// process's own and no other's, though it was not known to be.
  public static func count(
    _ processes: [Process], outside: [(pid: Int32, fds: [Int32])], pause: () -> Void = {},
    alone: (_ process: Int, _ fd: Int32, _ kind: Kind) -> Void = { _, _, _ in }
  ) -> Descriptions {
    var all = outside.flatMap { entries(Process(pid: $0.pid) { [] }, process: -1, only: $0.fds) }
    var result = Descriptions(
      perProcess: Array(repeating: .init(), count: processes.count),
      shares: Array(repeating: false, count: processes.count),
      isAlone: Array(repeating: true, count: processes.count))
    for (index, one) in processes.enumerated() {
      pause()
      all += entries(one, process: index, own: { result.perProcess[index].add($0) }, pause: pause)
    }
    // Only descriptors of one inode can be one description, so only those are compared: kcmp is 1.6
    // µs.
    all.sort { ($0.device, $0.inode, $0.process, $0.fd) < ($1.device, $1.inode, $1.process, $1.fd) }
    var start = 0
    while start < all.count {
      var end = start + 1
      while end < all.count, all[end].device == all[start].device,
        all[end].inode == all[start].inode,
        all[start].device != .max
      { end += 1 }
      let (first, same) = distinctNow(all[start..<end], pause)
      start = end
      var others: Set<Int> = []  // descriptors that another one is one with
      for (leader, entry) in same {
        guard leader.process >= 0 else { continue }  // who opened it pays
        others.insert(leader.place)
        let isElsewhere = leader.process != entry.process
        if isElsewhere || !entry.isGrouped { result.isAlone[entry.process] = false }
        if isElsewhere {
          result.isAlone[leader.process] = false
          result.shares[leader.process] = true
        }
      }
      for entry in first where entry.process >= 0 {
        // What it is was asked of its number, which may be another file's by now.
        guard let kind = kind(entry), entry.isMaster || entry.device == .max || isStill(entry)
        else { continue }
        result.perProcess[entry.process].add(kind)
        if entry.isMade, !others.contains(entry.place) {
          alone(entry.process, entry.fd, kind)
        } else if !entry.isGrouped {
          result.isAlone[entry.process] = false
        }
      }
    }
    return result
  }

  /// nil for a socket that is closed, or whose process has ended: not one of another protocol.
  private static func kind(_ entry: Entry) -> Kind? {
    if entry.isMaster { return .terminal }
    if entry.isSocket {
      return protocolName(entry).map {
        $0.hasPrefix("TCP") || $0.hasPrefix("MPTCP") ? .tcpSocket : .otherSocket
      }
    }
    return entry.isAnonymous
      && Procfs.link("/proc/\(entry.pid)/fd/\(entry.fd)") == "anon_inode:inotify" ? .inotify : .file
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
