import CWitness
private import CLinux

/// The files of a process, got hold of while it waits, which it does for no unwinding: as soon as it
/// has ended they may be removed, or others written over them. To some no path leads even before (its
/// own program or a library that was replaced by a newer version, say).
public final class MappedFiles: Sendable {
  private struct Key: Hashable {
    var device, inode: UInt64
    init(_ mapping: Mapping) { (device, inode) = (mapping.device, mapping.inode) }
  }

  private struct File {
    var descriptor: CInt
    var identity: FileIdentity
  }

  private let files: [Key: File]

  private static let most = 64
  /// Of all that are copied, in bytes.
  private static let copiedMost: UInt64 = 64 << 20

  init(pid: Int32, _ mappings: [Mapping]) {
    var files: [Key: File] = [:]
    var left = Self.copiedMost
    for one in mappings where one.executable && one.inode != 0 && files.count < Self.most {
      let key = Key(one)
      guard files[key] == nil,
        let file = one.deleted
          ? Self.vanished(pid, one, mappings.filter { Key($0) == key }, &left)
          : openRegular("/proc/\(pid)/root\(one.path)", inode: one.inode)
      else { continue }
      if let identity = FileIdentity(file) {
        files[key] = File(descriptor: file, identity: identity)
      } else {
        close(file)
      }
    }
    self.files = files
  }

  deinit { for file in files.values { close(file.descriptor) } }

  func has(_ mapping: Mapping) -> Bool { files[Key(mapping)] != nil }

  /// A descriptor of the file of a mapping, for the caller to close; nil where it is none of these,
  /// or was written to since.
  func file(_ mapping: Mapping) -> CInt? {
    guard let file = files[Key(mapping)],
      FileIdentity(file.descriptor)?.hasContents(of: file.identity) == true
    else { return nil }
    let copy = dup(file.descriptor)
    return copy >= 0 ? copy : nil
  }

  /// One that has no path any more.
  private static func vanished(
    _ pid: Int32, _ mapping: Mapping, _ all: [Mapping], _ left: inout UInt64
  ) -> CInt? {
    let range = String(mapping.start, radix: 16) + "-" + String(mapping.end, radix: 16)
    return openRegular("/proc/\(pid)/map_files/\(range)")
      ?? openRegular("/proc/\(pid)/exe", inode: mapping.inode) ?? copy(pid, all, &left)
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
