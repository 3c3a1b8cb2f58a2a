internal import Beancounters
internal import Command
internal import Recount
internal import Witness

/// Where living members obtained what is bounded: the stacks of charges, sampled by amount. Points
/// fall on units at random; credit is granted ahead up to the next point and no further, so that
/// whoever obtains the unit with the point asks itself. That makes it an estimate without bias of
/// how much each place made its process grow, whatever the rhythm of the program. Memory is leased
/// in large steps of a length that has chance in it: each step stands for itself.
struct Obtained {
  /// As it was unwound: what people tell apart by name may be several (Places.swift).
  struct Place: Hashable {
    var pid: Int32
    var frames: [Frame]
  }

  struct Found {
    /// Units that the points stand for: each stands for as many as there are, on average, between
    /// two of its time.
    var amount: Int64 = 0
    var points: Int64 = 0

    mutating func add(_ amount: Int64, points: Int64 = 1) {
      self.amount = min(self.amount + min(amount, 1 << 61), 1 << 61)
      self.points += points
    }
  }

  struct Mark {
    var milliseconds: Int64
    var held: [Resource: Int64]
  }

  /// How a resource is sampled now, in one beancounter.
  struct Pace {
    /// Mean units between two points. Doubled after every `pointsPerInterval`, so that what
    /// sampling costs grows with the logarithm of what is granted.
    var interval: Int64
    var points = 0
  }

  /// Of one member: the most that has been out to it, for credit that is recalled and granted again
  /// is obtained once; and how far it is to its next point.
  struct Course {
    var most: Int64
    var sampler: Sampler

    /// What of a charge takes a member beyond all it ever had.
    func growth(from had: Int64, by amount: Int64) -> Int64 {
      max(0, had + amount - max(had, most))
    }

    /// How much of a batch may follow a charge up to `level` before the next point.
    func ahead(at level: Int64, batch: Int64) -> Int64 {
      min(batch, max(0, most - level + min(sampler.unitsAhead, 1 << 40)))
    }

    /// Granted ahead, with no point on it. False where one falls on it, and then nothing has
    /// changed.
    @discardableResult mutating func pass(to level: Int64) -> Bool {
      guard level > most else { return true }
      guard sampler.passes(level - most) else { return false }
      most = level
      return true
    }
  }

  /// A small bound is seen in full, a large one by some of its units.
  private static func firstInterval(_ resource: Resource, bound: Int64) -> Int64 {
    resource.unit == .items ? max(1, min(32, bound / pointsPerInterval)) : 4096
  }
  private static let pointsPerInterval: Int64 = 32
  /// Different places of one resource; what comes after is not told apart.
  private static let mostPlaces = 4096

  private(set) var found: [Resource: [Place: Found]] = [:]
  private var random = SystemRandomNumberGenerator()
  private(set) var mark: Mark?
  private(set) var atMark: [Resource: [Place: Int64]] = [:]

  /// A member's, which has `had` out to it: of a resource with the least of its bounds.
  mutating func course(from had: Int64, _ resource: Resource, bound: Int64, _ pace: inout Pace?)
    -> Course
  {
    let now = pace ?? Pace(interval: Obtained.firstInterval(resource, bound: bound))
    pace = now
    return Course(most: had, sampler: Sampler(interval: now.interval, using: &random))
  }

  /// How many points fall on a charge that takes a member from what was out to it to `amount` more,
  /// and the units that each stands for.
  mutating func points(_ one: inout Course, _ pace: inout Pace, from had: Int64, by amount: Int64)
    -> (points: Int, interval: Int64)
  {
    let interval = one.sampler.interval
    let points = one.sampler.points(in: one.growth(from: had, by: amount), using: &random)
    one.most = max(one.most, had + amount)
    pace.points += points
    if pace.points >= Obtained.pointsPerInterval {
      pace = Pace(interval: min(pace.interval, 1 << 60) * 2)
    }
    if points > 0, interval != pace.interval {
      one.sampler = Sampler(interval: pace.interval, using: &random)
    }
    return (points, interval)
  }

  mutating func add(
    _ resource: Resource, _ pid: Int32, _ frames: [Frame], points: Int, interval: Int64
  ) {
    var place = Place(pid: pid, frames: frames)
    if found[resource]?[place] == nil, found[resource]?.count ?? 0 >= Obtained.mostPlaces {
      place.frames = []
    }
    found[resource, default: [:]][place, default: Found()].add(
      Int64(points) * interval, points: Int64(points))
  }

  /// Its image has gone, and what it says of places with it.
  mutating func forget(_ pid: Int32) {
    for resource in found.keys { found[resource] = found[resource]?.filter { $0.key.pid != pid } }
    for resource in atMark.keys {
      atMark[resource] = atMark[resource]?.filter { $0.key.pid != pid }
    }
  }

  mutating func setMark(held: [Resource: Int64]) {
    mark = Mark(milliseconds: Clock.milliseconds(), held: held)
    atMark = found.mapValues { $0.mapValues(\.amount) }
  }
}

extension Accounting {
  /// A charge of a member, which may have points fall on it: then its question is witnessed. `had`:
  /// what was out to it before.
  func sample(_ resource: Resource, _ pid: Int32, _ amount: Int64, had: Int64) {
    guard amount > 0, let row = sampled(resource, pid, from: had) else { return }
    let (points, interval) = obtained.points(
      &row.pointee.course!.pointee, &level.pointee.paces[resource.rawValue]!, from: had, by: amount)
    guard points > 0 || (resource == .numfile && watch.offered[pid] != nil) else { return }
    if resource == .numfile { return takePoint(pid, more: Int64(points) * interval) }
    let note = { [unowned self] (frames: [Frame]) in
      guard members[pid] != nil else { return }
      obtained.add(resource, pid, frames, points: points, interval: interval)
    }
    // What is too much to be read counts as unknown, so that no other place gets its share.
    if !host.witnesses.want(for: self, named: false, note) { note([]) }
  }

  /// The lowest bound of those that hold for it, or `Bounds.unlimited`.
  private func bound(_ resource: Resource) -> Int64 {
    upwards.reduce(Bounds.unlimited) { min($0, $1.ledger[resource].bounds.ceiling(.hard)) }
  }

  /// The row of a member, with a course that it is on; nil where there is no bound.
  private func sampled(_ resource: Resource, _ pid: Int32, from had: Int64) -> UnsafeMutablePointer<
    Member.Past
  >? {
    guard let row = members[pid]?.past.row(resource) else { return nil }
    let bound = bound(resource)
    guard bound != Bounds.unlimited else { return nil }
    if row.pointee.course == nil {
      let course = UnsafeMutablePointer<Obtained.Course>.allocate(capacity: 1)
      course.initialize(
        to: obtained.course(
          from: had, resource, bound: bound, &level.pointee.paces[resource.rawValue]))
      row.pointee.course = course
    }
    return row
  }

  /// What may be granted ahead of a charge up to `level`, of a batch.
  func ahead(_ resource: Resource, _ pid: Int32, at level: Int64) -> Int64 {
    if injects(resource) || (resource == .numfile && watch.isArmed(pid)) { return 0 }
    let batch = Accounting.batch(resource)
    guard batch > 0, let row = sampled(resource, pid, from: level) else { return batch }
    return row.pointee.course!.pointee.ahead(at: level, batch: batch)
  }

  /// Granted ahead.
  func passed(_ resource: Resource, _ pid: Int32, to level: Int64) {
    members[pid]?.past[resource].course?.pointee.pass(to: level)
  }

  /// Places of files that are there still, of those that have a point and were made since.
  func watched(since: Int64) -> [Obtained.Place: Obtained.Found] {
    loseWatched()
    var found: [Obtained.Place: Obtained.Found] = [:]
    for point in watch.kept.values where point.born >= since {
      guard let frames = point.frames else { continue }
      found[Obtained.Place(pid: point.pid, frames: frames), default: .init()].add(point.weight)
    }
    return found
  }

  func setMark() {
    for one in subtree { one.obtained.setMark(held: [:]) }
    obtained.setMark(held: heldNow())
  }
}
