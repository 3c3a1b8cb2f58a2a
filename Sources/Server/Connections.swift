internal import CLinux

/// Connections in the order they came.
struct Connections {
  private var order: [Int32: Int] = [:]
  private var next = 0

  var count: Int { order.count }
  var all: Dictionary<Int32, Int>.Keys { order.keys }
  func contains(_ fd: Int32) -> Bool { order[fd] != nil }
  mutating func remove(_ fd: Int32) { order[fd] = nil }

  mutating func insert(_ fd: Int32) {
    order[fd] = next
    next += 1
  }

  /// Of the process that has the most, here and among `others`, the older half; those of `others`
  /// count as older. Where each has but one, the oldest.
  func excess(with others: some Collection<Int32>) -> [Int32] {
    var byPeer: [Int32: [Int32]] = [:]
    for fd in others { byPeer[Connections.peer(fd)?.pid ?? 0, default: []].append(fd) }
    for fd in order.keys { byPeer[Connections.peer(fd)?.pid ?? 0, default: []].append(fd) }
    func age(_ fd: Int32) -> Int { order[fd] ?? -1 }
    let most =
      byPeer.values.map { $0.sorted { age($0) < age($1) } }
      .max { ($0.count, -age($0[0])) < ($1.count, -age($1[0])) } ?? []
    return Array(most.prefix((most.count + 1) / 2))
  }

  /// Who made the connection, as the kernel saw it then (unix(7) SO_PEERCRED).
  static func peer(_ fd: Int32) -> ucred? {
    var peer = ucred()
    var length = socklen_t(MemoryLayout<ucred>.size)
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 ? peer : nil
  }
}
