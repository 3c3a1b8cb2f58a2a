private import CLinux

/// Why a program cannot be entered by a preloaded library, from its ELF file.
public enum Executable {
  /// nil: nothing in the file says that it cannot.
  public static func reasonUncovered(_ path: String) -> String? {
    // The name comes from a program: what is no file is not opened, for a pipe or a device might
    // never answer.
    let named = clinux_open(path, O_PATH | O_CLOEXEC)
    guard named >= 0 else { return nil }
    defer { close(named) }
    var info = CLinux.stat()
    guard clinux_fstat(named, &info) == 0, info.st_mode & mode_t(S_IFMT) == mode_t(S_IFREG) else {
      return nil
    }
    if clinux_is_setid(info.st_mode) { return "setuid" }
    let fd = clinux_open("/proc/self/fd/\(named)", O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard fd >= 0 else { return nil }
    defer { close(fd) }
    var head = [UInt8](repeating: 0, count: 4096)
    let n = read(fd, &head, head.count)
    return n > 0 ? reasonUncovered(head: head[..<n]) : nil
  }

  /// The same from the first bytes of the file, which may be anything.
  static func reasonUncovered(head: ArraySlice<UInt8>) -> String? {
    let n = head.count
    guard n >= 64, head[0] == 0x7f, head[1] == 0x45, head[2] == 0x4c, head[3] == 0x46 else {
      return nil
    }
    guard head[4] == 2 else { return "32-bit" }
    func word(_ at: Int, _ bytes: Int) -> Int {
      guard at >= 0, at <= n - bytes else { return 0 }
      return (0..<bytes).reduce(0) { $0 | Int(head[at + $1]) << (8 * $1) }
    }
    let offset = word(32, 8)
    let size = word(54, 2)
    let entries = word(56, 2)
    guard offset >= 0, offset <= n - entries * size else { return nil }
    for i in 0..<entries where word(offset + i * size, 4) == 3 {  // PT_INTERP
      let at = word(offset + i * size + 8, 8)
      let length = word(offset + i * size + 32, 8)
      guard at >= 0, at <= n, length > 0, length <= n - at else { return nil }
      let loader = String(decoding: head[at..<(at + length - 1)], as: UTF8.self)
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

  /// The same as a process finds it, whose root and working directory need not be ours: a path that
  /// we can open.
  public static func resolve(_ name: String, of pid: Int32) -> String? {
    guard let found = resolve(name) else { return nil }
    if found.hasPrefix("/proc/self/") { return "/proc/\(pid)/" + found.dropFirst(11) }
    let there = "/proc/\(pid)/" + (found.hasPrefix("/") ? "root" : "cwd/") + found
    return access(there, F_OK) == 0 ? there : found
  }
}
