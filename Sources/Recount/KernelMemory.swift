private import CLinux

/// kmemsize and dcachesize, estimated: so many objects of each kind as can be counted from outside,
/// by their sizes. Objects that nothing shows (timers, locks' records, poll tables, TIME_WAIT
/// sockets, unread data of pipes) are left out, so the figure of kmemsize is a little low.
public enum KernelMemory {
  /// Bytes of one object of each kind.
  public struct Sizes: Sendable {
    /// Of a task: `task_struct`, its stack, `struct pid`. THREAD_SIZE is 16 KiB on x86-64
    /// (arch/x86/include/asm/page_64_types.h).
    public var task: Int64
    /// Of a process beyond that: `mm_struct`, `files_struct`, `fs_struct`, `signal_struct`,
    /// `sighand_struct`.
    public var process: Int64
    /// Of a mapping: `vm_area_struct`, and for most an `anon_vma` and its link.
    public var mapping: Int64
    public var file: Int64
    public var tcp: Int64
    /// UDP, UNIX and all others.
    public var socket: Int64
    /// `struct pipe_inode_info` and its ring of 16 buffers (fs/pipe.c PIPE_DEF_BUFFERS).
    public var pipe: Int64
    public var dentry: Int64
    /// Of the inode behind a name: the greatest of the usual file systems'.
    public var inode: Int64
    /// From this kernel's own table, not from `mainline`.
    public var isMeasured = false

    /// Slab sizes of mainline Linux 6.18, x86-64, in the configuration that distributions build, as
    /// its /proc/slabinfo shows them.
    public static let mainline = Sizes { _ in nil }

    /// This kernel's own, where /proc/slabinfo may be read (by root, slabinfo(5)).
    public static let here: Sizes = {
      guard let text = Procfs.read("/proc/slabinfo", limit: 1 << 20) else { return mainline }
      var table: [Substring: Int64] = [:]
      for line in text.split(separator: "\n") {
        let fields = line.split(separator: " ")
        if fields.count > 3, let size = Int64(fields[3]) { table[fields[0]] = size }
      }
      guard table["task_struct"] != nil else { return mainline }
      var sizes = Sizes { table[$0] }
      sizes.isMeasured = true
      return sizes
    }()

    /// A kind that the table does not have (merged with others of its size, or a module not loaded)
    /// has its mainline size.
    private init(_ size: (Substring) -> Int64?) {
      func of(_ name: Substring, _ mainline: Int64) -> Int64 { size(name) ?? mainline }
      task = of("task_struct", 5888) + 16384 + of("pid", 192)
      process =
        of("mm_struct", 1600) + of("files_cache", 704) + of("fs_cache", 64)
        + of("signal_cache", 1152)
        + of("sighand_cache", 2112)
      mapping = of("vm_area_struct", 192) + of("anon_vma", 104) + of("anon_vma_chain", 64)
      file = of("filp", 192)
      tcp =
        max(of("TCP", 2368), of("TCPv6", 2496)) + of("sock_inode_cache", 832) + of("dentry", 192)
      socket =
        max(of("UNIX", 1152), of("UDPv6", 1472)) + of("sock_inode_cache", 832) + of("dentry", 192)
      pipe =
        of("kmalloc-cg-256", 256) + of("kmalloc-cg-1k", 1024) + of("inode_cache", 624)
        + of("dentry", 192)
      dentry = of("dentry", 192)
      inode = max(
        of("ext4_inode_cache", 1128), of("xfs_inode", 1024), of("btrfs_inode", 1016),
        of("shmem_inode_cache", 752))
    }
  }

  /// What was counted of one process.
  public struct Objects: Equatable, Sendable {
    public var tasks: Int64 = 0
    public var processes: Int64 = 0
    public var mappings: Int64 = 0
    /// Bytes of page tables (VmPTE).
    public var pageTables: Int64 = 0
    public var files: Int64 = 0
    public var tcpSockets: Int64 = 0
    public var otherSockets: Int64 = 0
    public var pipes: Int64 = 0
    public var names: Int64 = 0

    public init() {}

    /// dcachesize: bytes of the directory entries and inodes that open files, mapped files, working
    /// directories and programs keep in memory, with all directories above them. Those that others
    /// keep too are not split with them: never too low for those names.
    public func names(_ sizes: Sizes) -> Int64 { names * (sizes.dentry + sizes.inode) }

    /// kmemsize: bytes, those of names included, as OpenVZ charged them to both.
    public func bytes(_ sizes: Sizes) -> Int64 {
      let tasksAndMemory =
        tasks * sizes.task + processes * sizes.process + mappings * sizes.mapping + pageTables
      return tasksAndMemory + files * sizes.file + tcpSockets * sizes.tcp + otherSockets
        * sizes.socket + pipes * sizes.pipe
        + names(sizes)
    }
  }

  /// Of each process, in order; `files` as a recount of open file descriptions found them.
  public static func count(_ pids: [Int32], files: [Int64], _ holdings: Holdings) -> [Objects] {
    var all = pids.enumerated().map { i, pid in
      var one = Objects()
      one.tasks = Procfs.tasks(pid) ?? 0
      guard one.tasks > 0, let text = Procfs.read("/proc/\(pid)/status") else { return one }
      one.pageTables = (Resident.kilobytes("VmPTE", text) ?? 0) * 1024
      one.processes = text.contains("\nVmSize:") ? 1 : 0  // a zombie keeps its task alone
      one.files = files[i]
      one.mappings = holdings.mappings[i]
      one.pipes = holdings.pipes[i]
      one.names = holdings.names[i]
      return one
    }
    for socket in holdings.sockets.values {
      switch socket.kind {
      case .tcp, .tcp6: all[socket.holder].tcpSockets += 1
      default: all[socket.holder].otherSockets += 1
      }
    }
    return all
  }
}
