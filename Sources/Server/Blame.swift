internal import Beancounters
internal import Command
internal import CLinux
internal import Recount
internal import Witness

/// Denials, told apart by who was refused what, and by the stack, as far as it is known. Their counts are those of
/// failcnt: each denial is in exactly one of them.
struct Blame {
  struct Key: Hashable {
    var resource: Resource
    var pid: Int32
    var call: String
    var error: String
    var injected = false
  }

  /// One function of a stack as people tell them apart: not each call of an interpreter's loop is a place of its own.
  struct Step: Hashable {
    var name: String
    var file: String?
    var line: Int?
  }

  struct Stack: Hashable {
    var key: Key
    var steps: [Step]

    init(_ key: Key, _ frames: [Frame]) {
      self.key = key
      steps = Blame.steps(frames)
    }
  }

  static func steps(_ frames: [Frame]) -> [Step] {
    frames.map { Step(name: $0.label, file: $0.file, line: $0.line) }
  }

  /// Where a denial of a key is counted until its stack is known: with the stack last seen.
  var current: [Key: Int] = [:]
  var stacks: [Stack: Int] = [:]
  var seen: [Key: Int64] = [:]

  /// The first of a key, and then ever fewer: all that are few, and at powers of two when they are many.
  mutating func isWorthAWitness(_ key: Key) -> Bool {
    let n = seen[key, default: 0] + 1
    seen[key] = n
    return n <= 16 || n & (n - 1) == 0
  }
}

extension Accounting {
  /// Different denials that are told apart; a program that varies more is summed up under its first.
  private static let mostDenials = 4096

  /// A refusal that a program saw: counted where it was decided, told here and there.
  func deny(
    _ resource: Resource, by level: Accounting, pid: Int32, error: Int32, call: String, detail: String, amount: Int64,
    injected: Bool = false
  ) {
    guard members[pid]?.isZombie != true, kill(pid, 0) == 0 || clinux_errno() == EPERM else { return }  // nobody sees it
    if !injected { level.ledger.refuse(resource) }
    host.state?.isDirty = true
    host.events.add(.denial, of: level, resource, pid: pid, detail.isEmpty ? call : "\(call) \(detail)")
    let key = Blame.Key(resource: resource, pid: pid, call: call, error: errnoName(error), injected: injected)
    let comm = blame.current[key].map { denials[$0].comm } ?? Procfs.stat(pid)?.comm ?? "?"
    let levels = level === self ? [self] : [self, level]
    let places = levels.map { ($0, $0.record(key, comm: comm, detail: detail, amount: amount)) }
    guard blame.isWorthAWitness(key) else { return }
    host.witnesses.want(for: self) { frames in
      for (level, place) in places { level.blame(key, place, frames) }
    }
  }

  /// Counts a denial; its place in `denials`.
  private func record(_ key: Blame.Key, comm: String, detail: String, amount: Int64) -> Int {
    let full = denials.count >= Accounting.mostDenials
    if let i = blame.current[key] ?? (full ? denials.firstIndex { $0.resource == key.resource && $0.injected == key.injected } : nil) {
      denials[i].count += 1
      changedDenials.insert(i)
      return i
    }
    return add(
      .init(
        resource: key.resource, count: 1, errno: key.error, pid: key.pid, comm: comm, call: key.call, detail: detail,
        amount: amount, injected: key.injected), key)
  }

  private func add(_ denial: Report.Denial, _ key: Blame.Key) -> Int {
    let i = denials.count
    denials.append(denial)
    blame.current[key] = i
    changedDenials.insert(i)
    return i
  }

  /// The stack of a denial that was counted at `place`: the denial moves to where those of that stack are.
  private func blame(_ key: Blame.Key, _ place: Int, _ frames: [Frame]) {
    guard !frames.isEmpty else { return }
    host.state?.isDirty = true
    changedDenials.insert(place)
    let stack = Blame.Stack(key, frames)
    if let known = blame.stacks[stack] {
      denials[known].witnessed += 1
      blame.current[key] = known
      guard known != place else { return }
      denials[place].count -= 1
      denials[known].count += 1
      changedDenials.insert(known)
    } else if denials[place].frames.isEmpty {
      denials[place].frames = frames
      denials[place].witnessed = 1
      blame.stacks[stack] = place
      blame.current[key] = place
    } else if denials.count < Accounting.mostDenials {
      var other = denials[place]
      other.count = 1
      other.witnessed = 1
      other.frames = frames
      denials[place].count -= 1
      blame.stacks[stack] = add(other, key)
    }
  }

  func resume(_ earlier: [Report.Denial]) {
    denials = earlier
    for (i, d) in earlier.enumerated() {
      let key = Blame.Key(resource: d.resource, pid: d.pid, call: d.call, error: d.errno, injected: d.injected)
      blame.current[key] = i
      blame.seen[key, default: 0] += d.count
      if !d.frames.isEmpty { blame.stacks[Blame.Stack(key, d.frames)] = i }
    }
  }
}
