internal import Beancounters
internal import CLinux
internal import CWitness
internal import Witness

/// Stacks of those who ask, read by a worker process that is started at the first of them. A
/// question is witnessed when somebody wants to know who asked; what comes back reaches them later,
/// or never: a witness fails no charge.
public final class Witnesses {
  /// Frames, innermost first; empty when they could not be had.
  typealias Then = ([Frame]) -> Void

  var watch: (Int32, @escaping () -> Void) -> Void = { _, _ in }
  var unwatch: (Int32) -> Void = { _ in }
  /// What this machine lacks to read stacks; nil as far as is known.
  public private(set) var missing: String?
  private var socket: Int32 = -1
  private var process: Int32 = 0
  private var pending: [UInt64: (of: Accounting, since: Int64, then: Then)] = [:]
  private var naming: [UInt64: (what: Naming, since: Int64)] = [:]
  private var last: UInt64 = 0
  private var wanted: (of: Accounting, named: Bool, then: Then)?
  /// How many may be had now, and when that was so.
  private var left = Double(mostAtOnce)
  private var countedAt = Clock.milliseconds()

  /// Of all beancounters together, in the long run: each takes a millisecond or more of a worker,
  /// and a tenth of one of who is witnessed.
  private static let mostPerSecond = 64
  /// … and after a rest: a program that begins is seen in full.
  private static let mostAtOnce = 256
  private static let mostPending = 256
  /// A stack that takes longer, in milliseconds, has the worker started again.
  private static let patience: Int64 = 10_000

  /// The question that is being answered is to be witnessed. False: it cannot be, for there are too
  /// many. `always`: however many there are. `isSpare`: only while half of what can be had is not.
  /// `named`: names are wanted at once, while the files are surely there; else `name` gives them.
  @discardableResult func want(
    for one: Accounting, always: Bool = false, isSpare: Bool = false, named: Bool,
    _ then: @escaping Then
  ) -> Bool {
    guard missing == nil, wanted == nil, pending.count < Witnesses.mostPending else { return false }
    let now = Clock.milliseconds()
    left = min(
      Double(Witnesses.mostAtOnce),
      left + Double(now - countedAt) / 1000 * Double(Witnesses.mostPerSecond))
    countedAt = now
    guard always || left >= (isSpare ? Double(Witnesses.mostAtOnce / 2) : 1) else { return false }
    left = max(0, left - 1)
    wanted = (one, named, then)
    return true
  }

  var hasRoom: Bool { missing != nil || pending.count < Witnesses.mostPending }
  var isWanted: Bool { wanted != nil }
  func forget() { wanted = nil }

  /// The answer has been sent, and asks for a witness: the worker takes the connection over.
  func take(_ connection: Int32, of pid: Int32) {
    guard let (of, named, then) = wanted else { return }
    wanted = nil
    guard socket >= 0 || start() else { return then([]) }
    last += 1
    var job = witness_job(id: last, pid: pid, named: named ? 1 : 0)
    guard clinux_send(socket, &job, MemoryLayout<witness_job>.size, connection) > 0 else {
      return then([])
    }
    pending[last] = (of, Clock.milliseconds(), then)
  }

  /// The names of stacks that were read without; what cannot be had stays without.
  func name(_ stacks: [(pid: Int32, frames: [Frame])], _ then: @escaping (Names) -> Void) {
    goOn(Naming(stacks, then: then))
  }

  private func goOn(_ what: Naming) {
    guard let next = what.next, socket >= 0 || start() else { return what.then(what.names) }
    last += 1
    let job = witness_job(id: last, pid: next.pid, named: 1)
    let message = withUnsafeBytes(of: job) { Array($0) } + Array(Frame.text(of: next.frames).utf8)
    guard clinux_send(socket, message, message.count, -1) > 0 else { return what.then(what.names) }
    naming[last] = (what, Clock.milliseconds())
  }

  /// How many of its stacks are under way.
  func underWay(_ one: Accounting) -> Int { pending.values.count { $0.of === one } }

  private func start() -> Bool {
    guard let (socket, process) = Worker.start() else { return false }
    self.socket = socket
    self.process = process
    watch(socket) { [unowned self] in receive() }
    return true
  }

  private func receive() {
    var bytes = [UInt8](repeating: 0, count: 128 << 10)
    let n = recv(socket, &bytes, bytes.count, Int32(MSG_DONTWAIT))
    if n < 0, clinux_errno() == EAGAIN || clinux_errno() == EINTR { return }
    guard n >= 8 else { return stop() }
    let id = bytes.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
    let text = String(decoding: bytes[8..<n], as: UTF8.self)
    if id == 0 { missing = text }
    pending.removeValue(forKey: id)?.then(Frame.stack(text))
    guard var what = naming.removeValue(forKey: id)?.what else { return }
    what.take(text)
    goOn(what)
  }

  /// It has died, or hangs: what it had not read stays unknown, and the next witness has another.
  private func stop() {
    unwatch(socket)
    close(socket)
    socket = -1
    kill(process, SIGKILL)
    waitpid(process, nil, 0)
    let lost = pending.values, unnamed = naming.values
    pending = [:]
    naming = [:]
    for one in lost { one.then([]) }
    for one in unnamed { one.what.then(one.what.names) }
  }

  /// The worker is gone when this returns, and nobody else has to reap it.
  func end() { if socket >= 0 { stop() } }

  func tick() {
    let now = Clock.milliseconds()
    if pending.values.contains(where: { now - $0.since > Witnesses.patience })
      || naming.values.contains(where: { now - $0.since > Witnesses.patience })
    {
      stop()
    }
  }
}
