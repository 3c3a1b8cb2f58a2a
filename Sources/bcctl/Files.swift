import Command
import Glibc

/// Whole files, with the kernel's own words when they cannot be had.
enum Files {
  /// All of a file, or of stdin for `-`.
  static func read(_ path: String) throws(Refused) -> [UInt8] {
    let fd = path == "-" ? 0 : open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { throw refused(path) }
    defer { if fd > 0 { close(fd) } }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let n = Glibc.read(fd, &buffer, buffer.count)
      if n < 0, errno == EINTR { continue }
      guard n >= 0 else { throw refused(path) }
      if n == 0 { return bytes }
      bytes += buffer[..<n]
    }
  }

  /// Whole, or not at all: a reader never finds half a file.
  static func replace(_ path: String, with bytes: [UInt8]) throws(Refused) {
    let new = "\(path).\(getpid())"
    let fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard fd >= 0 else { throw refused(new) }
    do {
      try write(bytes, to: fd)
    } catch {
      close(fd)
      unlink(new)
      throw Refused("\(new): \(error.message)")
    }
    close(fd)
    guard rename(new, path) == 0 else { throw refused(path) }
  }

  /// A directory and those above it, for this user alone.
  static func makeDirectory(_ path: String) throws(Refused) {
    var made = path.hasPrefix("/") ? "" : "."
    for part in path.split(separator: "/") {
      made += "/" + part
      guard mkdir(made, 0o700) == 0 || errno == EEXIST else { throw refused(made) }
    }
  }

  /// The names in a directory; none when there is none.
  static func names(in path: String) -> [String] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      names.append(name)
    }
    return names
  }

  static func refused(_ path: String) -> Refused {
    Refused("\(path): \(String(cString: strerror(errno)))")
  }
}
