private import CLinux

/// The kernel's own figures of a process, from /proc. Every function answers nil when the process
/// has gone.
public enum Procfs {
  public static let pageSize: Int64 = 4096

  /// The first bytes of a file, as text; nil when it cannot be read. proc(5) files here are short.
  static func read(_ path: String, limit: Int = 4096) -> String? {
    bytes(path, limit: limit).map { String(decoding: $0, as: UTF8.self) }
  }

  private static func bytes(_ path: String, limit: Int = 4096) -> ArraySlice<UInt8>? {
    let fd = clinux_open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { return nil }
    defer { close(fd) }
    // Most are far shorter than the limit, which is not to be filled with zeros for them.
    var bytes: [UInt8] = []
    var step = 4096
    while bytes.count < limit {
      let part = [UInt8](unsafeUninitializedCapacity: min(step, limit - bytes.count)) { room, n in
        n = max(0, CLinux.read(fd, room.baseAddress!, room.count))
      }
      if part.isEmpty { break }
      if bytes.isEmpty { bytes = part } else { bytes += part }
      step = min(2 * step, 1 << 20)
    }
    return bytes.isEmpty ? nil : bytes[...]
  }

  /// One number of /proc/PID/status, in the file's own unit (kB for Vm rows).
  /// As bytes: whoever is at a memory bound has all members looked at, and to split the text into lines
  /// takes longer than the kernel takes to write it.
  static func status(_ pid: Int32, _ key: String) -> Int64? {
    bytes("/proc/\(pid)/status")?.withUnsafeBytes { text -> Int64? in
      let row = "\n\(key):"
      guard let found = memmem(text.baseAddress!, text.count, row, row.utf8.count) else {
        return nil
      }
      let start = UnsafeRawPointer(found) - text.baseAddress! + row.utf8.count
      let digits = text[start...].drop { $0 == 0x09 || $0 == 0x20 }.prefix { 0x30...0x39 ~= $0 }
      return Int64(String(decoding: digits, as: UTF8.self))
    }
  }

  /// Length of private writable mappings without the stack, in pages: `mm->data_vm`, the figure
  /// that RLIMIT_DATA bounds (Linux 4.7, mm/mmap.c may_expand_vm). nil for a zombie too, whose
  /// memory has gone.
  public static func dataPages(_ pid: Int32) -> Int64? {
    status(pid, "VmData").map { $0 * 1024 / pageSize }
  }

  /// Pages of address space that a process has mapped, of all kinds, and those in RAM, shared ones
  /// in full (proc(5) statm). Since Linux 6.2 the second may be off by some 32 pages for each
  /// processor and kind (percpu counters). nil when it has gone.
  public static func pagesMapped(_ pid: Int32) -> (all: Int64, resident: Int64)? {
    guard let fields = read("/proc/\(pid)/statm", limit: 256)?.split(separator: " "),
      fields.count > 1, let all = Int64(fields[0]),
      let resident = Int64(fields[1])
    else { return nil }
    return (all, resident)
  }

  /// Pages of a process in memory, and swapped out (proc(5) status: RssAnon, RssFile, RssShmem,
  /// VmSwap).
  public struct Resident: Sendable {
    public var anonymous, file, shared, swapped: Int64
  }

  public static func resident(_ pid: Int32) -> Resident? {
    func pages(_ key: String) -> Int64? { status(pid, key).map { $0 * 1024 / pageSize } }
    guard let anonymous = pages("RssAnon"), let file = pages("RssFile"),
      let shared = pages("RssShmem"),
      let swapped = pages("VmSwap")
    else { return nil }
    return Resident(anonymous: anonymous, file: file, shared: shared, swapped: swapped)
  }

  /// The machine's.
  public static func meminfo() -> String? { read("/proc/meminfo", limit: 16384) }

  public struct Stat: Sendable {
    public var comm: String
    public var state: Character
    public var parent: Int32
    public var threads: Int64
    public var startTime: Int64
    /// Of a processor, in ticks of 10 ms, for itself and in the kernel: utime and stime.
    public var ticks: Int64
  }

  public static func stat(_ pid: Int32) -> Stat? {
    bytes("/proc/\(pid)/stat").flatMap(Stat.init(bytes:))
  }

  /// What a thread is called (pthread_setname_np), which need not be what its process is.
  public static func threadName(_ pid: Int32, _ thread: Int32) -> String? {
    read("/proc/\(pid)/task/\(thread)/comm").map { String($0.prefix { $0 != "\n" }) }
  }

  /// Tasks of the process as the kernel counts them for numproc: its threads, and 1 for a zombie
  /// until it is reaped.
  public static func tasks(_ pid: Int32) -> Int64? {
    guard let stat = stat(pid) else { return nil }
    return stat.state == "Z" ? max(1, stat.threads) : stat.threads
  }

  /// Whether some thread of it is running, or would if it had a processor (proc(5) stat, state R).
  public static func isRunning(_ pid: Int32) -> Bool {
    list("/proc/\(pid)/task").contains {
      bytes("/proc/\(pid)/task/\($0)/stat").flatMap(Stat.init(bytes:))?.state == "R"
    }
  }

  /// Children of all threads (CONFIG_PROC_CHILDREN); empty where the kernel does not tell.
  public static func children(_ pid: Int32) -> [Int32] {
    var found: [Int32] = []
    for thread in list("/proc/\(pid)/task") {
      guard let text = read("/proc/\(pid)/task/\(thread)/children", limit: 65536) else { continue }
      found += text.split(separator: " ").compactMap { Int32($0) }
    }
    return found
  }

  public static func processes() -> [Int32] { list("/proc").compactMap { Int32($0) }.sorted() }

  /// A variable of the environment that the image started with; nil too where it may not be read.
  public static func environment(_ pid: Int32, _ name: String) -> String? {
    guard let text = read("/proc/\(pid)/environ", limit: 1 << 20) else { return nil }
    let entry = text.split(separator: "\0").first { $0.hasPrefix(name + "=") }
    return entry.map { String($0.dropFirst(name.utf8.count + 1)) }
  }

  /// kcmp(2) KCMP_VM, with the process that made it: so between vfork and exec.
  public static func sharesMemoryWithParent(_ pid: Int32) -> Bool {
    guard let parent = stat(pid)?.parent else { return false }
    return clinux_syscall(Int(SYS_kcmp), Int(pid), Int(parent), 1, 0, 0) == 0
  }

  /// Whether a mapping's name contains some text; false too where nobody may look.
  public static func maps(_ pid: Int32, _ name: String) -> Bool {
    read("/proc/\(pid)/maps", limit: 4 << 20)?.contains(name) ?? false
  }

  /// … and which part of the file it shows: bytes `from` its beginning, `size` of them.
  public static func maps(_ pid: Int32, _ name: String, from: Int, size: Int) -> Bool {
    guard let text = read("/proc/\(pid)/maps", limit: 4 << 20) else { return false }
    return text.split(separator: "\n").contains { line in
      guard line.contains(name) else { return false }
      let words = line.split(separator: " ", omittingEmptySubsequences: true)
      let ends = words[0].split(separator: "-").compactMap { Int($0, radix: 16) }
      return ends.count == 2 && ends[1] - ends[0] == size && Int(words[2], radix: 16) == from
    }
  }

  /// Where the first bytes of files of that name are in its memory; none too where nobody may look.
  public static func addresses(_ pid: Int32, of name: String) -> [Int] {
    guard let text = read("/proc/\(pid)/maps", limit: 4 << 20) else { return [] }
    return text.split(separator: "\n").compactMap { line in
      let words = line.split(separator: " ", omittingEmptySubsequences: true)
      guard line.contains(name), Int(words[2], radix: 16) == 0 else { return nil }
      return words[0].split(separator: "-").first.flatMap { Int($0, radix: 16) }
    }
  }

  /// What the kernel compares with RLIMIT_DATA when the break moves (mm/mmap.c check_data_rlimit):
  /// the heap, and the data of the executable. nil where nobody may look.
  public static func breakPages(_ pid: Int32) -> Int64? {
    guard let text = read("/proc/\(pid)/maps", limit: 4 << 20),
      let heap = text.split(separator: "\n").last(where: { $0.hasSuffix("[heap]") }),
      let end = heap.split(separator: " ").first?.split(separator: "-").last.flatMap({
        Int64($0, radix: 16)
      }),
      let fields = read("/proc/\(pid)/stat")?.split(separator: ")").last?.split(separator: " "),
      fields.count > 44, let data = Int64(fields[42]), let edata = Int64(fields[43]),
      let start = Int64(fields[44]), start > 0
    else { return nil }
    return (end - start + edata - data + pageSize - 1) / pageSize
  }

  /// Where it has private writable memory, the largest part first; empty where nobody may look.
  static func privateMemory(_ pid: Int32) -> [(at: Int, size: Int)] {
    guard let text = read("/proc/\(pid)/maps", limit: 16 << 20) else { return [] }
    return text.split(separator: "\n").compactMap { line in
      let words = line.split(separator: " ", maxSplits: 2)
      guard words.count > 1, words[1].dropFirst().hasPrefix("w"), words[1].hasSuffix("p") else {
        return nil
      }
      let ends = words[0].split(separator: "-").map { Int($0, radix: 16) ?? 0 }
      return ends.count == 2 && ends[0] < ends[1] ? (ends[0], ends[1] - ends[0]) : nil
    }.sorted { $0.size > $1.size }
  }

  /// The process behind a pidfd of another one (proc(5) fdinfo, Linux 5.3); nil for other
  /// descriptors.
  public static func processBehind(_ pid: Int32, _ fd: Int64) -> Int32? {
    guard let text = read("/proc/\(pid)/fdinfo/\(fd)") else { return nil }
    let line = text.split(separator: "\n").first { $0.hasPrefix("Pid:") }
    return line.flatMap { Int32($0.dropFirst(4).drop { $0 == "\t" || $0 == " " }) }
  }

  public static func exists(_ pid: Int32) -> Bool { access("/proc/\(pid)", F_OK) == 0 }

  public static func executable(_ pid: Int32) -> String? { link("/proc/\(pid)/exe") }

  /// Bytes of private writable mappings made with MAP_NORESERVE (`nr` in VmFlags of smaps,
  /// proc(5)).
  public static func noReservePages(_ pid: Int32) -> Int64? {
    guard let text = read("/proc/\(pid)/smaps", limit: 16 << 20) else { return nil }
    var total: Int64 = 0
    var size: Int64 = 0
    for line in text.split(separator: "\n") {
      if line.hasPrefix("Size:") {
        size = Int64(line.dropFirst(5).drop { $0 == " " }.prefix { $0.isNumber }) ?? 0
      } else if line.hasPrefix("VmFlags:") {
        let flags = line.dropFirst(8).split(separator: " ")
        if flags.contains("nr"), flags.contains("wr"), !flags.contains("sh") {
          total += size * 1024 / pageSize
        }
      }
    }
    return total
  }

  static func list(_ path: String) -> [String] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name.first != "." { names.append(name) }
    }
    return names
  }

  static func link(_ path: String) -> String? {
    var bytes = [CChar](repeating: 0, count: 4096)
    let n = readlink(path, &bytes, bytes.count - 1)
    guard n > 0 else { return nil }
    return String(decoding: bytes[..<n].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

extension Procfs.Stat {
  /// proc(5) /proc/PID/stat: comm is in brackets and may hold any bytes, brackets too, and such as
  /// make one character with a bracket before them.
  init?(bytes: ArraySlice<UInt8>) {
    guard let open = bytes.firstIndex(of: UInt8(ascii: "(")),
      let end = bytes.lastIndex(of: UInt8(ascii: ")")), open < end
    else { return nil }
    let fields = bytes[(end + 1)...].split(separator: UInt8(ascii: " "))
    func number(_ i: Int) -> Int64? { Int64(String(decoding: fields[i], as: UTF8.self)) }
    guard fields.count > 19, let letter = fields[0].first,
      let parent = number(1).flatMap({ Int32(exactly: $0) }),
      let threads = number(17), let start = number(19),
      let user = number(11), let kernel = number(12)
    else { return nil }
    self.init(
      comm: String(decoding: bytes[(open + 1)..<end], as: UTF8.self),
      state: Character(Unicode.Scalar(letter)), parent: parent,
      threads: threads, startTime: start, ticks: user + kernel)
  }
}
