import CLinux
import Recount

enum Shim {
  /// Beside this program, where the build put it or an installation did.
  static func path() -> String {
    let own = Procfs.executable(getpid()) ?? ""
    let folder = own.split(separator: "/").dropLast().map { "/" + $0 }.joined()
    for place in [
      "beancounter_Wire.resources/libbeancounter.so", "libbeancounter.so",
      "../lib/libbeancounter.so",
    ] {
      let path = folder + "/" + place
      if access(path, R_OK) == 0 { return preloadable(path) }
    }
    fail("libbeancounter.so is not beside \(own): run `swift build -c release` again")
  }

  /// LD_PRELOAD is a list with blanks or colons between, in which ld.so replaces `$ORIGIN` and its
  /// like (ld.so(8)): a library whose path has one of these in it is named through a link.
  private static func preloadable(_ path: String) -> String {
    guard path.contains(where: { " :$".contains($0) }) else { return path }
    let folder = "/tmp/beancounter-shim-\(getuid())"
    mkdir(folder, 0o755)
    var info = stat()
    guard clinux_is_own_writable(folder), clinux_stat(path, &info) == 0 else {
      fail(
        "\(path): ld.so cannot preload from such a path, and \(folder) is not a directory of yours alone to have a link in; remove it"
      )
    }
    let link = "\(folder)/\(info.st_dev)-\(info.st_ino).so"
    var there = [CChar](repeating: 0, count: Int(PATH_MAX))
    if readlink(link, &there, there.count - 1) < 0
      || there.withUnsafeBufferPointer({ strcmp($0.baseAddress!, path) != 0 })
    {
      let new = "\(link).\(getpid())"
      guard symlink(path, new) == 0, clinux_rename(new, link) == 0 else {
        fail("\(link): \(String(cString: strerror(clinux_errno())))")
      }
    }
    return link
  }
}
