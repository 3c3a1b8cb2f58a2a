import CWitness
private import CLinux

/// The files of a process as they are while it waits, which it does for no unwinding. Which they
/// are, for another may be written over one of them as soon as it has ended. And those that no path
/// leads to any more (its own program or a library that was replaced by a newer version, say): they
/// can be had only while it is there.
public final class MappedFiles: Sendable {
  private struct Key: Hashable {
    var device, inode: UInt64
    init(_ mapping: Mapping) { (device, inode) = (mapping.device, mapping.inode) }
  }

  private let vanished: [Key: CInt]
  private let identities: [Key: FileIdentity]

  /// Of all files of a process together, in bytes: they are copied while it waits.
  private static let copiedMost: UInt64 = 64 << 20

  init(pid: Int32, _ mappings: [Mapping]) {
    var vanished: [Key: CInt] = [:]
    var identities: [Key: FileIdentity] = [:]
    var left = Self.copiedMost
    for one in mappings where one.executable && one.inode != 0 {
      let key = Key(one)
      if !one.deleted {
        if identities[key] == nil {
          identities[key] = FileIdentity(path: "/proc/\(pid)/root\(one.path)")
        }
        continue
      }
      // Nearly all processes have none.
      guard vanished[key] == nil, vanished.count < 16 else { continue }
      let range = String(one.start, radix: 16) + "-" + String(one.end, radix: 16)
      let whole =
        openRegular("/proc/\(pid)/map_files/\(range)") ?? Self.program(pid, inode: one.inode)
      vanished[key] = whole ?? Self.copy(pid, mappings.filter { Key($0) == key }, &left)
    }
    (self.vanished, self.identities) = (vanished, identities)
  }

  deinit { for file in vanished.values { close(file) } }

  /// False for a file that is not what it was, as far as is known.
  func isUnchanged(_ mapping: Mapping, _ now: FileIdentity) -> Bool {
    identities[Key(mapping)].map { $0.inode != now.inode || now.hasContents(of: $0) } ?? true
  }

  /// A descriptor of the file of a mapping, for the caller to close; nil where a path leads to it.
  func vanished(_ mapping: Mapping) -> CInt? {
    vanished[Key(mapping)].flatMap { file in
      let copy = dup(file)
      return copy >= 0 ? copy : nil
    }
  }

  /// The program itself, whole. By inode alone, as the Unwinder's files are.
  private static func program(_ pid: Int32, inode: UInt64) -> CInt? {
    guard let file = openRegular("/proc/\(pid)/exe") else { return nil }
    if FileIdentity(file)?.inode == inode { return file }
    close(file)
    return nil
  }

  /// What is mapped of it and cannot have been written to: code, unwind information, the dynamic
  /// symbols.
  private static func copy(_ pid: Int32, _ mappings: [Mapping], _ left: inout UInt64) -> CInt? {
    let pieces = mappings.filter { !$0.writable }
    let size = pieces.reduce(0) { $0 + ($1.end - $1.start) }
    guard size <= left else { return nil }
    let memory = openRegular("/proc/\(pid)/mem"), to = memfd_create("vanished", UInt32(MFD_CLOEXEC))
    defer { if let memory { close(memory) } }
    guard let memory, to >= 0 else {
      if to >= 0 { close(to) }
      return nil
    }
    var page = [UInt8](repeating: 0, count: 65536)
    for piece in pieces {
      var at: UInt64 = 0
      while at < piece.end - piece.start {
        let n = pread(
          memory, &page, min(page.count, Int(piece.end - piece.start - at)), off_t(piece.start + at)
        )
        guard n > 0, pwrite(to, page, n, off_t(piece.offset + at)) == n else { break }
        at += UInt64(n)
      }
    }
    left -= size
    return to
  }
}
