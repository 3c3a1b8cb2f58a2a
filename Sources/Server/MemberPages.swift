internal import CLinux
internal import Wire

/// Pages of cells, made ahead while nobody waits: a process that joins then gets one at once.
final class MemberPages {
  private static let ahead = 4
  /// The page of cells, the spare ones, the words of descriptors and their groups, few of which are
  /// ever looked at here.
  private static let size = Int(bc_memfd_size())
  private var ready: [(Int32, UnsafeMutablePointer<bc_page>)] = []
  /// There is something for `refill` to do.
  private(set) var isWaiting = true

  /// A sealed memfd and its first page; nil where the system has no more to give. The descriptor is
  /// the caller's.
  func take() -> (Int32, UnsafeMutablePointer<bc_page>)? {
    isWaiting = true
    return ready.popLast() ?? make()
  }

  /// Of the memfds, so that they are not taken for shared memory of the program's.
  private(set) var inodes: Set<UInt64> = []
  private var inode: [UnsafeMutablePointer<bc_page>: UInt64] = [:]

  /// As /proc/PID/maps has it: major << 32 | minor.
  private(set) var device: UInt64?
  /// The memfd of a page that a member was given; nil for a spare one.
  func inode(of page: UnsafeMutablePointer<bc_page>) -> UInt64? { inode[page] }

  private var discarded: [UnsafeMutablePointer<bc_page>] = []

  /// Unmapped at the end of the round. Its inode is to be forgotten when nobody can have it mapped
  /// any more.
  func discard(_ page: UnsafeMutablePointer<bc_page>) -> UInt64 {
    forget(page)
    guard spares[page] == nil else { return 0 }  // mapped as long as they are
    discarded.append(page)
    isWaiting = true
    return inode.removeValue(forKey: page) ?? 0
  }

  func forgetInodes(_ gone: [UInt64]) { inodes.subtract(gone) }

  var forget: (UnsafeMutablePointer<bc_page>) -> Void = { _ in }
  /// Of muted members, by the page that came with them, which stays mapped as long as they do.
  private var spares: [UnsafeMutablePointer<bc_page>: Weak] = [:]
  private struct Weak { weak var spares: Spares? }

  func spares(of page: UnsafeMutablePointer<bc_page>) -> Spares {
    if let known = spares[page]?.spares { return known }
    let made = Spares(of: page) { [unowned self] in
      for i in 0..<UInt32(BC_SPARES) { forget(bc_page_spare(page, i)) }
      spares[page] = nil
      inodes.remove(discard(page))
    }
    spares[page] = Weak(spares: made)
    return made
  }

  func refill() {
    isWaiting = false
    if !discarded.isEmpty {
      for page in discarded { munmap(page, MemberPages.size) }
      discarded = []
    }
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
    // Only the first is there before anybody waits for it; the others when they are used
    memory.storeBytes(of: 0, as: UInt32.self)
    var info = CLinux.stat()
    let page = memory.bindMemory(to: bc_page.self, capacity: 1)
    if clinux_fstat(fd, &info) == 0 {
      device = clinux_device(info.st_dev)
      inodes.insert(UInt64(info.st_ino))
      inode[page] = UInt64(info.st_ino)
    }
    return (fd, page)
  }
}
