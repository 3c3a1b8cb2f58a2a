private import CLinux

/// One line of /proc/PID/maps.
struct Mapping: Equatable, Sendable {
  var start, end, offset: UInt64
  var executable, writable: Bool
  /// Of the file; both 0 where none backs it.
  var device, inode: UInt64
  /// Decoded, without the kernel's " (deleted)"; empty where there is none.
  var path: String
  var deleted: Bool

  /// Lines that are not of the kernel's form are left out; so is what does not ascend.
  static func parse(_ text: [UInt8]) -> [Mapping] {
    var found: [Mapping] = []
    for line in text.split(separator: UInt8(ascii: "\n")) {
      guard let one = Mapping(line), one.start < one.end, one.start >= found.last?.end ?? 0 else {
        continue
      }
      found.append(one)
    }
    return found
  }

  /// `start-end perms offset major:minor inode   path` (proc(5)); the path may hold blanks.
  private init?(_ line: ArraySlice<UInt8>) {
    var rest = line
    func word() -> ArraySlice<UInt8> {
      rest = rest.drop { $0 == 0x20 }
      let word = rest.prefix { $0 != 0x20 }
      rest = rest.dropFirst(word.count)
      return word
    }
    let range = word().split(separator: UInt8(ascii: "-"))
    let permissions = Array(word())
    guard range.count == 2, permissions.count == 4, let start = hex(range[0]),
      let end = hex(range[1]),
      let offset = hex(word())
    else { return nil }
    let device = word().split(separator: UInt8(ascii: ":"))
    guard device.count == 2, let major = hex(device[0]), let minor = hex(device[1]),
      let inode = UInt64(String(decoding: word(), as: UTF8.self))
    else { return nil }
    (self.start, self.end, self.offset, self.inode) = (start, end, offset, inode)
    self.device = inode == 0 ? 0 : makeDevice(major: major, minor: minor)
    writable = permissions[1] == UInt8(ascii: "w")
    executable = permissions[2] == UInt8(ascii: "x")
    let path = String(decoding: rest.drop { $0 == 0x20 }, as: UTF8.self)
    deleted = path.hasSuffix(" (deleted)")
    self.path = unescape(deleted ? String(path.dropLast(" (deleted)".count)) : path)
  }
}

private func hex(_ digits: ArraySlice<UInt8>) -> UInt64? {
  UInt64(String(decoding: digits, as: UTF8.self), radix: 16)
}

/// As glibc's makedev (sys/sysmacros.h) packs what stat(2) answers.
private func makeDevice(major: UInt64, minor: UInt64) -> UInt64 {
  (major & 0xfffff000) << 32 | (major & 0xfff) << 8 | (minor & 0xffffff00) << 12 | minor & 0xff
}

/// The kernel writes a line feed of a path as \012, and nothing else so (fs/proc/task_mmu.c).
private func unescape(_ path: String) -> String {
  guard path.utf8.contains(UInt8(ascii: "\\")) else { return path }
  var text = ""
  var rest = path[...]
  while let slash = rest.firstIndex(of: "\\") {
    text += rest[..<slash]
    rest = rest[slash...]
    if rest.hasPrefix("\\012") {
      text += "\n"
      rest = rest.dropFirst(4)
    } else {
      text.append(rest.removeFirst())
    }
  }
  return text + rest
}

/// A file read whole, up to `most` bytes; nil when it cannot be opened.
func contents(of path: String, most: Int) -> [UInt8]? {
  let file = clinux_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
  guard file >= 0 else { return nil }
  defer { close(file) }
  var bytes: [UInt8] = []
  let step = 65536
  while bytes.count < most {
    let more = [UInt8](unsafeUninitializedCapacity: step) { buffer, count in
      count = max(0, read(file, buffer.baseAddress, step))
    }
    if more.isEmpty { break }
    bytes += more
  }
  return bytes
}
