internal import CLinux

/// What is still to be said on one connection: in packets, for the socket keeps them apart.
struct Reply {
  enum Done { case more, sent, ended, broken }

  private static let packet = 32768
  /// A follower that does not read is let go before it costs more than this.
  private static let mostWaiting = 4 << 20

  private var bytes: ArraySlice<UInt8> = []
  var staysOpen = false

  mutating func add(_ more: [UInt8]) { bytes += more }

  mutating func send(to fd: Int32) -> Done {
    while !bytes.isEmpty {
      let part = bytes.prefix(Reply.packet)
      let n = part.withUnsafeBytes { clinux_send(fd, $0.baseAddress!, $0.count, -1) }
      if n < 0 { return clinux_errno() == EAGAIN && bytes.count < Reply.mostWaiting ? .more : .broken }
      bytes = bytes.dropFirst(n)
    }
    bytes = []
    return staysOpen ? .sent : .ended
  }
}
