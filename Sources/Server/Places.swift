internal import Beancounters
internal import Command
internal import Recount
internal import Witness

/// Places in programs as people tell them apart, by names: several stacks that were sampled may be
/// one. Taken as they are when somebody asks, and told when the names have come.
struct Places {
  struct One {
    var pid: Int32
    var frames: [Frame]
    var found = Obtained.Found()
    /// What was obtained there before the mark.
    var before: Int64 = 0
  }

  private static let mostShown = 256

  var found: [Obtained.Place: Obtained.Found]
  var before: [Obtained.Place: Int64] = [:]

  var stacks: [(pid: Int32, frames: [Frame])] { found.keys.map { ($0.pid, $0.frames) } }

  /// The greatest growth first.
  func told(_ names: Names) -> [One] {
    struct Key: Hashable {
      var pid: Int32
      var steps: [Blame.Step]
    }
    var all: [Key: One] = [:]
    for (place, one) in found {
      let frames = names.stack(place.frames)
      let key = Key(pid: place.pid, steps: Blame.steps(frames))
      all[key, default: One(pid: place.pid, frames: frames)].found.add(
        one.amount, points: one.points)
      all[key]!.before += before[place] ?? 0
    }
    return all.values.filter { $0.grown > 0 }.sorted { $0.grown > $1.grown }
  }

  /// The places where a member obtained what it holds now, the greatest first: JSON objects, an
  /// estimate each.
  func holding(_ held: Int64, _ names: Names) -> [String] {
    let all = told(names)
    let total = all.reduce(0) { $0 + $1.found.amount }
    return all.prefix(Places.mostShown).map { one in
      let amount = Double(held) * Double(one.found.amount) / Double(total)
      return
        #"{"amount":\#(Int64(amount.rounded())),"error":\#(Int64((amount / Double(one.found.points).squareRoot()).rounded())),"#
        + #""points":\#(one.found.points),"frames":\#(Report.array(one.frames.map(Report.object)))}"#
    }
  }

  /// Those that have grown since the mark, as JSON objects.
  static func grown(_ places: [Places], _ resource: Resource, _ names: Names) -> [String] {
    places.flatMap { $0.told(names) }.sorted { $0.grown > $1.grown }.prefix(mostShown).map { one in
      #"{"resource":"\#(resource.name)","pid":\#(one.pid),"comm":\#(jsonString(Procfs.stat(one.pid)?.comm ?? "?")),"#
        + #""amount":\#(one.grown),"points":\#(one.found.points),"frames":\#(Report.array(one.frames.map(Report.object)))}"#
    }
  }
}

extension Places.One {
  var grown: Int64 { found.amount - before }
}

extension Accounting {
  func places(_ resource: Resource, of pid: Int32) -> Places {
    let found = resource == .numfile ? watched(since: 0) : obtained.found[resource] ?? [:]
    return Places(found: found.filter { $0.key.pid == pid })
  }

  /// What has grown since the mark: by row as counted, by place as sampled. nil when there is no
  /// mark.
  func grownSinceMark() -> Told? {
    guard let mark = obtained.mark else { return nil }
    let now = heldNow()
    let rows = Resource.shown.compactMap { r -> String? in
      guard let after = now[r], after != mark.held[r] ?? 0 else { return nil }
      return #"{"resource":"\#(r.name)","before":\#(mark.held[r] ?? 0),"after":\#(after)}"#
    }
    let places = Resource.shown.map { r in
      (r, subtree.map { $0.placesSinceMark(r, at: mark.milliseconds) })
    }
    let milliseconds = Clock.milliseconds() - mark.milliseconds
    return Told(stacks: places.flatMap { $1.flatMap(\.stacks) }) { names in
      #"{"milliseconds":\#(milliseconds),"rows":\#(Report.array(rows)),"#
        + #""places":\#(Report.array(places.flatMap { Places.grown($1, $0, names) }))}"# + "\n"
    }
  }

  private func placesSinceMark(_ resource: Resource, at milliseconds: Int64) -> Places {
    resource == .numfile
      ? Places(found: watched(since: milliseconds))
      : Places(
        found: obtained.found[resource] ?? [:], before: obtained.atMark[resource] ?? [:])
  }
}
