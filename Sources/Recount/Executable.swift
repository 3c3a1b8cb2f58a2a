private import CLinux

/// Why a program cannot be entered by a preloaded library, from its ELF file.
public enum Executable {
  /// nil: nothing in the file says that it cannot.
  public static func reasonUncovered(_ path: String) -> String? {
    var info = CLinux.stat()
    guard clinux_stat(path, &info) == 0 else { return nil }
    if clinux_is_setid(info.st_mode) { return "setuid" }
    let fd = clinux_open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { return nil }
    defer { close(fd) }
    var head = [UInt8](repeating: 0, count: 4096)
    let n = read(fd, &head, head.count)
    guard n >= 64, head[0] == 0x7f, head[1] == 0x45, head[2] == 0x4c, head[3] == 0x46 else { return nil }
    guard head[4] == 2 else { return "32-bit" }
    func word(_ at: Int, _ bytes: Int) -> Int {
      (0..<bytes).reduce(0) { at + $1 < n ? $0 | Int(head[at + $1]) << (8 * $1) : $0 }
    }
    let offset = word(32, 8)
    let size = word(54, 2)
    let entries = word(56, 2)
    for i in 0..<entries where word(offset + i * size, 4) == 3 {  // PT_INTERP
      let at = word(offset + i * size + 8, 8)
      let length = word(offset + i * size + 32, 8)
      guard at + length <= n else { return nil }
      let loader = String(decoding: head[at..<(at + max(0, length - 1))], as: UTF8.self)
      return loader.contains("musl") ? "musl" : nil
    }
    return "static"
  }
}

extension Executable {
  /// Where execvp(3) would find it: along PATH unless the name has a slash.
  public static func resolve(_ name: String) -> String? {
    if name.contains("/") { return name }
    let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
    for folder in path.split(separator: ":") {
      let candidate = "\(folder)/\(name)"
      if access(candidate, X_OK) == 0 { return candidate }
    }
    return nil
  }

  /// The same as a process finds it, whose root and working directory need not be ours: a path that we can open.
  public static func resolve(_ name: String, of pid: Int32) -> String? {
    guard let found = resolve(name) else { return nil }
    if found.hasPrefix("/proc/self/") { return "/proc/\(pid)/" + found.dropFirst(11) }
    let there = "/proc/\(pid)/" + (found.hasPrefix("/") ? "root" : "cwd/") + found
    return access(there, F_OK) == 0 ? there : found
  }
}
