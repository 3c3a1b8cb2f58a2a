private import CLinux

/// Pages of another process moved to swap (process_madvise(2) MADV_PAGEOUT, Linux 5.10). It is not
/// told, and gets them back when it touches them.
public enum PageOut {
  /// Why nothing can be paged out here, with what would help; nil when it can. Tried with a child:
  /// a cgroup may have no swap where the machine has some.
  public static func refusal() -> String? {
    guard let swap = swap(), swap.all > 0 else {
      return "this machine has no swap (swapon(8))"
    }
    switch clinux_try_page_out() {
    case 0: return nil
    case Int32(CLINUX_PAGES_STAY):
      return swap.free == 0
        ? "no swap is free"
        : "nothing gets to swap here: memory.swap.max of the cgroup may forbid it"
    case EPERM, EACCES: return "to page others out takes root, or CAP_SYS_NICE and CAP_SYS_PTRACE"
    case ENOSYS: return "process_madvise(2) takes Linux 5.10, and a sandbox that lets it through"
    case let error: return "process_madvise: \(String(cString: strerror(error)))"
    }
  }

  /// Of the machine, in pages.
  public static func swap() -> (all: Int64, free: Int64)? {
    guard let text = Procfs.meminfo(), let all = Resident.kilobytes("SwapTotal", text),
      let free = Resident.kilobytes("SwapFree", text)
    else { return nil }
    return (all * 1024 / Procfs.pageSize, free * 1024 / Procfs.pageSize)
  }

  private static let step = 8 << 20

  /// Pages private memory of a process out: so many, or what it has to give;
  /// `pause` is called between two steps of 8 MiB. Shared memory and what others map too stays.
  /// How many it was, and the errno of what ended it before that.
  public static func of(_ pid: Int32, pages: Int64, pause: () -> Void) -> (
    pages: Int64, error: Int32
  ) {
    func inRAM() -> Int64 { Procfs.pagesMapped(pid)?.resident ?? 0 }
    let pidfd = clinux_syscall(Int(SYS_pidfd_open), Int(pid), 0, 0, 0, 0)
    guard pidfd >= 0 else { return (0, clinux_errno()) }
    defer { close(Int32(pidfd)) }
    let before = inRAM()
    for part in Procfs.privateMemory(pid) {
      var at = part.at
      while at < part.at + part.size {
        let left = pages - (before - inRAM())
        guard left > 0 else { return (before - inRAM(), 0) }
        let size = min(step, Int(left * Procfs.pageSize), part.at + part.size - at)
        let error = clinux_page_out(Int32(pidfd), UInt(at), size)
        // Locked memory and that of devices: the next part may be another (mm/madvise.c
        // can_madv_lru_vma).
        if error == EINVAL || error == ENOMEM { break }
        guard error == 0 else { return (max(0, before - inRAM()), error) }
        at += size
        pause()
      }
    }
    return (max(0, before - inRAM()), 0)
  }
}
