internal import Beancounters

/// What is remembered of a member by resource, outside of `Member`: a charge changes it in place.
/// Only rows that are charged have a place of their own, for a member is to cost the server little.
struct Pasts {
  private let rows: UnsafeMutablePointer<Member.Past>
  private static let places = 12

  init() {
    rows = .allocate(capacity: Pasts.places)
    rows.initialize(repeating: Member.Past(), count: Pasts.places)
  }

  func end() {
    rows.deinitialize(count: Pasts.places)
    rows.deallocate()
  }

  func row(_ resource: Resource) -> UnsafeMutablePointer<Member.Past> {
    rows + Pasts.place(resource)
  }

  subscript(_ resource: Resource) -> Member.Past {
    _read { yield row(resource).pointee }
    nonmutating _modify { yield &row(resource).pointee }
  }

  func forgetCourses() { for place in 0..<Pasts.places { rows[place].course = nil } }

  private static func place(_ resource: Resource) -> Int {
    switch resource {
    case .numfile: 0
    case .numtcpsock: 1
    case .numothersock: 2
    case .numpty: 3
    case .numinotify: 4
    case .numproc: 5
    case .numflock: 6
    case .numsiginfo: 7
    case .shmpages: 8
    case .lockedpages: 9
    case .privvmpages: 10
    default: 11
    }
  }
}
