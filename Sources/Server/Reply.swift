internal import CLinux

/// What is still to be said on one connection: in packets, for the socket keeps them apart.
struct Reply {
  enum Done { case more, sent, ended, broken }

  private static let packet = 32768
  /// A follower that does not read is let go before it costs more than this.
  private static let mostWaiting = 4 << 20

  private var bytes: [UInt8] = []
  private var sent = 0
  var staysOpen = false
  /// Whose names are being read: the descriptor may be another connection's when they come.
  var waitsFor: UInt64?
  /// Bytes that this takes of the server's memory.
  var size: Int { bytes.capacity }

  mutating func add(_ more: [UInt8]) {
    if sent > 0 {
      bytes.removeFirst(sent)
      sent = 0
    }
    bytes += more
  }

  mutating func send(to fd: Int32) -> Done {
    while sent < bytes.count {
      let part = bytes[sent...].prefix(Reply.packet)
      let n = part.withUnsafeBytes { clinux_send(fd, $0.baseAddress!, $0.count, -1) }
      if n < 0 {
        return clinux_errno() == EAGAIN && bytes.count - sent < Reply.mostWaiting ? .more : .broken
      }
      sent += n
    }
    bytes = []
    sent = 0
    return staysOpen ? .sent : .ended
  }
}
