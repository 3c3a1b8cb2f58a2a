internal import Beancounters
internal import CLinux
internal import Command
internal import Recount
internal import Wire

/// Socket buffers. The kernel fills them as data comes and goes, and no send is refused: their
/// bounds hold where a socket is made, which needs the least that the kernel lets any socket
/// buffer, and where setsockopt(2) lets one buffer more.
extension Accounting {
  /// What was buffered at a look, by beancounter.
  struct BufferLook {
    var at: Int64 = 0  // microseconds
    var took: Int64 = .min
    var held: [ObjectIdentifier: [Resource: Int64]] = [:]
    /// Sockets that could not be seen.
    var hidden = 0

    /// A look counts for ten times as long as it took, so that looks take a tenth of a processor at
    /// most; on a machine with so many sockets that they are dear, for 50 ms.
    func isFresh(at now: Int64) -> Bool { took >= 0 && now - at < min(took * 10, 50_000) }
  }

  /// Whether members have to ask.
  var asksForBuffers: Bool { Resource.buffers.contains { isBounded($0) || injects($0) } }

  /// Answers BC_BUFFER: who refuses a socket that buffers `used` bytes now, and would be let to
  /// buffer `bytes`; nil for none. Room may be found by an earlier look, a refusal never is.
  func refusesBuffer(_ resource: Resource, _ bytes: Int64, used: Int64, forced: Bool) -> Accounting?
  {
    let most =
      forced
      ? bytes
      : min(
        bytes, 2 * SocketBuffers.most(received: resource == .tcprcvbuf || resource == .dgramrcvbuf))
    let more = most - max(0, used)
    let bounded = upwards.filter { $0.ledger[resource].bounds.ceiling(.hard) != Bounds.unlimited }
    guard more > 0, let top = bounded.last else { return nil }
    func full() -> Accounting? {
      bounded.first { level in
        let held = top.bufferLook.held[ObjectIdentifier(level)]?[resource] ?? 0
        return held + more > level.ledger[resource].bounds.ceiling(.hard)
      }
    }
    if top.bufferLook.isFresh(at: Accounting.microseconds()), full() == nil { return nil }
    top.lookAtBuffers()
    return full()
  }

  private func lookAtBuffers() {
    let start = Accounting.microseconds()
    work.recounts += 1
    let living = subtree.flatMap { one in one.members.values.filter { !$0.isZombie } }.sorted {
      $0.pid < $1.pid
    }
    let holdings = Holdings.of(
      living.map { member in
        .init(pid: member.pid) { [host] in
          Accounting.asking(host.owner[member.pid]?.members[member.pid] ?? member)
        }
      }, outside: root.outsides)
    let buffers = SocketBuffers.of(living.map(\.pid), holdings)
    let found = buffers.perProcess
    var held: [ObjectIdentifier: [Resource: Int64]] = [:]
    for (member, sockets) in zip(living, found) {
      let figures: [Resource: Int64] = [
        .tcpsndbuf: sockets.tcpSend, .tcprcvbuf: sockets.tcpReceive, .othersockbuf: sockets.other,
        .dgramrcvbuf: sockets.datagramReceive,
      ]
      for level in host.owner[member.pid]?.upwards.map({ $0 }) ?? [] {
        held[ObjectIdentifier(level), default: [:]].merge(figures) { $0 + $1 }
      }
    }
    for one in subtree {
      for (resource, amount) in held[ObjectIdentifier(one)] ?? [:] {
        one.ledger.observe(resource, held: amount)
      }
    }
    bufferLook = BufferLook(
      at: Accounting.microseconds(), took: Accounting.microseconds() - start, held: held,
      hidden: buffers.hidden)
  }

  private static func microseconds() -> Int64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1000
  }

  /// What members are to ask has changed; what the page says of this one member alone stays.
  func tellMembers() {
    for member in members.values {
      guard let page = member.page else { continue }
      page.pointee.flags = pageFlags | (page.pointee.flags & UInt32(BC_ANSWER_LOCKED))
    }
  }
}
