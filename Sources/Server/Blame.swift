internal import Beancounters
internal import Command
internal import CLinux
internal import Recount
internal import Witness

/// Denials, told apart by who was refused what, and by the stack, as far as it is known. Their
/// counts are those of failcnt: each denial is in exactly one of them.
struct Blame {
  struct Key: Hashable {
    var resource: Resource
    var pid: Int32
    var call: String
    var error: String
    var injected = false

    init(
      resource: Resource, pid: Int32, call: String, error: String, injected: Bool = false
    ) {
      (self.resource, self.pid, self.call, self.error) = (resource, pid, call, error)
      self.injected = injected
    }

    init(_ denial: Report.Denial) {
      self.init(
        resource: denial.resource, pid: denial.pid, call: denial.call, error: denial.errno,
        injected: denial.injected)
    }
  }

  /// One function of a stack as people tell them apart: not each call of an interpreter's loop is a
  /// place of its own. Without its name yet, each is.
  struct Step: Hashable {
    var name: String
    var file: String?
    var line: Int?
    var unread: FileIdentity?
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
    frames.map { Step(name: $0.label, file: $0.file, line: $0.line, unread: $0.unread) }
  }

  /// Where denials of a key are counted, one place for each of its stacks; the first may have none
  /// yet.
  var places: [Key: [Int]] = [:]
  var stacks: [Stack: Int] = [:]
  private var seen: [Key: (count: Int64, next: Int64)] = [:]

  /// All of a key that are few; of many, ever fewer: each time the number has about doubled, but at
  /// random, for a program that repeats itself could run in step with powers of two.
  mutating func isWorthAWitness(_ key: Key) -> Bool {
    var one = seen[key] ?? (0, 1)
    one.count += 1
    defer { seen[key] = one }
    guard one.count >= one.next else { return false }
    one.next =
      one.count < 16
      ? one.count + 1 : one.count + Int64.random(in: one.count / 2...one.count * 3 / 2)
    return true
  }

  mutating func skip(_ key: Key, _ count: Int64) {
    seen[key] = ((seen[key]?.count ?? 0) + count, (seen[key]?.count ?? 0) + count + 1)
  }

  /// Where to count a denial whose stack is not known, or not yet: the stacks get their shares of
  /// those by chance, as they have of those that were seen.
  func place(_ key: Key, _ witnessed: (Int) -> Int64) -> Int? {
    guard let places = places[key], places.count > 1 else { return self.places[key]?.first }
    let total = places.reduce(0) { $0 + witnessed($1) }
    guard total > 0 else { return places.first }
    var left = Int64.random(in: 0..<total)
    for place in places {
      left -= witnessed(place)
      if left < 0 { return place }
    }
    return places.last
  }
}

extension Accounting {
  /// Different denials that are told apart; a program that varies more is summed up under its
  /// first.
  private static let mostDenials = 4096

  /// A refusal that a program saw: counted where it was decided, told here and there.
  func deny(
    _ resource: Resource, by level: Accounting, pid: Int32, error: Int32, _ asked: Asked,
    amount: Int64,
    injected: Bool = false
  ) {
    guard members[pid]?.isZombie != true, kill(pid, 0) == 0 || clinux_errno() == EPERM else {
      return
    }  // nobody sees it
    if !injected { level.ledger.refuse(resource) }
    host.state?.touch(self)
    host.state?.touch(level)
    host.events.add(
      .denial, of: level, resource, pid: pid,
      asked.detail.isEmpty ? asked.call : "\(asked.call) \(asked.detail)")
    let key = Blame.Key(
      resource: resource, pid: pid, call: asked.call, error: errnoName(error), injected: injected)
    let comm = blame.places[key]?.first.map { denials[$0].comm } ?? Procfs.stat(pid)?.comm ?? "?"
    let levels = level === self ? [self] : [self, level]
    for level in levels { level.record(key, comm: comm, asked, amount: amount) }
    // Who makes up a new name for each denial is summed up, and not remembered by name.
    guard blame.places[key] != nil, blame.isWorthAWitness(key) || injected else { return }
    // What is kept on disk is told when the files may be others.
    host.witnesses.want(for: self, always: injected, named: host.isKept) { frames in
      for level in levels { level.blame(key, frames) }
    }
  }

  private func record(_ key: Blame.Key, comm: String, _ asked: Asked, amount: Int64) {
    let full = denials.count >= Accounting.mostDenials
    if let i = blame.place(key, { denials[$0].witnessed })
      ?? (full
        ? denials.firstIndex { $0.resource == key.resource && $0.injected == key.injected } : nil)
    {
      denials[i].count += 1
      changedDenials.insert(i)
      return
    }
    let thread = asked.thread > 0 ? asked.thread : key.pid  // a filter may keep it from knowing
    add(
      .init(
        resource: key.resource, count: 1, errno: key.error, pid: key.pid, comm: comm,
        call: key.call, detail: asked.detail,
        arguments: asked.arguments(of: key.pid), amount: amount, thread: thread,
        threadName: threadName(key.pid, thread),
        injected: key.injected), key)
  }

  private func threadName(_ pid: Int32, _ thread: Int32) -> String {
    thread == pid ? "" : Procfs.threadName(pid, thread) ?? ""
  }

  @discardableResult private func add(_ denial: Report.Denial, _ key: Blame.Key) -> Int {
    let i = denials.count
    denials.append(denial)
    blame.places[key, default: []].append(i)
    changedDenials.insert(i)
    return i
  }

  /// The stack of one of a key's denials has come.
  private func blame(_ key: Blame.Key, _ frames: [Frame]) {
    guard !frames.isEmpty, let places = blame.places[key], let first = places.first else { return }
    let stack = Blame.Stack(key, frames)
    if let known = blame.stacks[stack] {
      denials[known].witnessed += 1
    } else if denials[first].frames.isEmpty {
      denials[first].frames = frames
      denials[first].witnessed = 1
      blame.stacks[stack] = first
    } else if denials.count < Accounting.mostDenials {
      var other = denials[first]
      (other.count, other.witnessed, other.frames) = (0, 1, frames)
      blame.stacks[stack] = add(other, key)
    }
    share(key)
  }

  /// Each place of a key has the denials that were seen there, and its share of those that were
  /// not.
  private func share(_ key: Blame.Key) {
    let places = blame.places[key] ?? []
    let total = places.reduce(0) { $0 + denials[$1].count }
    let seen = places.reduce(0) { $0 + denials[$1].witnessed }
    guard seen > 0 else { return }
    var left = total - seen
    for place in places {
      let share = (total - seen).multipliedFullWidth(by: denials[place].witnessed)
      let count = seen.dividingFullWidth(share).quotient
      denials[place].count = denials[place].witnessed + count
      left -= count
    }
    if let greatest = places.max(by: { denials[$0].witnessed < denials[$1].witnessed }) {
      denials[greatest].count += left
    }
    changedDenials.formUnion(places)
    host.state?.touch(self)
  }

  func resume(_ earlier: [Report.Denial]) {
    denials = earlier
    for (i, d) in earlier.enumerated() {
      let key = Blame.Key(d)
      blame.places[key, default: []].append(i)
      blame.skip(key, d.count)
      if !d.frames.isEmpty { blame.stacks[Blame.Stack(key, d.frames)] = i }
    }
  }
}
