private import CLinux

/// What sockets are to people: protocol, address, peer. Tables of the kernel are read when a socket
/// is first asked about, each once: make a new one for a new look.
public struct SocketNames {
  private let pid: Int32
  private var tables = ["tcp", "tcp6", "udp", "udp6", "raw", "raw6", "unix"][...]
  private var known: [String: String] = [:]
  private static let most = 16 << 20

  /// Of the network namespace that the process is in (proc(5), /proc/PID/net).
  public init(seenBy pid: Int32) { self.pid = pid }

  /// `tcp 127.0.0.1:80 -> 10.0.0.7:51234` for `socket:[12345]`; what is no socket, or is in no
  /// table, as it is.
  public mutating func name(of what: String) -> String {
    guard what.hasPrefix("socket:["), what.hasSuffix("]") else { return what }
    let inode = String(what.dropFirst(8).dropLast())
    while known[inode] == nil, let table = tables.popFirst() {
      table == "unix" ? readLocal() : read(table)
    }
    return known[inode] ?? what
  }

  /// `sl local_address rem_address st … inode` after a line of headings; addresses in hexadecimal,
  /// words of four bytes in the machine's order (net/ipv4/tcp_ipv4.c).
  private mutating func read(_ table: String) {
    let is6 = table.hasSuffix("6"), kind = is6 ? String(table.dropLast()) : table
    for line in (Procfs.read("/proc/\(pid)/net/\(table)", limit: Self.most) ?? "").split(
      separator: "\n"
    ).dropFirst() {
      let words = line.split(separator: " ")
      guard words.count > 9, let local = Self.address(words[1]), let remote = Self.address(words[2])
      else { continue }
      let isListening = kind == "tcp" && words[3] == "0A"
      let end = isListening ? " (listening)" : remote.hasSuffix(":0") ? "" : " -> \(remote)"
      known[String(words[9])] = "\(kind) \(local)\(end)"
    }
  }

  private static func address(_ text: Substring) -> String? {
    let parts = text.split(separator: ":")
    guard parts.count == 2, let port = UInt16(parts[1], radix: 16) else { return nil }
    var bytes: [UInt8] = []
    var rest = parts[0]
    while !rest.isEmpty {
      guard let word = UInt32(rest.prefix(8), radix: 16) else { return nil }
      withUnsafeBytes(of: word) { bytes += $0 }
      rest = rest.dropFirst(8)
    }
    var to = [CChar](repeating: 0, count: 64)
    guard inet_ntop(bytes.count == 16 ? AF_INET6 : AF_INET, bytes, &to, socklen_t(to.count)) != nil
    else { return nil }
    let name = String(decoding: to.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return bytes.count == 16 ? "[\(name)]:\(port)" : "\(name):\(port)"
  }

  /// UNIX sockets have their peers in sock_diag(7) alone, which answers for the namespace of this
  /// process; for another, /proc/PID/net/unix has at least the paths.
  private mutating func readLocal() {
    var paths: [String: String] = [:], peers: [String: String] = [:], states: [String: UInt8] = [:]
    let fd = socket(
      AF_NETLINK, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), NETLINK_SOCK_DIAG)
    if fd >= 0 {
      defer { close(fd) }
      var ask = unix_diag_req()
      ask.sdiag_family = UInt8(AF_UNIX)
      ask.udiag_states = .max
      ask.udiag_show = UInt32(UDIAG_SHOW_NAME) | UInt32(UDIAG_SHOW_PEER)
      _ = SocketMemory.dump(fd, SocketMemory.message(ask)) { body in
        guard body.count >= MemoryLayout<unix_diag_msg>.size else { return }
        let one = body.loadUnaligned(as: unix_diag_msg.self), inode = String(one.udiag_ino)
        states[inode] = one.udiag_state
        Self.attributes(UnsafeRawBufferPointer(rebasing: body[MemoryLayout<unix_diag_msg>.size...]))
        { type, value in
          if type == UNIX_DIAG_NAME { paths[inode] = Self.path(value) }
          if type == UNIX_DIAG_PEER, value.count >= 4 {
            peers[inode] = String(value.loadUnaligned(as: UInt32.self))
          }
        }
      }
    }
    for (inode, state) in states {
      let peer = peers[inode].map { " -> " + (paths[$0] ?? "socket:[\($0)]") } ?? ""
      let isListening = state == 10  // TCP_LISTEN
      known[inode] =
        "unix" + (paths[inode].map { " \($0)" } ?? "") + (isListening ? " (listening)" : peer)
    }
    for line in (Procfs.read("/proc/\(pid)/net/unix", limit: Self.most) ?? "").split(
      separator: "\n"
    ).dropFirst() {
      let words = line.split(separator: " ", maxSplits: 7)
      guard words.count > 6, known[String(words[6])] == nil else { continue }
      known[String(words[6])] = "unix" + (words.count > 7 ? " \(words[7])" : "")
    }
  }

  /// Length, type, value, to the next multiple of four (netlink(7)).
  private static func attributes(
    _ bytes: UnsafeRawBufferPointer, _ each: (Int, UnsafeRawBufferPointer) -> Void
  ) {
    var at = 0
    while at + 4 <= bytes.count {
      let length = Int(bytes.loadUnaligned(fromByteOffset: at, as: UInt16.self))
      guard length >= 4, at + length <= bytes.count else { return }
      each(
        Int(bytes.loadUnaligned(fromByteOffset: at + 2, as: UInt16.self)),
        UnsafeRawBufferPointer(rebasing: bytes[(at + 4)..<(at + length)]))
      at += (length + 3) & ~3
    }
  }

  /// An abstract name begins with a zero byte, which people write `@` (unix(7)).
  private static func path(_ bytes: UnsafeRawBufferPointer) -> String {
    let name = bytes.first == 0 ? bytes.dropFirst() : bytes.prefix { $0 != 0 }
    return (bytes.first == 0 ? "@" : "") + String(decoding: name, as: UTF8.self)
  }
}
