internal import Beancounters
internal import Command
internal import Recount
internal import Witness

/// Where living members obtained what is bounded: the stacks of grants, sampled by amount. An estimate without bias of
/// how much each place made its process grow, beyond the first grant of each image, which is spent on starting and is no leak.
struct Obtained {
  struct Place: Hashable {
    var pid: Int32
    var steps: [Blame.Step]
  }

  struct Found {
    var frames: [Frame]
    /// Units that the points stand for: each stands for as many as there are, on average, between two of its time.
    var amount: Int64
    var points: Int64
  }

  struct Mark {
    var milliseconds: Int64
    var held: [Resource: Int64]
  }

  /// Where the next points of one resource fall.
  struct Sampled {
    var sampler: Sampler
    var points = 0
  }

  /// Mean units between two points at first. Doubled after every `pointsPerInterval`, so that what sampling costs grows
  /// with the logarithm of what is granted.
  private static func firstInterval(_ resource: Resource) -> Int64 { resource.unit == .items ? 32 : 4096 }
  private static let pointsPerInterval = 64
  /// Different places of one resource; what comes after is not told apart.
  private static let mostPlaces = 4096

  private(set) var found: [Resource: [Place: Found]] = [:]
  private var random = SystemRandomNumberGenerator()
  private(set) var mark: Mark?
  private var atMark: [Resource: [Place: Int64]] = [:]

  /// What of a grant takes a member beyond all it ever had: credit that is recalled and granted again is obtained once. The
  /// first grant to an image is none. `most`: the most that has been out to it.
  static func growth(_ most: inout Int64, from had: Int64, by amount: Int64) -> Int64 {
    let before = max(had, most)
    most = max(before, had + amount)
    return had > 0 ? max(0, had + amount - before) : 0
  }

  /// How many points fall on a grant, and the units that each stands for.
  mutating func points(in amount: Int64, of resource: Resource, _ sampled: inout Sampled?) -> (points: Int, interval: Int64) {
    var one = sampled ?? Sampled(sampler: Sampler(interval: Obtained.firstInterval(resource), using: &random))
    let interval = one.sampler.interval
    let points = one.sampler.points(in: amount, using: &random)
    one.points += points
    if one.points >= Obtained.pointsPerInterval {
      one = Sampled(sampler: Sampler(interval: min(interval, 1 << 60) * 2, using: &random))
    }
    sampled = one
    return (points, interval)
  }

  mutating func add(_ resource: Resource, _ pid: Int32, _ frames: [Frame], points: Int, interval: Int64) {
    var place = Place(pid: pid, steps: Blame.steps(frames))
    var frames = frames
    if found[resource]?[place] == nil, found[resource]?.count ?? 0 >= Obtained.mostPlaces {
      place.steps = []
      frames = []
    }
    var one = found[resource]?[place] ?? Found(frames: frames, amount: 0, points: 0)
    one.amount = min(one.amount + Int64(points) * interval, 1 << 61)
    one.points += Int64(points)
    found[resource, default: [:]][place] = one
  }

  /// Its image has gone, and what it says of places with it.
  mutating func forget(_ pid: Int32) {
    for resource in found.keys { found[resource] = found[resource]?.filter { $0.key.pid != pid } }
    for resource in atMark.keys { atMark[resource] = atMark[resource]?.filter { $0.key.pid != pid } }
  }

  mutating func setMark(held: [Resource: Int64]) {
    mark = Mark(milliseconds: Clock.milliseconds(), held: held)
    atMark = found.mapValues { $0.mapValues(\.amount) }
  }

  /// What was obtained since the mark, by place.
  func grown(_ resource: Resource) -> [(place: Place, found: Found)] {
    (found[resource] ?? [:]).compactMap { place, one in
      let amount = one.amount - (atMark[resource]?[place] ?? 0)
      return amount > 0 ? (place, Found(frames: one.frames, amount: amount, points: one.points)) : nil
    }
  }
}

extension Accounting {
  /// A grant to a member, which may have points fall on it: then its question is witnessed. `had`: what was out to it before.
  func sample(_ resource: Resource, _ pid: Int32, _ amount: Int64, had: Int64) {
    guard amount > 0, isBounded(resource), let member = members[pid] else { return }
    let growth = Obtained.growth(&member.past[resource.rawValue].most, from: had, by: amount)
    let (points, interval) = obtained.points(in: growth, of: resource, &level.pointee.sampled[resource.rawValue])
    guard points > 0 else { return }
    let note = { [unowned self] (frames: [Frame]) in
      guard members[pid] != nil else { return }
      obtained.add(resource, pid, frames, points: points, interval: interval)
    }
    // What is too much to be read counts as unknown, so that no other place gets its share.
    if !host.witnesses.want(for: self, note) { note([]) }
  }

  /// The places where a member obtained what it holds now, the greatest first: JSON objects, an estimate each.
  func places(_ resource: Resource, of pid: Int32, held: Int64) -> [String] {
    let all = (obtained.found[resource] ?? [:]).filter { $0.key.pid == pid }.values.sorted { $0.amount > $1.amount }
    let total = all.reduce(0) { $0 + $1.amount }
    return all.prefix(Accounting.placesShown).map { one in
      let amount = Double(held) * Double(one.amount) / Double(total)
      return #"{"amount":\#(Int64(amount.rounded())),"error":\#(Int64((amount / Double(one.points).squareRoot()).rounded())),"#
        + #""points":\#(one.points),"frames":\#(Report.array(one.frames.map(Report.object)))}"#
    }
  }

  private static let placesShown = 256

  func setMark() {
    for one in subtree { one.obtained.setMark(held: [:]) }
    obtained.setMark(held: heldNow())
  }

  /// What has grown since the mark: by row as counted, by place as sampled. nil when there is no mark.
  func grownSinceMark() -> String? {
    guard let mark = obtained.mark else { return nil }
    let now = heldNow()
    let rows = Resource.shown.compactMap { r -> String? in
      guard let after = now[r], after != mark.held[r] ?? 0 else { return nil }
      return #"{"resource":"\#(r.name)","before":\#(mark.held[r] ?? 0),"after":\#(after)}"#
    }
    let grown = Resource.shown.flatMap { r in
      subtree.flatMap { one in one.obtained.grown(r).map { (r, $0.place.pid, $0.found) } }
        .sorted { $0.2.amount > $1.2.amount }.prefix(Accounting.placesShown)
    }
    let places = grown.map { resource, pid, one in
      #"{"resource":"\#(resource.name)","pid":\#(pid),"comm":\#(jsonString(Procfs.stat(pid)?.comm ?? "?")),"#
        + #""amount":\#(one.amount),"points":\#(one.points),"frames":\#(Report.array(one.frames.map(Report.object)))}"#
    }
    return #"{"milliseconds":\#(Clock.milliseconds() - mark.milliseconds),"rows":\#(Report.array(rows)),"#
      + #""places":\#(Report.array(places))}"#
  }
}
