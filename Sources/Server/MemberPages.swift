internal import CLinux
internal import Wire

/// Pages of cells, made ahead while nobody waits: a process that joins then gets one at once.
final class MemberPages {
  private static let ahead = 4
  /// The page of cells, and the words of descriptors: few of those are ever looked at here.
  private static let size = Int(BC_PAGE_SIZE) + Int(BC_OWNED_FDS) * 2
  private var ready: [(Int32, UnsafeMutablePointer<bc_page>)] = []

  /// A sealed memfd and its first page; nil where the system has no more to give. The descriptor is the caller's.
  func take() -> (Int32, UnsafeMutablePointer<bc_page>)? { ready.popLast() ?? make() }

  /// Of the memfds, so that they are not taken for shared memory of the program's.
  private(set) var inodes: Set<UInt64> = []

  private var discarded: [UnsafeMutablePointer<bc_page>] = []

  /// Unmapped at the end of the round.
  func discard(_ page: UnsafeMutablePointer<bc_page>) { discarded.append(page) }

  func refill() {
    for page in discarded { munmap(page, MemberPages.size) }
    discarded = []
    while ready.count < MemberPages.ahead, let one = make() { ready.append(one) }
  }

  private func make() -> (Int32, UnsafeMutablePointer<bc_page>)? {
    let fd = memfd_create("beancounter", UInt32(MFD_CLOEXEC) | UInt32(MFD_ALLOW_SEALING))
    guard fd >= 0 else { return nil }
    let sealed = Int32(F_SEAL_SHRINK) | Int32(F_SEAL_GROW) | Int32(F_SEAL_SEAL)
    guard ftruncate(fd, MemberPages.size) == 0, clinux_seal(fd, sealed) == 0,
      let memory = mmap(nil, MemberPages.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0),
      memory != UnsafeMutableRawPointer(bitPattern: -1)
    else {
      close(fd)
      return nil
    }
    memory.storeBytes(of: 0, as: UInt8.self)  // the first is there before anybody waits for it
    var info = CLinux.stat()
    if clinux_fstat(fd, &info) == 0 { inodes.insert(UInt64(info.st_ino)) }
    return (fd, memory.bindMemory(to: bc_page.self, capacity: 1))
  }
}
