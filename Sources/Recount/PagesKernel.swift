private import CLinux

/// One line of /proc/PID/maps.
struct Mapping {
  var start: UInt64
  var end: UInt64
  var offset: UInt64
  var device: UInt64
  var inode: UInt64

  /// In order of address, without the kernel's own ([vdso], [vvar], [vsyscall]); nil when there are
  /// none to be seen.
  static func all(_ pid: Int32) -> [Mapping]? {
    let fd = clinux_open("/proc/\(pid)/maps", O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { return nil }
    defer { close(fd) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let n = read(fd, &chunk, chunk.count)
      guard n > 0 else { break }
      bytes += chunk[..<n]
    }
    guard !bytes.isEmpty else { return nil }
    var found: [Mapping] = []
    var at = 0
    while at < bytes.count {
      if let mapping = line(bytes, &at) { found.append(mapping) }
    }
    return found
  }

  /// `start-end perms offset major:minor inode path`, all numbers but the inode hexadecimal
  /// (proc(5)).
  private static func line(_ bytes: [UInt8], _ at: inout Int) -> Mapping? {
    func number(_ base: UInt64, to stop: UInt8) -> UInt64 {
      var value: UInt64 = 0
      while at < bytes.count, bytes[at] != stop, bytes[at] != 10 {
        let c = bytes[at]
        let digit = c >= 97 ? c - 87 : c &- 48
        value = value &* base &+ UInt64(digit)
        at += 1
      }
      if at < bytes.count, bytes[at] == stop, stop != 10 { at += 1 }
      return value
    }
    let start = number(16, to: 45), end = number(16, to: 32)
    at += 5  // rwxp and a space
    let offset = number(16, to: 32)
    let major = number(16, to: 58), minor = number(16, to: 32)
    let inode = number(10, to: 32)
    while at < bytes.count, bytes[at] == 32 { at += 1 }
    let isKernels = at + 1 < bytes.count && bytes[at] == 91 && bytes[at + 1] == 118  // [v
    while at < bytes.count, bytes[at] != 10 { at += 1 }
    at += 1
    return isKernels || end <= start
      ? nil
      : Mapping(start: start, end: end, offset: offset, device: major << 32 | minor, inode: inode)
  }
}

/// PAGEMAP_SCAN, from the kernel's Documentation/admin-guide/mm/pagemap.rst; the headers of older
/// distributions lack it.
struct Scanner {
  struct Region {
    var start: UInt64 = 0
    var end: UInt64 = 0
    var categories: UInt64 = 0
  }
  static let isFile: UInt64 = 1 << 2
  private static let isPresent: UInt64 = 1 << 3
  private static let isZero: UInt64 = 1 << 5
  // _IOWR('f', 16, struct pm_scan_arg), which has 96 bytes
  private static let request = 0xc060_6610

  private struct Argument {
    var size: UInt64 = 96
    var flags: UInt64 = 0
    var start: UInt64
    var end: UInt64
    var walkEnd: UInt64 = 0
    var vector: UInt64
    var vectorLength: UInt64
    var maxPages: UInt64 = 0
    var inverted: UInt64 = Scanner.isZero
    var mask: UInt64 = Scanner.isPresent | Scanner.isZero  // present, and not the zero page
    var anyOf: UInt64 = 0
    var returned: UInt64 = Scanner.isFile
  }

  private let fd: Int32
  private var room: [Region]

  init(fd: Int32, capacity: Int) {
    self.fd = fd
    room = Array(repeating: Region(), count: capacity)
  }

  /// Runs of resident pages from `start` on, and how far the kernel came; nil where it cannot.
  mutating func next(_ start: UInt64, _ end: UInt64) -> (ArraySlice<Region>, UInt64)? {
    let (n, walked) = room.withUnsafeMutableBufferPointer { room in
      var argument = Argument(
        start: start, end: end, vector: UInt64(UInt(bitPattern: room.baseAddress)),
        vectorLength: UInt64(room.count))
      let n = withUnsafeMutablePointer(to: &argument) {
        clinux_syscall(Int(SYS_ioctl), Int(fd), Scanner.request, Int(bitPattern: $0), 0, 0)
      }
      return (n, argument.walkEnd)
    }
    return n < 0 ? nil : (room[..<n], walked)
  }
}
