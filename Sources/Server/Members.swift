/// The members of a beancounter by process id. Each has a place of its own that does not move: a table
/// that holds them in itself has room for half as many again, and is copied whole when one of them
/// changes while somebody goes over all.
struct Members {
  private final class Place {
    var member: Member?
    init(_ member: Member) { self.member = member }
  }

  private var places: [Int32: Place] = [:]

  var count: Int { places.count }
  var keys: some Sequence<Int32> { places.keys }
  /// Those there are now: each as it is when its turn comes, if it is there still.
  var values: some Sequence<Member> { places.values.lazy.compactMap(\.member) }

  subscript(pid: Int32) -> Member? {
    _read {
      if let place = places[pid] { yield place.member } else { yield nil }
    }
    _modify {
      if let place = places[pid] {
        defer { if place.member == nil { places[pid] = nil } }
        yield &place.member
      } else {
        var new: Member?
        defer { if let new { places[pid] = Place(new) } }
        yield &new
      }
    }
  }
}
