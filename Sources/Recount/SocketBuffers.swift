private import CLinux

/// The four rows of socket buffers, in bytes, as OpenVZ put kinds of sockets to them.
public struct SocketBuffers: Equatable, Sendable {
  /// tcpsndbuf: TCP, to be sent or to be acknowledged.
  public var tcpSend: Int64 = 0
  /// tcprcvbuf: TCP, received and not read.
  public var tcpReceive: Int64 = 0
  /// othersockbuf: what UNIX sockets sent and nobody has read, what other sockets send, netlink
  /// both ways.
  public var other: Int64 = 0
  /// dgramrcvbuf: UDP, raw and packet sockets, received and not read.
  public var datagramReceive: Int64 = 0

  public init() {}

  mutating func add(_ socket: SocketMemory) {
    switch socket.kind {
    case .tcp, .tcp6:
      tcpSend += socket.queued
      tcpReceive += socket.receive
    case .udp, .udp6, .raw, .raw6, .packet:
      other += socket.send
      datagramReceive += socket.receive
    // The reader's queue is the sender's memory (net/unix/af_unix.c)
    case .local: other += socket.send
    case .netlink: other += socket.send + socket.receive
    }
  }

  /// The most that setsockopt(2) takes for SO_RCVBUF or SO_SNDBUF, before the kernel doubles it
  /// (socket(7)).
  public static func most(received: Bool) -> Int64 {
    let text =
      Procfs.read("/proc/sys/net/core/\(received ? "rmem_max" : "wmem_max")", limit: 64) ?? ""
    return Int64(text.split(separator: "\n").first ?? "") ?? Int64(Int32.max / 2)
  }

  public struct Held: Sendable {
    /// Of each process, in order.
    public var perProcess: [SocketBuffers]
    /// Sockets that are not in the figures: of another network namespace, of a protocol that
    /// sock_diag does not know.
    public var hidden: Int
  }

  public static func of(_ pids: [Int32], _ holdings: Holdings) -> Held {
    var held = Held(perProcess: Array(repeating: SocketBuffers(), count: pids.count), hidden: 0)
    let (memory, refused) = SocketMemory.all(
      Set(holdings.sockets.values.compactMap(\.kind)), only: Set(holdings.sockets.keys))
    lazy var here = Procfs.link("/proc/self/ns/net")
    for (inode, socket) in holdings.sockets {
      if let found = memory[inode] {
        held.perProcess[socket.holder].add(found)
      } else if socket.kind.map(refused.contains) ?? true
        || Procfs.link("/proc/\(pids[socket.holder])/ns/net") != here
      {
        held.hidden += 1
      }
    }
    return held
  }
}
