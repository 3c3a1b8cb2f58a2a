private import CLinux

/// Memory that processes share: System V segments, shared mappings of no file, memfds, and files of
/// /dev/shm. Whole pages of the whole length, whether touched or not, each counted once over a
/// group of processes (OpenVZ charges shmpages when the object is made, and to its maker).
public enum SharedMemory {
  /// A row of /proc/sysvipc/shm (proc(5)).
  public struct Segment: Equatable, Sendable {
    public var id: Int32
    public var pages: Int64
    public var creator: Int32
    public var attached: Int64
    /// shmctl(2) SHM_LOCK.
    public var isLocked: Bool
  }

  public struct Held: Equatable, Sendable {
    /// Pages of each process asked about, in order; what several share is put down to the first of
    /// them, a segment to its creator.
    public var perProcess: [Int64]
    /// Pages of what `known` names and none of the processes has: it outlived who made it.
    public var orphans: [Kept: Int64]
    /// What may outlive the processes, by the index of the one it is put down to: to be named again
    /// at the next count.
    public var kept: [Kept: Int]
    public var total: Int64 { perProcess.reduce(orphans.values.reduce(0, +), +) }
  }

  /// All System V segments of this IPC namespace; nil where the kernel does not tell.
  public static func segments() -> [Segment]? {
    guard let text = Procfs.read("/proc/sysvipc/shm", limit: 16 << 20) else { return nil }
    var found: [Segment] = []
    for line in text.split(separator: "\n").dropFirst() {
      let words = line.split(separator: " ")
      guard words.count > 6, let id = Int32(words[1]), let mode = Int(words[2], radix: 8),
        let bytes = Int64(words[3]),
        let creator = Int32(words[4]), let attached = Int64(words[6])
      else { continue }
      found.append(
        Segment(
          id: id, pages: pages(bytes), creator: creator, attached: attached,
          isLocked: mode & 0o2000 != 0))  // SHM_LOCKED
    }
    return found
  }

  /// - Parameters:
  ///   - known: what earlier counts named, whether or not who made it is still there.
  ///   - without: inodes of memfds that are not the processes' own (the pages of their cells).
  ///   - born: files that are older, in seconds since 1970, were made by somebody else, who pays
  ///   for them.
  public static func count(
    _ pids: [Int32], known: Set<Kept> = [], without: Set<UInt64> = [], born: Int64 = 0
  ) -> Held? {
    guard let all = segments() else { return nil }
    var held = Held(perProcess: Array(repeating: 0, count: pids.count), orphans: [:], kept: [:])
    for segment in all {
      let one = Kept.segment(segment.id)
      if let i = pids.firstIndex(of: segment.creator) {
        held.perProcess[i] += segment.pages
        held.kept[one] = i
      } else if known.contains(one) {
        held.orphans[one] = segment.pages
      }
    }
    var files: [File: (process: Int, pages: Int64)] = [:]
    func saw(_ file: File, _ process: Int, _ pages: Int64) {
      guard !without.contains(file.inode) || file.device != internalDevice else { return }
      let before = files[file]
      files[file] = (before?.process ?? process, max(before?.pages ?? 0, pages))
    }
    func keep(_ one: Kept, _ process: Int) {
      held.kept[one] = min(held.kept[one] ?? process, process)
    }
    let devices = Set([internalDevice, shmDevice].compactMap { $0 })
    for (i, pid) in pids.enumerated() {
      for entry in Descriptors.entries(.init(pid: pid) { [] }, process: i)
      where devices.contains(entry.device) {
        let path = "/proc/\(pid)/fd/\(entry.fd)"
        guard let pages = size(path), birth(path).map({ $0 >= born }) ?? true else { continue }
        saw(File(device: entry.device, inode: entry.inode), i, pages)
        if entry.device == shmDevice, let name = Procfs.link(path), name.hasPrefix("/dev/shm/"),
          !name.hasSuffix(" (deleted)")
        {
          keep(.file(path: name, inode: entry.inode), i)
        }
      }
      for mapping in mappings(pid) where devices.contains(mapping.file.device) {
        // A name that is still there says how old the file is; one without was made by whoever
        // mapped it, or its parent.
        if mapping.path.hasPrefix("/dev/shm/"), let age = birth(mapping.path) {
          if age < born { continue }
          keep(.file(path: mapping.path, inode: mapping.file.inode), i)
        }
        saw(mapping.file, i, mapping.end)
      }
    }
    for file in files.values {
      held.perProcess[file.process] = min(most, held.perProcess[file.process] + file.pages)
    }
    for case .file(let path, let inode) in known
    where held.kept[.file(path: path, inode: inode)] == nil {
      guard let pages = size(path, inode: inode),
        !files.keys.contains(where: { $0.inode == inode && $0.device == shmDevice })
      else { continue }
      held.orphans[.file(path: path, inode: inode)] = pages
    }
    return held
  }

  // MARK: Files

  struct File: Hashable {
    var device: UInt64
    var inode: UInt64
  }

  /// A file may be as long as a number can say, with nothing in it.
  private static func pages(_ bytes: Int64) -> Int64 {
    (min(max(0, bytes), .max - Procfs.pageSize) + Procfs.pageSize - 1) / Procfs.pageSize
  }

  /// Sums of such lengths must have a number still.
  private static let most: Int64 = 1 << 48

  /// The kernel's own mount of tmpfs, which memfds, shared mappings of no file and System V
  /// segments are files of.
  static let internalDevice: UInt64? = {
    let fd = memfd_create("probe", UInt32(MFD_CLOEXEC))
    guard fd >= 0 else { return nil }
    defer { close(fd) }
    var info = CLinux.stat()
    return clinux_stat("/proc/self/fd/\(fd)", &info) == 0 ? UInt64(info.st_dev) : nil
  }()

  static let shmDevice: UInt64? = {
    var info = CLinux.stat()
    return clinux_stat("/dev/shm", &info) == 0 ? UInt64(info.st_dev) : nil
  }()

  /// Pages of a regular file: its size, or what is allocated beyond it (fallocate(2)
  /// FALLOC_FL_KEEP_SIZE).
  private static func size(_ path: String, inode: UInt64? = nil) -> Int64? {
    var info = CLinux.stat()
    guard clinux_stat(path, &info) == 0, info.st_mode & mode_t(S_IFMT) == mode_t(S_IFREG) else {
      return nil
    }
    // A name that was given to another file since.
    if let inode, UInt64(info.st_ino) != inode || UInt64(info.st_dev) != shmDevice { return nil }
    return max(pages(Int64(info.st_size)), pages(Int64(info.st_blocks) * 512))
  }

  /// statx(2) STATX_BTIME, in seconds since 1970; nil where the file system keeps none (tmpfs
  /// before 5.18).
  static func birth(_ path: String) -> Int64? {
    let wanted = 0x800
    // Struct statx: stx_mask at 0, stx_btime.tv_sec at 80
    var bytes = [UInt8](repeating: 0, count: 256)
    let failed = path.withCString { name in
      bytes.withUnsafeMutableBytes { room in
        clinux_syscall(
          Int(SYS_statx), Int(AT_FDCWD), Int(bitPattern: name), 0, wanted,
          Int(bitPattern: room.baseAddress))
      }
    }
    guard failed == 0 else { return nil }
    return bytes.withUnsafeBytes { room in
      guard Int(room.load(fromByteOffset: 0, as: UInt32.self)) & wanted != 0 else { return nil }
      return room.load(fromByteOffset: 80, as: Int64.self)
    }
  }

  struct Mapping {
    var file: File
    /// Pages of the file up to the end of what is mapped of it: all that shows of a file without a
    /// descriptor.
    var end: Int64
    var path: String
  }

  /// The shared ones, `7f…-7f… rw-s 00000000 00:01 2049 /dev/zero (deleted)`, without System V
  /// segments.
  static func mappings(_ pid: Int32) -> [Mapping] {
    guard let text = Procfs.read("/proc/\(pid)/maps", limit: 16 << 20) else { return [] }
    var found: [Mapping] = []
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: true)
      guard words.count == 6, words[1].last == "s", let inode = UInt64(words[4]), inode > 0 else {
        continue
      }
      let path = words[5].drop { $0 == " " }
      let range = words[0].split(separator: "-").compactMap { Int64($0, radix: 16) }
      let device = words[3].split(separator: ":").compactMap { UInt64($0, radix: 16) }
      guard range.count == 2, device.count == 2, let offset = Int64(words[2], radix: 16),
        !path.hasPrefix("/SYSV")
      else { continue }
      found.append(
        Mapping(
          file: File(device: number(major: device[0], minor: device[1]), inode: inode),
          end: pages(offset &+ (range[1] - range[0])), path: String(path)))
    }
    return found
  }

  /// makedev(3), which is a macro.
  private static func number(major: UInt64, minor: UInt64) -> UInt64 {
    (major & 0xfff) << 8 | (major & ~0xfff) << 32 | minor & 0xff | (minor & ~0xff) << 12
  }
}
