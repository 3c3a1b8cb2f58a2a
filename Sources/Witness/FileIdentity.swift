private import CLinux

/// Which file it is, and which contents: a file written over is another one.
public struct FileIdentity: Hashable, Sendable {
  private var device: UInt64
  private(set) var inode: UInt64
  private var size, modified, changed: Int64

  /// nil for what is no regular file.
  init?(_ file: CInt) {
    var s = stat()
    guard fstat(file, &s) == 0, s.st_mode & UInt32(S_IFMT) == UInt32(S_IFREG) else { return nil }
    (device, inode, size) = (UInt64(s.st_dev), UInt64(s.st_ino), Int64(s.st_size))
    modified = Int64(s.st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(s.st_mtim.tv_nsec)
    changed = Int64(s.st_ctim.tv_sec) &* 1_000_000_000 &+ Int64(s.st_ctim.tv_nsec)
  }

  /// Of a file that has stayed open: to be renamed or unlinked changes it, but not its contents.
  func hasContents(of other: FileIdentity) -> Bool {
    (size, modified) == (other.size, other.modified)
  }

  var text: String { "\(device) \(inode) \(size) \(modified) \(changed)" }

  /// nil for what is not of the form of `text`.
  init?(text: some StringProtocol) {
    let words = text.split(separator: " ")
    guard words.count == 5, let device = UInt64(words[0]), let inode = UInt64(words[1]),
      let size = Int64(words[2]), let modified = Int64(words[3]), let changed = Int64(words[4])
    else { return nil }
    (self.device, self.inode) = (device, inode)
    (self.size, self.modified, self.changed) = (size, modified, changed)
  }
}
