/// Shared memory that outlives the process that made it, until somebody removes it.
public enum Kept: Hashable, Sendable {
  /// A System V segment, by its id.
  case segment(Int32)
  /// A file under /dev/shm (shm_open(3)).
  case file(path: String, inode: UInt64)

  /// One line, which `init(_:)` reads back.
  public var text: String {
    switch self {
    case .segment(let id): "segment \(id)"
    case .file(let path, let inode): "file \(inode) \(path)"
    }
  }

  public init?(_ text: String) {
    let words = text.split(separator: " ", maxSplits: 2)
    switch words.first {
    case "segment" where words.count == 2:
      guard let id = Int32(words[1]) else { return nil }
      self = .segment(id)
    case "file" where words.count == 3:
      guard let inode = UInt64(words[1]) else { return nil }
      self = .file(path: String(words[2]), inode: inode)
    default: return nil
    }
  }
}
