/// Pages kept in memory by mlock(2) and its like, whole length, resident or not.
public enum LockedMemory {
  /// `VmLck` of one process (mm->locked_vm); nil when it has gone. 0 for a zombie.
  public static func pages(_ pid: Int32) -> Int64? {
    guard let kilobytes = Procfs.status(pid, "VmLck") else { return Procfs.exists(pid) ? 0 : nil }
    return kilobytes * 1024 / Procfs.pageSize
  }

  /// Of each process, in order, with the System V segments it made that are locked (shmctl(2)
  /// SHM_LOCK), which no VmLck counts. `orphans`: locked segments that `known` names and whose
  /// creator is not among the processes.
  public static func count(_ pids: [Int32], known: Set<Kept> = []) -> (
    perProcess: [Int64], orphans: [Kept: Int64]
  ) {
    var perProcess = pids.map { pages($0) ?? 0 }
    var orphans: [Kept: Int64] = [:]
    for segment in SharedMemory.segments() ?? [] where segment.isLocked {
      if let i = pids.firstIndex(of: segment.creator) {
        perProcess[i] += segment.pages
      } else if known.contains(.segment(segment.id)) {
        orphans[.segment(segment.id)] = segment.pages
      }
    }
    return (perProcess, orphans)
  }
}
