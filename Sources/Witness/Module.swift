import CWitness
private import CLinux

/// Opens only what cannot hold the server up: neither a FIFO nor a terminal blocks.
func openRegular(_ path: String) -> CInt? {
  let file = clinux_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
  return file >= 0 ? file : nil
}

/// The one of that number, if it is there. By inode alone: overlayfs shows another device in maps
/// than to stat(2). A mapped inode is in use, so that no other file of its filesystem can have it.
func openRegular(_ path: String, inode: UInt64) -> CInt? {
  guard let file = openRegular(path) else { return nil }
  if FileIdentity(file)?.inode == inode { return file }
  close(file)
  return nil
}

/// An ELF file and the names in it, kept over many witnesses.
final class Module {
  let image: OpaquePointer
  /// nil for what is copied from a process.
  let identity: FileIdentity?
  private let path: String
  private let debugDirectories: [String]
  private var soughtDebug = false
  private var names: [UInt64: [Frame]] = [:]

  /// Names remembered of one file; past that they are forgotten and looked up again.
  private static let namesMost = 8192
  /// Inlined functions at one address.
  private static let depthMost = 32

  init(
    image: OpaquePointer, identity: FileIdentity? = nil, path: String, debugDirectories: [String]
  ) {
    self.image = image
    self.identity = identity
    self.path = path
    self.debugDirectories = debugDirectories
  }

  deinit { witness_image_close(image) }

  /// Bytes of memory.
  var cost: UInt64 { witness_image_cost(image) + UInt64(names.count) * 256 }

  /// False for a file that was written to since it was opened: what is read of it now may be of
  /// another program.
  private var isUnchanged: Bool {
    guard let identity else { return true }
    return FileIdentity(witness_image_descriptor(image))?.hasContents(of: identity) == true
  }

  /// The functions at an address of the file, innermost first; never empty.
  func frames(at address: UInt64) -> [Frame] {
    if let known = names[address] { return known }
    if names.count >= Self.namesMost { names.removeAll() }
    if !soughtDebug {
      soughtDebug = true
      seekDebug()
    }
    let found = withUnsafeTemporaryAllocation(of: witness_name.self, capacity: Self.depthMost) {
      room -> [Frame] in
      let count = witness_image_names(image, address, room.baseAddress, room.count)
      // Asked afterwards, so that nothing was read of it since.
      return isUnchanged ? (0..<count).map { frame(room[$0], at: address) } : []
    }
    let frames = found.isEmpty ? [Frame(function: nil, module: path, offset: address)] : found
    names[address] = frames
    return frames
  }

  private func frame(_ name: witness_name, at address: UInt64) -> Frame {
    Frame(
      function: name.function.map(readable), file: name.file.map { String(cString: $0) },
      line: name.line > 0 ? Int(name.line) : nil, module: path, offset: address,
      inlined: name.inlined)
  }

  private func readable(_ name: UnsafePointer<CChar>) -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 8192) { demangle(name, $0) }
      ?? String(cString: name)
  }

  /// Debug information in files of its own: by build id, then by .gnu_debuglink; both where GDB
  /// looks. Never over the network.
  private func seekDebug() {
    if !witness_image_has_debug(image) {
      let id = identity(witness_image_build_id)
      for place in debugDirectories {
        guard let id, let file = openRegular(place + id) else { continue }
        if witness_image_add_debug(image, file, false) { break }
      }
      var crc: UInt32 = 0
      if !witness_image_has_debug(image), let link = witness_image_debug_link(image, &crc) {
        let name = String(cString: link)
        let folder = String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
        let places = ([folder, "\(folder)/.debug"] + debugDirectories.map { $0 + folder }).map {
          "\($0)/\(name)"
        }
        for place in places where !name.contains("/") {
          guard let file = openRegular(place) else { continue }
          if witness_image_add_debug(image, file, true) { break }
        }
      }
    }
    guard let common = identity(witness_image_common_id) else { return }
    for place in debugDirectories {
      if let file = openRegular(place + common), witness_image_add_common(image, file) { break }
    }
  }

  /// A build id as the path that debug files have below their directory.
  private func identity(_ read: (OpaquePointer?, UnsafeMutablePointer<UInt8>?, Int) -> Int)
    -> String?
  {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 64) { room -> String? in
      let count = read(image, room.baseAddress, room.count)
      guard count > 2 else { return nil }
      let digits = room[..<count].map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
      return "/.build-id/\(digits[0])/\(digits[1...].joined()).debug"
    }
  }
}
