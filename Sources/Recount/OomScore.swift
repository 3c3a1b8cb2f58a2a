private import CLinux

/// `oom_score_adj` of a process (proc(5)): thousandths of the machine's memory that are added to
/// its badness when the kernel has to kill.
public enum OomScore {
  public static let most = 1000
  /// The process is never killed for memory.
  public static let never = -1000

  /// nil when the process has gone.
  public static func read(_ pid: Int32) -> Int? {
    Procfs.read("/proc/\(pid)/oom_score_adj").flatMap { Int($0.prefix { $0 != "\n" }) }
  }

  /// False when it may not be: EACCES below the least that a process with CAP_SYS_RESOURCE set, and
  /// of another user's process.
  public static func write(_ pid: Int32, _ value: Int) -> Bool {
    let fd = clinux_open("/proc/\(pid)/oom_score_adj", O_WRONLY | O_CLOEXEC)
    guard fd >= 0 else { return false }
    defer { close(fd) }
    let text = Array(String(value).utf8)
    return CLinux.write(fd, text, text.count) == text.count
  }
}
