import Command
import Glibc

/// One question to the server: a packet of words, and an answer of packets up to the end of file.
struct Control {
  let path: String
  /// Seconds. A server that is slow counts pages; one that says nothing for so long is stuck.
  var patience = 30

  /// More than any server has to say; an answer that goes on beyond it is no answer.
  private static let mostBytes = 64 << 20
  /// No packet is longer: the server's send buffer is smaller (net.core.wmem_max is 208 KiB).
  private static let packetBytes = 1 << 20

  /// The words as one packet: separated by NUL, the first names the protocol.
  static func packet(_ words: [String]) throws(Refused) -> [UInt8] {
    guard !words.contains(where: { $0.utf8.contains(0) }) else {
      throw Refused("a word contains a NUL byte")
    }
    return Array(((["bcctl/1"] + words).joined(separator: "\0")).utf8)
  }

  /// The whole answer.
  func ask(_ words: [String]) throws -> [UInt8] {
    var answer: [UInt8] = []
    try converse(words, patient: false) { answer += $0 }
    guard !answer.isEmpty else { throw Refused("the server at \(path) gave no answer") }
    return answer
  }

  /// Hands over the answer as it comes, until the server ends it.
  func follow(_ words: [String], _ take: ([UInt8]) throws -> Void) throws {
    try converse(words, patient: true, take)
  }

  private func converse(_ words: [String], patient: Bool, _ take: ([UInt8]) throws -> Void) throws {
    let packet = try Control.packet(words)
    let fd = try connected()
    defer { close(fd) }
    var wait = timeval(tv_sec: patience, tv_usec: 0)
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, socklen_t(MemoryLayout<timeval>.size))
    if !patient {
      setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, socklen_t(MemoryLayout<timeval>.size))
    }
    // Before the question: the answer to `enter` comes with a bound on memory.
    var buffer = [UInt8](repeating: 0, count: Control.packetBytes)
    guard send(fd, packet, packet.count, Int32(MSG_NOSIGNAL)) == packet.count else { throw lost() }
    var total = 0
    while true {
      let n = recv(fd, &buffer, buffer.count, Int32(MSG_TRUNC))
      if n < 0, errno == EINTR { continue }
      if n < 0 { throw lost() }
      if n == 0 { return }
      total += n
      guard n <= buffer.count, patient || total <= Control.mostBytes else {
        throw Refused("the server at \(path) gives an answer that is too long")
      }
      try take(Array(buffer[..<n]))
    }
  }

  private func lost() -> Refused {
    errno == EAGAIN
      ? Refused("the server at \(path) does not answer; see whether it is stopped")
      : Refused("the server at \(path) hung up (\(String(cString: strerror(errno))))")
  }

  private func connected() throws(Refused) -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    let room = MemoryLayout.size(ofValue: address.sun_path) - 1
    guard !bytes.isEmpty, bytes.count <= room, !bytes.contains(0) else {
      throw Refused(
        "\(Display.quoted(path)) cannot be a socket; --socket takes a path of 1 to \(room) bytes")
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let fd = socket(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard fd >= 0 else { throw Refused("socket: \(String(cString: strerror(errno)))") }
    let done = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(fd, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard done == 0 else {
      let reason = String(cString: strerror(errno))
      close(fd)
      throw Refused("no server at \(path) (\(reason)); start one with bcd, or give --socket")
    }
    return fd
  }
}
