import CWitness
private import CLinux

/// Why a witness cannot be read.
public enum WitnessError: Error, Equatable, CustomStringConvertible {
  /// A library that could not be loaded.
  case missing(String)
  /// /proc/PID/maps could not be read: the errno, e.g. EACCES for the process of another user,
  /// ENOENT when it has gone.
  case maps(pid: Int32, errno: Int32)

  public var description: String {
    switch self {
    case .missing(let library): "stacks cannot be read without \(library)"
    case .maps(let pid, let errno): "/proc/\(pid)/maps: \(String(cString: strerror(errno)))"
    }
  }
}

/// Reads stacks that a process sent (Shim/witness.h): unwinds them with libunwind's remote
/// interface. Nothing happens in the process; of its memory only what cannot have changed is read.
/// Functions and lines are named with libdw, which takes a hundred times as long: so that can wait
/// until somebody asks.
///
///     let unwinder = try Unwinder(pid: pid, modules: modules)  // now: the process may end soon
///     let stack = unwinder.stack(message)                      // later, at leisure
///     let frames = modules.named(stack, of: pid)               // when names are wanted, if ever
public final class Unwinder {
  /// Frames of one stack, before inlined functions are told apart.
  public static let framesMost = 128
  static let mapsMost = 16 << 20

  public let pid: Int32
  private let modules: Modules
  private let files: MappedFiles?
  private let mappings: [Mapping]
  private let places: [witness_mapping]
  private let unwinder: OpaquePointer
  private var found: [File?]
  private var sought: [Bool]

  /// Takes the process's mappings as they are now: create it while the process waits for the answer
  /// to its witness.
  public convenience init(pid: Int32, modules: Modules) throws(WitnessError) {
    guard let text = contents(of: "/proc/\(pid)/maps", most: Self.mapsMost) else {
      throw .maps(pid: pid, errno: clinux_errno())
    }
    try self.init(pid: pid, maps: text, modules: modules)
  }

  /// With mappings that were read while the process waited: the text of /proc/PID/maps.
  public convenience init(pid: Int32, maps text: [UInt8], modules: Modules) throws(WitnessError) {
    try self.init(pid: pid, Mapping.parse(text), modules: modules)
  }

  init(pid: Int32, _ mappings: [Mapping], files: MappedFiles? = nil, modules: Modules)
    throws(WitnessError)
  {
    if let missing = witness_missing() { throw .missing(String(cString: missing)) }
    // A zombie's maps can be opened and are empty.
    guard !mappings.isEmpty else { throw .maps(pid: pid, errno: ESRCH) }
    guard let unwinder = witness_unwinder_create() else { throw .missing("memory for libunwind") }
    self.pid = pid
    self.modules = modules
    self.files = files
    self.unwinder = unwinder
    self.mappings = mappings
    places = mappings.map {
      witness_mapping(
        start: $0.start, end: $0.end, offset: $0.offset, executable: $0.executable,
        writable: $0.writable)
    }
    found = Array(repeating: nil, count: mappings.count)
    sought = Array(repeating: false, count: mappings.count)
  }

  /// With a cache of its own.
  public convenience init(pid: Int32) throws(WitnessError) {
    try self.init(pid: pid, modules: Modules())
  }

  deinit { witness_unwinder_destroy(unwinder) }

  private struct File {
    var module: Module
    /// It can be read later as well.
    var isLasting: Bool
  }

  /// The stack of a message, innermost frame first, from the caller of the library that sent it:
  /// the frames inside that library are left out. Empty for bytes that are no witness. What lies in
  /// files is not named yet; for the rest it is now or never.
  public func stack(_ message: [UInt8]) -> [Frame] {
    defer { modules.trim() }
    return message.withUnsafeBytes(unwind)
  }

  /// The same with names.
  public func frames(_ message: [UInt8]) -> [Frame] {
    modules.named(message.withUnsafeBytes(unwind), of: pid)
  }

  private func unwind(_ message: UnsafeRawBufferPointer) -> [Frame] {
    let room = Self.framesMost
    let stack = withUnsafeTemporaryAllocation(of: witness_place.self, capacity: room) { to in
      let count = places.withUnsafeBufferPointer { places in
        var space = witness_space(
          pid: pid, mappings: places.baseAddress, count: places.count,
          image: { context, mapping in
            guard let context else { return nil }
            return Unmanaged<Unwinder>.fromOpaque(context).takeUnretainedValue().file(
              of: mapping)?.module.image
          }, context: Unmanaged.passUnretained(self).toOpaque())
        return witness_unwind(
          unwinder, &space, message.baseAddress, message.count, to.baseAddress, room)
      }
      return Array(to[..<count])
    }
    guard let sender = stack.first.map({ mappings[$0.mapping] }) else { return [] }
    let outside = stack.drop { isSame(mappings[$0.mapping], sender) }
    return (outside.isEmpty ? stack[...] : outside).flatMap(frames)
  }

  private func isSame(_ a: Mapping, _ b: Mapping) -> Bool {
    a.inode == 0 ? a == b : a.inode == b.inode && a.device == b.device
  }

  private func frames(_ place: witness_place) -> [Frame] {
    let mapping = mappings[place.mapping]
    var own: UInt64 = 0
    var frames: [Frame]
    if let file = file(of: place.mapping),
      witness_image_address(
        file.module.image, mapping.offset &+ (place.address - mapping.start), &own)
    {
      frames =
        file.isLasting
        ? [Frame(function: nil, offset: own, unread: file.module.identity)]
        : file.module.frames(at: own)
      // One file may have several paths: the process's own counts.
      for i in frames.indices { frames[i].module = mapping.path }
    } else {
      frames = [
        Frame(
          function: nil, module: mapping.path.isEmpty ? nil : mapping.path, offset: place.address)
      ]
    }
    if place.guessed { frames[frames.count - 1].guessed = true }
    return frames
  }

  private func file(of mapping: Int) -> File? {
    guard !sought[mapping] else { return found[mapping] }
    let one = mappings[mapping]
    let file = one.inode == 0 && one.path != "[vdso]" ? nil : open(one)
    // Once for all mappings of the file.
    for i in mappings.indices where isSame(mappings[i], one) {
      sought[i] = true
      found[i] = file
    }
    return file
  }

  private func open(_ mapping: Mapping) -> File? {
    if let file = descriptor(mapping) {
      return modules.module(file, path: mapping.path).map {
        File(module: $0, isLasting: !mapping.deleted)
      }
    }
    let ranges = mappings.filter { isSame($0, mapping) && !$0.writable }.map {
      witness_live_range(offset: $0.offset, address: $0.start, length: $0.end - $0.start)
    }
    return modules.live(ranges, of: pid, path: mapping.path).map {
      File(module: $0, isLasting: false)
    }
  }

  /// Of the mapped file. map_files is exact, also for files that are deleted or were never named,
  /// but open to CAP_CHECKPOINT_RESTORE alone (proc(5)). maps shows a chroot's files from our root,
  /// another mount namespace's from its own.
  private func descriptor(_ mapping: Mapping) -> CInt? {
    guard mapping.inode != 0 else { return nil }
    if let files, files.has(mapping) { return files.file(mapping) }
    let range = String(mapping.start, radix: 16) + "-" + String(mapping.end, radix: 16)
    if let file = openRegular("/proc/\(pid)/map_files/\(range)") { return file }
    var paths = ["/proc/\(pid)/exe"]
    if !mapping.deleted { paths = ["/proc/\(pid)/root\(mapping.path)", mapping.path] + paths }
    for path in paths {
      if let file = openRegular(path, inode: mapping.inode) { return file }
    }
    return nil
  }
}
