import CWitness
private import CLinux

/// The ELF files of all processes that share one server, opened once for each content and bounded
/// in number and memory.
///
/// Not thread-safe: it and the unwinders that use it belong to one thread, which should not be the
/// one that answers charges (the first look into a large file's debug information takes up to
/// tenths of a second).
public final class Modules {
  private struct Kept {
    var module: Module
    var used: UInt64
  }

  private var kept: [FileIdentity: Kept] = [:]
  private var uses: UInt64 = 0
  private let debugDirectories: [String]
  private let most: (files: Int, bytes: UInt64)

  /// - Parameters:
  ///   - debugDirectories: where separate debug files are, as GDB's `debug-file-directory`.
  ///   - files: how many files are kept open at most, from 1.
  ///   - bytes: how much memory for what has been read of them; the one in use is kept even when it
  ///   is larger.
  public init(
    debugDirectories: [String] = ["/usr/lib/debug"], files: Int = 64, bytes: UInt64 = 256 << 20
  ) {
    self.debugDirectories = debugDirectories
    most = (max(1, files), bytes)
  }

  /// How many files are kept now.
  public var count: Int { kept.count }
  /// What has been read of them.
  var bytes: UInt64 { kept.values.reduce(0) { $0 + $1.module.cost } }

  /// Takes the descriptor over. Nil when it is no ELF file of this machine.
  func module(_ file: CInt, path: String) -> Module? {
    guard let identity = FileIdentity(file) else {
      close(file)
      return nil
    }
    uses += 1
    if let module = kept[identity]?.module {
      close(file)
      kept[identity]?.used = uses
      return module
    }
    guard let image = witness_image_open(file) else { return nil }
    let module = Module(
      image: image, identity: identity, path: path, debugDirectories: debugDirectories)
    kept[identity] = Kept(module: module, used: uses)
    return module
  }

  /// What is copied from a process because its file is gone; not kept.
  func live(_ ranges: [witness_live_range], of pid: Int32, path: String) -> Module? {
    guard let image = witness_image_live(pid, ranges, ranges.count) else { return nil }
    return Module(image: image, path: path, debugDirectories: debugDirectories)
  }

  /// Frames as they were unwound, with the names that their files have for them; inlined functions
  /// are frames of their own. What is not any more the file that the process had mapped gives no
  /// names.
  ///
  /// - Parameter pid: their process, which may have ended: another root has files of its own.
  public func named(_ frames: [Frame], of pid: Int32) -> [Frame] {
    defer { trim() }
    return frames.flatMap { named($0, of: pid) }
  }

  private func named(_ frame: Frame, of pid: Int32) -> [Frame] {
    guard let identity = frame.unread, let path = frame.module else { return [frame] }
    var frames = [frame]
    frames[0].unread = nil
    guard let module = module(identity, path: path, of: pid) else { return frames }
    frames = module.frames(at: frame.offset)
    // One file may have several paths: the process's own counts.
    for i in frames.indices { frames[i].module = path }
    frames[frames.count - 1].guessed = frame.guessed
    return frames
  }

  /// One that is open still, or can be opened again.
  private func module(_ identity: FileIdentity, path: String, of pid: Int32) -> Module? {
    if let module = kept[identity]?.module {
      uses += 1
      kept[identity]?.used = uses
      return module
    }
    for path in ["/proc/\(pid)/root\(path)", path, "/proc/\(pid)/exe"] {
      guard let file = openRegular(path) else { continue }
      if FileIdentity(file) == identity { return module(file, path: path) }
      close(file)
    }
    return nil
  }

  /// Lets go of what was used longest ago, until the bounds hold.
  func trim() {
    var bytes = bytes
    while kept.count > 1, kept.count > most.files || bytes > most.bytes,
      let oldest = kept.min(by: { $0.value.used < $1.value.used })
    {
      bytes -= min(bytes, oldest.value.module.cost)
      kept[oldest.key] = nil
    }
  }
}
