import CLinux

/// Where bcd listens when nobody says so: a directory that is this user's alone.
enum DefaultSocket {
  static func path(_ refuse: (String) -> Never) -> String {
    let runtime = getenv("XDG_RUNTIME_DIR").map { String(cString: $0) } ?? ""
    let temporary = getenv("TMPDIR").map { String(cString: $0) } ?? ""
    let directory =
      runtime.hasPrefix("/")
      ? runtime + "/beancounter"
      : (temporary.isEmpty ? "/tmp" : temporary) + "/beancounter-\(getuid())"
    if mkdir(directory, 0o700) != 0, clinux_errno() != EEXIST {
      refuse("\(directory): \(String(cString: strerror(clinux_errno()))); give --socket PATH")
    }
    // Anybody can make a directory of this name under /tmp before we do.
    guard clinux_is_own_directory(directory) else {
      refuse(
        "\(directory) is not a directory of yours with mode 0700; remove it, or give --socket PATH")
    }
    return directory + "/bcd.sock"
  }

  static func beside(_ socket: String) -> String {
    let folder = socket.contains("/") ? String(socket[..<socket.lastIndex(of: "/")!]) : "."
    return folder + "/bcd.db"
  }
}
