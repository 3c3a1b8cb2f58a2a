private import CLinux

/// The bytes a socket's buffers take in the kernel, overhead included (sock_diag(7), SK_MEMINFO).
public struct SocketMemory: Equatable, Sendable {
  public enum Kind: Hashable, Sendable, CaseIterable {
    case tcp, tcp6, udp, udp6, raw, raw6, local, netlink, packet

    /// From the name that sockfs has for the protocol (`system.sockprotoname`); nil for what
    /// sock_diag does not show.
    init?(protocolName name: some StringProtocol) {
      switch name {
      case "TCP": self = .tcp
      case "TCPv6": self = .tcp6
      case "UDP": self = .udp
      case "UDPv6": self = .udp6
      case "RAW": self = .raw
      case "RAWv6": self = .raw6
      case "UNIX", "UNIX-STREAM": self = .local
      case "NETLINK": self = .netlink
      case "PACKET": self = .packet
      default: return nil
      }
    }
  }

  public var kind: Kind
  /// Received and not read (`sk_rmem_alloc`).
  public var receive: Int64
  /// Sent and not yet freed by the network or the peer that has to read it (`sk_wmem_alloc`).
  public var send: Int64
  /// TCP: to be sent, or to be acknowledged (`sk_wmem_queued`).
  public var queued: Int64

  /// Sockets of some kinds in the network namespace of this process, by inode number: all, or those
  /// of `inodes` alone. `refused` are kinds that the kernel would not show. Needs no privilege: any
  /// user sees the buffers of all sockets. Sockets of another network namespace are not there, nor
  /// TCP and UDP sockets that have never been bound or connected, which have no buffers.
  public static func all(_ kinds: Set<Kind>, only inodes: Set<UInt64>? = nil) -> (
    sockets: [UInt64: SocketMemory], refused: Set<Kind>
  ) {
    var sockets: [UInt64: SocketMemory] = [:]
    guard !kinds.isEmpty else { return (sockets, []) }
    let fd = socket(
      AF_NETLINK, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), NETLINK_SOCK_DIAG)
    guard fd >= 0 else { return (sockets, kinds) }
    defer { close(fd) }
    let refused = kinds.filter { kind in
      !dump(fd, question(kind)) {
        if let (inode, memory) = read($0, kind, inodes) { sockets[inode] = memory }
      }
    }
    return (sockets, refused)
  }

  /// Asks for all sockets of one kind, and hands over what the kernel says of each. False when it
  /// has no answer (a module that is missing, ENOENT).
  static func dump(_ fd: Int32, _ question: [UInt8], _ found: (UnsafeRawBufferPointer) -> Void)
    -> Bool
  {
    guard send(question, fd) else { return false }
    // The kernel fills what the first recvmsg(2) offers, up to 32 KiB (net/netlink/af_netlink.c
    // netlink_dump).
    var bytes = [UInt8](repeating: 0, count: 32768)
    while true {
      let n = recv(fd, &bytes, bytes.count, 0)
      if n < 0, clinux_errno() == EINTR { continue }
      guard n > 0 else { return false }
      let end: Bool? = bytes.withUnsafeBytes { all in
        var at = 0
        while at + MemoryLayout<nlmsghdr>.size <= n {
          let header = all.loadUnaligned(fromByteOffset: at, as: nlmsghdr.self)
          let length = Int(header.nlmsg_len)
          guard length >= MemoryLayout<nlmsghdr>.size, at + length <= n else { return false }
          if header.nlmsg_type == NLMSG_DONE { return true }
          if header.nlmsg_type == NLMSG_ERROR { return false }
          let body = UnsafeRawBufferPointer(
            rebasing: all[(at + MemoryLayout<nlmsghdr>.size)..<(at + length)])
          found(body)
          at += (length + 3) & ~3
        }
        return nil
      }
      if let end { return end }
    }
  }

  private static func question(_ kind: Kind) -> [UInt8] {
    switch kind {
    case .local:
      var ask = unix_diag_req()
      ask.sdiag_family = UInt8(AF_UNIX)
      ask.udiag_states = .max
      ask.udiag_show = UInt32(UDIAG_SHOW_MEMINFO)
      return message(ask)
    case .netlink:
      var ask = netlink_diag_req()
      ask.sdiag_family = UInt8(AF_NETLINK)
      ask.sdiag_protocol = .max  // NDIAG_PROTO_ALL
      ask.ndiag_show = UInt32(NDIAG_SHOW_MEMINFO)
      return message(ask)
    case .packet:
      var ask = packet_diag_req()
      ask.sdiag_family = UInt8(AF_PACKET)
      ask.pdiag_show = UInt32(PACKET_SHOW_MEMINFO)
      return message(ask)
    case .tcp, .tcp6, .udp, .udp6, .raw, .raw6:
      var ask = inet_diag_req_v2()
      ask.sdiag_family = UInt8([.tcp, .udp, .raw].contains(kind) ? AF_INET : AF_INET6)
      switch kind {
      case .tcp, .tcp6: ask.sdiag_protocol = UInt8(IPPROTO_TCP)
      case .udp, .udp6: ask.sdiag_protocol = UInt8(IPPROTO_UDP)
      default: ask.sdiag_protocol = UInt8(IPPROTO_RAW)
      }
      ask.idiag_ext = 1 << UInt8(INET_DIAG_SKMEMINFO - 1)
      ask.idiag_states = .max
      return message(ask)
    }
  }

  static func message<T: BitwiseCopyable>(_ question: T) -> [UInt8] {
    var header = nlmsghdr()
    header.nlmsg_len = UInt32(MemoryLayout<nlmsghdr>.size + MemoryLayout<T>.size)
    header.nlmsg_type = UInt16(SOCK_DIAG_BY_FAMILY)
    header.nlmsg_flags = UInt16(NLM_F_REQUEST) | UInt16(NLM_F_ROOT) | UInt16(NLM_F_MATCH)
    return withUnsafeBytes(of: header) { Array($0) } + withUnsafeBytes(of: question) { Array($0) }
  }

  private static func send(_ bytes: [UInt8], _ fd: Int32) -> Bool {
    CLinux.send(fd, bytes, bytes.count, 0) == bytes.count
  }

  /// One socket of an answer: which it is, and its attribute with SK_MEMINFO.
  private static func read(_ body: UnsafeRawBufferPointer, _ kind: Kind, _ inodes: Set<UInt64>?)
    -> (UInt64, SocketMemory)?
  {
    let inodeAt: Int, size: Int, attribute: UInt16
    switch kind {
    case .local:
      (inodeAt, size) = (
        MemoryLayout<unix_diag_msg>.offset(of: \.udiag_ino)!, MemoryLayout<unix_diag_msg>.size
      )
      attribute = UInt16(UNIX_DIAG_MEMINFO)
    case .netlink:
      (inodeAt, size) = (
        MemoryLayout<netlink_diag_msg>.offset(of: \.ndiag_ino)!, MemoryLayout<netlink_diag_msg>.size
      )
      attribute = UInt16(NETLINK_DIAG_MEMINFO)
    case .packet:
      (inodeAt, size) = (
        MemoryLayout<packet_diag_msg>.offset(of: \.pdiag_ino)!, MemoryLayout<packet_diag_msg>.size
      )
      attribute = UInt16(PACKET_DIAG_MEMINFO)
    default:
      (inodeAt, size) = (
        MemoryLayout<inet_diag_msg>.offset(of: \.idiag_inode)!, MemoryLayout<inet_diag_msg>.size
      )
      attribute = UInt16(INET_DIAG_SKMEMINFO)
    }
    guard body.count >= size else { return nil }
    let inode = UInt64(body.loadUnaligned(fromByteOffset: inodeAt, as: UInt32.self))
    if let inodes, !inodes.contains(inode) { return nil }
    var at = size
    while at + 4 <= body.count {
      let length = Int(body.loadUnaligned(fromByteOffset: at, as: UInt16.self))
      let type = body.loadUnaligned(fromByteOffset: at + 2, as: UInt16.self)
      guard length >= 4, at + length <= body.count else { return nil }
      if type == attribute, inode != 0 {
        func figure(_ index: Int) -> Int64 {
          let place = at + 4 + index * 4
          return place + 4 <= at + length
            ? Int64(body.loadUnaligned(fromByteOffset: place, as: UInt32.self)) : 0
        }
        return (
          inode,
          SocketMemory(
            kind: kind, receive: figure(Int(SK_MEMINFO_RMEM_ALLOC)),
            send: figure(Int(SK_MEMINFO_WMEM_ALLOC)), queued: figure(Int(SK_MEMINFO_WMEM_QUEUED)))
        )
      }
      at += (length + 3) & ~3
    }
    return nil
  }
}
