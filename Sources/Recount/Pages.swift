private import CLinux

/// The resident pages of one process by what they are: pages of files and of shared memory by file
/// and place in it, the process's own as a number. Read from its page table, without root for a
/// process of one's own user; page frame numbers, which the kernel hides, are not needed.
public enum Pages {
  /// Pages of one file, side by side: `count` of them from page `first` on. Shared memory without a
  /// name is a file too: every mapping of one has the same inode in /proc/PID/maps.
  public struct Run: Hashable, Sendable {
    /// As /proc/PID/maps has it: major << 32 | minor. Not always stat(2)'s (btrfs, overlayfs).
    public var device: UInt64
    public var inode: UInt64
    public var first: UInt64
    public var count: UInt64

    public init(device: UInt64, inode: UInt64, first: UInt64, count: UInt64) {
      self.device = device
      self.inode = inode
      self.first = first
      self.count = count
    }

    var end: UInt64 { first + count }
    func isSameFile(_ other: Run) -> Bool { device == other.device && inode == other.inode }
    func precedes(_ other: Run) -> Bool {
      (device, inode, first) < (other.device, other.inode, other.first)
    }
  }

  public struct Resident: Equatable, Sendable {
    /// In order, none touching the next: a page that is mapped twice is there once.
    public var shared: [Run] = []
    /// Anonymous pages, and the process's own copies of private file pages. Where the kernel has no
    /// PAGEMAP_SCAN, the zero page counts here for each time it is mapped; it is nobody's.
    public var own: UInt64 = 0

    public var sharedCount: UInt64 { shared.reduce(0) { $0 + $1.count } }
    public init() {}
  }

  public enum Way: Sendable, CaseIterable {
    /// The PAGEMAP_SCAN ioctl (Linux 6.7, fs/proc/task_mmu.c): the kernel finds the runs and skips
    /// what is not there.
    case scan
    /// 8 bytes read for each page of address space, present or not.
    case read
  }

  /// Whether this kernel has PAGEMAP_SCAN: asked of this very process, once.
  public static let best: Way = {
    let fd = clinux_open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { return .read }
    defer { close(fd) }
    var scanner = Scanner(fd: fd, capacity: 1)
    return scanner.next(0, 0) != nil ? .scan : .read
  }()

  /// nil when the process has gone, is a zombie, or may not be looked at (ptrace(2),
  /// PTRACE_MODE_READ).
  public static func resident(_ pid: Int32, by way: Way = best) -> Resident? {
    guard let mappings = Mapping.all(pid) else { return nil }
    let fd = clinux_open("/proc/\(pid)/pagemap", O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { return nil }
    defer { close(fd) }
    var found = Resident()
    let isComplete =
      switch way {
      case .scan: scan(fd, mappings, into: &found)
      case .read: read(fd, mappings, into: &found)
      }
    guard isComplete else { return nil }
    found.shared = union(found.shared)
    return found
  }

  /// Resident pages in all (statm, field 2): cheap, not told apart, and since Linux 6.2 off by up
  /// to 32 pages for each processor and kind (percpu counters of mm_struct).
  public static func count(_ pid: Int32) -> UInt64? {
    guard let text = Procfs.read("/proc/\(pid)/statm", limit: 256) else { return nil }
    let fields = text.split(separator: " ")
    return fields.count > 1 ? UInt64(fields[1]) : nil
  }

  /// What came and what went between two looks, as runs.
  public static func changes(from old: [Run], to new: [Run]) -> (arrived: [Run], gone: [Run]) {
    (minus(new, old), minus(old, new))
  }

  // MARK: Runs

  static func union(_ runs: [Run]) -> [Run] {
    var merged: [Run] = []
    for run in runs.sorted(by: { $0.precedes($1) }) {
      if let last = merged.last, last.isSameFile(run), run.first <= last.end {
        merged[merged.count - 1].count = max(last.end, run.end) - last.first
      } else {
        merged.append(run)
      }
    }
    return merged
  }

  /// What of `a` is not in `b`; both in order and without overlaps.
  static func minus(_ a: [Run], _ b: [Run]) -> [Run] {
    var left: [Run] = []
    var i = 0
    for run in a {
      var from = run.first
      while i < b.count, !b[i].isSameFile(run) ? b[i].precedes(run) : b[i].end <= run.first {
        i += 1
      }
      var j = i
      while j < b.count, b[j].isSameFile(run), b[j].first < run.end {
        if b[j].first > from {
          left.append(
            Run(device: run.device, inode: run.inode, first: from, count: b[j].first - from))
        }
        from = max(from, b[j].end)
        j += 1
      }
      if from < run.end {
        left.append(Run(device: run.device, inode: run.inode, first: from, count: run.end - from))
      }
    }
    return left
  }

  // MARK: The page table

  private static func note(
    _ mapping: Mapping, _ start: UInt64, _ end: UInt64, isShared: Bool, into found: inout Resident
  ) {
    guard isShared, mapping.inode != 0 else {
      found.own += (end - start) >> 12
      return
    }
    let first = (start - mapping.start + mapping.offset) >> 12
    found.shared.append(
      Run(device: mapping.device, inode: mapping.inode, first: first, count: (end - start) >> 12))
  }

  private static func scan(_ fd: Int32, _ mappings: [Mapping], into found: inout Resident) -> Bool {
    guard let last = mappings.last else { return true }
    var scanner = Scanner(fd: fd, capacity: 2048)
    var at: UInt64 = mappings[0].start
    var i = 0
    while at < last.end {
      guard let (regions, walked) = scanner.next(at, last.end), walked > at else { return false }
      at = walked
      // One region may reach over several mappings, and a process that runs may have unmapped one
      // since.
      for region in regions {
        while i < mappings.count, mappings[i].end <= region.start { i += 1 }
        var j = i
        while j < mappings.count, mappings[j].start < region.end {
          let mapping = mappings[j]
          note(
            mapping, max(mapping.start, region.start), min(mapping.end, region.end),
            isShared: region.categories & Scanner.isFile != 0, into: &found)
          j += 1
        }
      }
    }
    return true
  }

  /// proc(5) /proc/PID/pagemap: bit 63 present, bit 61 file page or shared anonymous.
  private static func read(_ fd: Int32, _ mappings: [Mapping], into found: inout Resident) -> Bool {
    var words = [UInt64](repeating: 0, count: 8192)
    for mapping in mappings {
      var page = mapping.start >> 12
      let end = mapping.end >> 12
      while page < end {
        let want = Int(min(end - page, UInt64(words.count))) * 8
        let n = words.withUnsafeMutableBytes { pread(fd, $0.baseAddress!, want, Int(page) * 8) }
        if n == 0 { return false }  // it has ended, and its memory with it
        guard n >= 8 else { return false }
        var i = 0
        while i < n / 8 {
          let kind = words[i] >> 61 & 0b101
          let start = i
          repeat { i += 1 } while i < n / 8 && words[i] >> 61 & 0b101 == kind
          guard kind & 0b100 != 0 else { continue }
          note(
            mapping, (page + UInt64(start)) << 12, (page + UInt64(i)) << 12,
            isShared: kind & 1 != 0, into: &found)
        }
        page += UInt64(n / 8)
      }
    }
    return true
  }
}
