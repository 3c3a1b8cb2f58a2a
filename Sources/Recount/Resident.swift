private import CLinux

/// Memory of a process that is in use, and not only promised.
public struct Resident: Equatable, Sendable {
  /// Pages in RAM. A page that several processes map counts in each by its share (Pss of proc(5)),
  /// so the sum over a group is never more than it has, and what it shares with processes outside
  /// of it is split with them.
  public var physical: Int64
  /// … of those, its own: of no file and no shared memory (Pss_Anon, Linux 5.5; else all of them).
  public var own: Int64
  /// Pages in swap, split in the same way (SwapPss).
  public var swapped: Int64
  /// Whether shared pages are split. Otherwise the process may not be looked at closely (ptrace(2)
  /// access is needed) and each page counts in full: an upper estimate of a sum, taken from VmRSS
  /// and VmSwap, which anybody may read.
  public var isSplit: Bool

  public init(physical: Int64, own: Int64? = nil, swapped: Int64, isSplit: Bool) {
    self.physical = physical
    self.own = own ?? physical
    self.swapped = swapped
    self.isSplit = isSplit
  }

  /// nil when the process has gone. A zombie has no memory: 0 and exact. Costs a walk of the page
  /// tables, some 13 ms for a GiB of small pages.
  public static func of(_ pid: Int32) -> Resident? {
    if let text = Procfs.read("/proc/\(pid)/smaps_rollup"), let pss = kilobytes("Pss", text) {
      return Resident(
        physical: pages(pss), own: kilobytes("Pss_Anon", text).map(pages),
        swapped: pages(kilobytes("SwapPss", text) ?? 0), isSplit: true)
    }
    guard let text = Procfs.read("/proc/\(pid)/status") else { return nil }
    guard let rss = kilobytes("VmRSS", text) else {
      return Resident(physical: 0, swapped: 0, isSplit: true)
    }
    return Resident(
      physical: pages(rss), swapped: pages(kilobytes("VmSwap", text) ?? 0), isSplit: false)
  }

  /// The most pages it had in RAM since its image started, shared ones in full (VmHWM); nil when it
  /// has gone.
  public static func peak(_ pid: Int32) -> Int64? {
    let fd = clinux_open("/proc/\(pid)/status", O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { return nil }
    defer { close(fd) }
    // Every run ends with this: bytes, for characters take ten times as long.
    return withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { bytes in
      let n = read(fd, bytes.baseAddress, bytes.count - 1)
      guard n > 0 else { return nil }
      bytes[n] = 0
      return strstr(bytes.baseAddress!.assumingMemoryBound(to: CChar.self), "VmHWM:").map {
        Int64(atol($0 + 6)) * 1024 / Procfs.pageSize
      }
    }
  }

  /// Splitting gives halves of pages: what has begun counts.
  private static func pages(_ kilobytes: Int64) -> Int64 {
    (kilobytes * 1024 + Procfs.pageSize - 1) / Procfs.pageSize
  }

  static func kilobytes(_ key: String, _ text: String) -> Int64? {
    for line in text.split(separator: "\n")
    where line.hasPrefix(key) && line.dropFirst(key.count).first == ":" {
      return Int64(
        line.dropFirst(key.count + 1).drop { $0 == "\t" || $0 == " " }.prefix { $0.isNumber })
    }
    return nil
  }

  /// RAM and swap of the machine, in pages: what `oom_score_adj` is a fraction of (mm/oom_kill.c
  /// oom_badness).
  public static let machinePages: Int64 = {
    guard let text = Procfs.read("/proc/meminfo"), let memory = kilobytes("MemTotal", text) else {
      return 0
    }
    return (memory + (kilobytes("SwapTotal", text) ?? 0)) * 1024 / Procfs.pageSize
  }()
}
