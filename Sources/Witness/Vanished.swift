import CWitness
private import CLinux

/// Files that a process has mapped and that no path leads to any more: its own program or a library
/// that was replaced by a newer version, say. They can be had only while the process is there,
/// which waits for no unwinding: so they are got hold of together with its mappings.
public final class Vanished: Sendable {
  private struct Identity: Hashable { var device, inode: UInt64 }

  private let files: [Identity: CInt]

  /// Of all files of a process together, in bytes: they are copied while it waits.
  private static let copiedMost: UInt64 = 64 << 20

  init(pid: Int32, maps: [UInt8]) {
    var found: [Identity: CInt] = [:]
    var left = Self.copiedMost
    let marker = Array(" (deleted)".utf8)
    // Nearly all processes have none.
    if maps.contains(marker) {
      let mappings = Mapping.parse(maps)
      for one in mappings where one.deleted && one.executable && one.inode != 0 {
        let identity = Identity(device: one.device, inode: one.inode)
        guard found[identity] == nil, found.count < 16 else { continue }
        let range = String(one.start, radix: 16) + "-" + String(one.end, radix: 16)
        let whole =
          openRegular("/proc/\(pid)/map_files/\(range)") ?? Self.program(pid, inode: one.inode)
        found[identity] =
          whole
          ?? Self.copy(
            pid, mappings.filter { $0.inode == one.inode && $0.device == one.device }, &left)
      }
    }
    files = found
  }

  deinit { for file in files.values { close(file) } }

  /// A descriptor of the file of a mapping, for the caller to close; nil where it is none of these.
  func file(_ mapping: Mapping) -> CInt? {
    files[Identity(device: mapping.device, inode: mapping.inode)].flatMap { file in
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

extension [UInt8] {
  fileprivate func contains(_ word: [UInt8]) -> Bool {
    !isEmpty
      && withUnsafeBufferPointer { all in
        word.withUnsafeBufferPointer {
          memmem(all.baseAddress!, all.count, $0.baseAddress!, $0.count) != nil
        }
      }
  }
}
