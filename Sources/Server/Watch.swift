internal import Beancounters
internal import CLinux
internal import Recount
internal import Wire
internal import Witness

/// Which of the files that are held now were obtained where. A point of the sample (Obtained) says
/// who took a process to a new height; but a file that is closed again at once makes room under
/// that height, and whoever leaks takes it unseen. So after a point the next charge of the process
/// asks too: then it is known whether the file is still there. If not, the one that asks now has
/// the point, and so on, until it has come to a file that stays. Files that have a point are
/// watched: when one is closed its point is free, and is given away anew.
struct Watch {
  struct Point {
    var pid: Int32
    /// Units that it stands for.
    var weight: Int64
    /// Where the file was obtained; nil while the stack is being read, empty when it could not be.
    var frames: [Frame]?
    /// Its descriptor, which is the one that the question took: the lowest that is free.
    var fd: Int32 = -1
    /// What a socket is; other files have BC_OWNED_WATCHED in the member's page.
    var socket: String?
    var born: Int64 = 0
    var tries = 0
    /// When, in milliseconds, a free one is to be given away.
    var due: Int64 = 0
  }

  private var last = 0
  /// Of files that are there, or were when last looked at.
  var kept: [Int: Point] = [:]
  /// By process: its file is about to be made. The next question tells.
  var pending: [Int32: (id: Int, point: Point)] = [:]
  /// By process: to be had by whoever asks next.
  var offered: [Int32: Point] = [:]
  var free: [Point] = []

  /// Questions in a row that are asked for one point; then it rests.
  static let tries = 12
  private static let most = 512

  func isArmed(_ pid: Int32) -> Bool { pending[pid] != nil || offered[pid] != nil }

  mutating func name() -> Int {
    last += 1
    return last
  }

  mutating func rest(_ point: Point) {
    guard free.count < Watch.most else { return }
    var point = point
    point.frames = nil
    point.due = Clock.milliseconds() + 40 << Int64(min(6, point.tries / Watch.tries))
    free.append(point)
  }

  mutating func forget(_ pid: Int32) {
    kept = kept.filter { $0.value.pid != pid }
    pending[pid] = nil
    offered[pid] = nil
    free.removeAll { $0.pid == pid }
  }
}

extension Accounting {
  /// A member asks for a file: what became of the one before?
  func settleWatch(_ pid: Int32) {
    guard let (id, point) = watch.pending.removeValue(forKey: pid) else { return }
    if let socket = keep(point) {
      var kept = point
      kept.socket = socket.isEmpty ? nil : socket
      kept.born = Clock.milliseconds()
      watch.kept[id] = kept
    } else {
      var point = point
      point.tries += 1
      if point.tries % Watch.tries == 0 { watch.rest(point) } else { watch.offered[pid] = point }
    }
    noteArmed(pid)
    if !watch.isArmed(pid) { disarm(pid) }
  }

  /// The file of this question has the point that is offered, and `more`; nil when there is none.
  func takePoint(_ pid: Int32, more: Int64 = 0) {
    var point = watch.offered.removeValue(forKey: pid) ?? Watch.Point(pid: pid, weight: 0)
    point.weight = min(point.weight + min(more, 1 << 48), 1 << 48)
    guard point.weight > 0, let member = members[pid] else { return }
    // A question in a mailbox says no descriptor, and the words of who took a spare page cannot be
    // seen: its point is nobody's.
    guard member.question >= 0, member.pageWithWords != nil else { return noteArmed(pid) }
    point.fd = member.question
    point.frames = nil
    let id = watch.name()
    let isRead = host.witnesses.want(for: self, isSpare: more == 0, named: false) {
      [unowned self] frames in
      watch.kept[id]?.frames = frames
      watch.pending[pid].map { if $0.id == id { watch.pending[pid]!.point.frames = frames } }
    }
    if !isRead, more == 0 {
      noteArmed(pid)
      return watch.rest(point)
    }
    // What is too much to be read counts as unknown, so that no other place gets its share.
    if !isRead { point.frames = [] }
    watch.pending[pid] = (id, point)
    noteArmed(pid)
    if let cell = member.cell(.numfile) { arm(cell, .numfile) }
  }

  /// Marks the file, if it is there: empty, or what the socket is. nil: it has gone.
  private func keep(_ point: Watch.Point) -> String? {
    guard let page = members[point.pid]?.pageWithWords, (0..<Int32(BC_OWNED_FDS)).contains(point.fd)
    else { return nil }
    switch bc_owned_watch(page, UInt32(point.fd)) {
    case 1: return ""
    case 2: return Descriptors.name(point.pid, point.fd)
    default: return nil
    }
  }

  private func isThere(_ point: Watch.Point) -> Bool {
    if let socket = point.socket { return Descriptors.name(point.pid, point.fd) == socket }
    guard let page = members[point.pid]?.pageWithWords else { return false }
    return bc_owned_is_watched(page, UInt32(point.fd))
  }

  /// At a tick: processes that ask no more are looked at, and free points are offered.
  func tickWatch() {
    for pid in Array(watch.pending.keys) where members[pid]?.question ?? -1 < 0 { settleWatch(pid) }
    guard !watch.kept.isEmpty || !watch.free.isEmpty else { return }
    loseWatched()
    let now = Clock.milliseconds()
    for i in watch.free.indices.reversed() where watch.free[i].due <= now {
      let point = watch.free[i], pid = point.pid
      guard !watch.isArmed(pid), let member = members[pid], !member.isZombie,
        let cell = member.cell(.numfile)
      else { continue }
      watch.free.remove(at: i)
      // What is held less than at the height is nobody's.
      let held = member.used(.numfile, granted: ledger.granted(member.slot, .numfile))
      let known = watch.kept.values.reduce(0) { $1.pid == pid ? $0 + $1.weight : $0 }
      if held < known + point.weight {
        watch.rest(point)
        continue
      }
      watch.offered[pid] = point
      noteArmed(pid)
      // Without credit, what is out to it is what it has had at once: no charge that asks can be a
      // height that is missed.
      let granted = ledger.granted(member.slot, .numfile)
      observePeak(member, .numfile, grantedBefore: granted)
      giveBack(
        member.slot, .numfile,
        member.takeCredit(.numfile, granted: granted, leaving: isSlow(.numfile) ? bc_frozen() : 0))
      mirror(pid, .numfile)
      arm(cell, .numfile)
    }
  }

  /// Points of files that have gone are free.
  func loseWatched() {
    for (id, point) in watch.kept where !isThere(point) {
      watch.kept[id] = nil
      watch.rest(point)
    }
  }

  /// Whether a question of its may be answered at once (AtOnce.swift).
  private func noteArmed(_ pid: Int32) { host.seats[pid]?.pointee.isWatched = watch.isArmed(pid) }

  private func disarm(_ pid: Int32) {
    guard !injects(.numfile), !isOver(.numfile), let member = members[pid],
      let cell = member.cell(.numfile)
    else { return }
    observePeak(member, .numfile, grantedBefore: ledger.granted(member.slot, .numfile))
    let credit = bc_load(&cell.pointee.credit)
    _ = bc_cas32(&cell.pointee.uncertain, Int32(BC_ARMED.rawValue), Int32(BC_SURE.rawValue))
    if credit >= 0 { bc_store(&cell.pointee.low, credit) }
  }

  func isWatched(_ cell: UnsafeMutablePointer<bc_cell>) -> Bool {
    watch.pending.keys.contains { members[$0]?.cell(.numfile) == cell }
      || watch.offered.keys.contains { members[$0]?.cell(.numfile) == cell }
  }
}
