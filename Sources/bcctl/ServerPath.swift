import Glibc

/// Where a `bcd` is to be found when nobody says so.
enum ServerPath {
  /// `--socket`, else BC_SERVER (inside a beancounter: the one that keeps it), else the user's own
  /// (interface.md, bcd).
  static func find(option: String?, environment: [String: String], uid: UInt32 = getuid())
    throws(Refused) -> String
  {
    if let option { return option }
    if let named = environment["BC_SERVER"], !named.isEmpty { return named }
    if let runtime = environment["XDG_RUNTIME_DIR"], runtime.hasPrefix("/") {
      return runtime + "/beancounter/bcd.sock"
    }
    var temporary = environment["TMPDIR"] ?? ""
    if temporary.isEmpty { temporary = "/tmp" }
    let directory = "\(temporary)/beancounter-\(uid)"
    try check(directory, uid: uid)
    return directory + "/bcd.sock"
  }

  /// Anybody can make a directory of this name under /tmp before we do: one that is not ours, or
  /// open to others, may hold somebody else's socket. One that is missing says that no server runs,
  /// which connecting will find out.
  private static func check(_ directory: String, uid: UInt32) throws(Refused) {
    var info = stat()
    guard lstat(directory, &info) == 0 else { return }
    let isDirectory = info.st_mode & S_IFMT == S_IFDIR
    guard isDirectory, info.st_uid == uid, info.st_mode & 0o077 == 0 else {
      throw Refused(
        "\(directory) is not a directory of yours with mode 0700; remove it, or give --socket")
    }
  }
}
