private import CLinux

/// What a group of processes has open, as far as its kernel memory goes: one walk over /proc/PID/fd
/// serves the socket buffers, kmemsize and dcachesize. What several of them have is put down to the
/// first.
public struct Holdings: Sendable {
  public struct Socket: Sendable {
    public var holder: Int  // index of the process
    /// nil for a protocol that sock_diag does not show.
    public var kind: SocketMemory.Kind?
  }

  /// By inode number.
  public var sockets: [UInt64: Socket] = [:]
  /// Of each process, in order.
  public var pipes: [Int64] = []
  /// Names that each process keeps in memory, all directories above them included.
  public var names: [Int64] = []
  /// Mappings of each process.
  public var mappings: [Int64] = []
  /// Whether the process could be looked at: its user's, or by root.
  public var readable: [Bool] = []

  /// `outside`: descriptors whose sockets and pipes somebody else pays for.
  public static func of(_ processes: [Descriptors.Process], outside: [(pid: Int32, fds: [Int32])])
    -> Holdings
  {
    var result = Holdings()
    var notOurs: Set<UInt64> = []
    for (pid, fds) in outside {
      for fd in fds { if let info = Holdings.stat(pid, fd) { notOurs.insert(UInt64(info.st_ino)) } }
    }
    var pipes = notOurs
    var names: Set<String> = []
    for (index, process) in processes.enumerated() {
      let fds = Descriptors.open(of: process.pid)
      let maps = whole("/proc/\(process.pid)/maps")
      var own = (pipes: Int64(0), names: Int64(0), mappings: Int64(0))
      var found: [(Int32, UInt64, SocketMemory.Kind?)] = []
      for fd in fds {
        guard let info = Holdings.stat(process.pid, fd) else { continue }
        switch info.st_mode & mode_t(S_IFMT) {
        case mode_t(S_IFSOCK):
          if !notOurs.contains(UInt64(info.st_ino)), result.sockets[UInt64(info.st_ino)] == nil {
            found.append((fd, UInt64(info.st_ino), kind(process.pid, fd)))
          }
        case mode_t(S_IFIFO): if pipes.insert(UInt64(info.st_ino)).inserted { own.pipes += 1 }
        default: own.names += note(Procfs.link("/proc/\(process.pid)/fd/\(fd)"), &names)
        }
      }
      let without = process.without()
      for (fd, inode, kind) in found where !without.contains(fd) {
        result.sockets[inode] = Socket(holder: index, kind: kind)
      }
      for place in ["cwd", "root", "exe"] {
        own.names += note(Procfs.link("/proc/\(process.pid)/\(place)"), &names)
      }
      var last: Substring.UTF8View?
      for line in maps.utf8.split(separator: UInt8(ascii: "\n")) {
        own.mappings += 1
        guard let slash = line.firstIndex(of: UInt8(ascii: "/")) else { continue }
        let path = line[slash...]
        if last.map({ !$0.elementsEqual(path) }) ?? true { own.names += note(String(path), &names) }
        last = path
      }
      result.pipes.append(own.pipes)
      result.names.append(own.names)
      result.mappings.append(own.mappings)
      result.readable.append(
        access("/proc/\(process.pid)/fd", R_OK) == 0 || Procfs.stat(process.pid)?.state == "Z")
    }
    return result
  }

  /// How many names of the path are new.
  private static func note(_ path: String?, _ names: inout Set<String>) -> Int64 {
    guard let path, path.utf8.first == UInt8(ascii: "/") else { return 0 }
    var new: Int64 = 0
    var rest = Substring(path)
    while !rest.isEmpty, names.insert(String(rest)).inserted {
      new += 1
      guard rest.utf8.count > 1, let slash = rest.utf8.lastIndex(of: UInt8(ascii: "/")) else {
        break
      }
      rest = slash == rest.startIndex ? "/" : rest[..<slash]
    }
    return new
  }

  /// A file of proc(5) that may be long; empty when it cannot be read.
  private static func whole(_ path: String) -> String {
    let fd = clinux_open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { return "" }
    defer { close(fd) }
    var all: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 65536)
    while true {
      let n = CLinux.read(fd, &part, part.count)
      guard n > 0 else { return String(decoding: all, as: UTF8.self) }
      all += part[..<n]
    }
  }

  private static func stat(_ pid: Int32, _ fd: Int32) -> CLinux.stat? {
    var info = CLinux.stat()
    return clinux_stat("/proc/\(pid)/fd/\(fd)", &info) == 0 ? info : nil
  }

  /// `sockfs` names the protocol: no descriptor of another process has to be borrowed to ask.
  private static func kind(_ pid: Int32, _ fd: Int32) -> SocketMemory.Kind? {
    var name = [CChar](repeating: 0, count: 32)
    let n = getxattr("/proc/\(pid)/fd/\(fd)", "system.sockprotoname", &name, name.count - 1)
    guard n > 0 else { return nil }
    return .init(
      protocolName: String(
        decoding: name[..<n].prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
  }
}
