internal import Beancounters
internal import CLinux
internal import Command
internal import Wire

/// Failures that a test asked for, at one resource. No fast path knows of them: while there is a
/// rule, the cells of its resource say of every charge that the server is to be asked.
struct Injecting {
  private struct Asker: Hashable { var pid, thread: Int32 }

  let rule: Injection
  private var charges: Int64 = 0
  private var state: UInt64 = 0
  private var places: Set<[Blame.Step]> = []
  private(set) var firstOfPlaces: [Int64] = []
  /// Stacks of those that were told to ask again: nil while they are being read.
  private var stacks: [Asker: [Blame.Step]?] = [:]

  init(_ rule: Injection) {
    self.rule = rule
    if case .chance(_, let seed) = rule { state = seed }
  }

  enum Verdict { case goOn, fail, askAgain, showStack }

  mutating func decide(_ pid: Int32, _ thread: Int32) -> Verdict {
    switch rule {
    case .nth(let n):
      charges += 1
      return charges == n ? .fail : .goOn
    case .chance(let chance, _): return random() < chance ? .fail : .goOn
    case .eachStack, .survey:
      let asker = Asker(pid: pid, thread: thread)
      guard let stack = stacks[asker] else { return .showStack }
      guard let stack else { return .askAgain }
      stacks[asker] = nil
      charges += 1
      let isFirst = places.insert(stack).inserted
      if rule == .eachStack { return isFirst ? .fail : .goOn }
      if isFirst { firstOfPlaces.append(charges) }
      return .goOn
    }
  }

  mutating func isShowing(_ pid: Int32, _ thread: Int32) {
    stacks[Asker(pid: pid, thread: thread)] = .some(nil)
  }
  mutating func shown(_ pid: Int32, _ thread: Int32, _ steps: [Blame.Step]) {
    stacks[Asker(pid: pid, thread: thread)] = steps
  }

  /// SplitMix64 (Steele, Lea, Flood 2014): the same everywhere, from any seed.
  private mutating func random() -> Double {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return Double((z ^ (z >> 31)) >> 11) / Double(1 << 53)
  }
}

extension Accounting {
  /// The level has them as bits as well.
  func setFailures(_ failures: [Resource: Injection]) {
    injecting = failures.mapValues { Injecting($0) }
    level.pointee.injecting = failures.keys.reduce(0) { $0 | 1 << UInt32($1.rawValue) }
  }

  func injects(_ resource: Resource) -> Bool { upwards.contains { $0.injecting[resource] != nil } }

  /// Every charge of a resource with a rule asks: no credit is sure to be enough. So does every
  /// charge of a file while a point is to be had (Watch), and every one while more is held than a
  /// new charge could have brought it to: what is given back meanwhile is credit, and must not be
  /// spent as such.
  func arm(_ cell: UnsafeMutablePointer<bc_cell>, _ resource: Resource) {
    guard injects(resource) || isOver(resource) || (resource == .numfile && isWatched(cell)) else {
      return
    }
    guard injects(resource) || !isOver(resource) else {
      bc_store(&cell.pointee.low, Member.unknownLow)
      _ = bc_exchange32(&cell.pointee.uncertain, Int32(BC_UNSURE.rawValue))
      return
    }
    bc_store(&cell.pointee.low, Int64.max)
    _ = bc_cas32(&cell.pointee.uncertain, Int32(BC_SURE.rawValue), Int32(BC_ARMED.rawValue))
  }

  /// Bounds were lowered below what is held, or SOFT and FORCE have passed the barrier, here or
  /// above.
  func isOver(_ resource: Resource) -> Bool {
    upwards.contains { $0.ledger.room(resource, .hard) < 0 }
  }

  /// Whether this charge is to fail, or to be asked about again, which the answer then says; true
  /// when it is answered.
  func inject(
    _ resource: Resource, _ request: bc_request, from pid: Int32, _ asked: Asked, amount: Int64,
    error: Int32,
    _ answer: inout bc_answer
  ) -> Bool {
    guard let level = upwards.first(where: { $0.injecting[resource] != nil }) else { return false }
    answer.flags |= UInt32(BC_ANSWER_SURE)
    guard request.severity != UInt8(BC_FORCE.rawValue) else { return false }
    let thread = request.thread
    // Each failure is witnessed, so it waits where too many stacks are still to be read.
    guard host.witnesses.hasRoom else {
      answer.flags |= UInt32(BC_ANSWER_LATER)
      return true
    }
    switch level.injecting[resource]!.decide(pid, thread) {
    case .goOn: return false
    case .fail:
      answer.error = error
      deny(resource, by: level, pid: pid, error: error, asked, amount: amount, injected: true)
    case .showStack:
      level.injecting[resource]!.isShowing(pid, thread)
      let asked = host.witnesses.want(for: self, always: true, named: true) { frames in
        level.injecting[resource]?.shown(pid, thread, Blame.steps(frames))
      }
      if !asked { level.injecting[resource]!.shown(pid, thread, []) }
      answer.flags |= UInt32(BC_ANSWER_LATER)
    case .askAgain: answer.flags |= UInt32(BC_ANSWER_LATER)
    }
    return true
  }
}
