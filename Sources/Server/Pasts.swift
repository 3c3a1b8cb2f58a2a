internal import Beancounters

/// What is remembered of a member by resource, outside of `Member`: a charge changes it in place.
/// Only rows that are charged have a place of their own, for a member is to cost the server little.
struct Pasts {
  private let rows: UnsafeMutablePointer<Member.Past>

  init() {
    rows = .allocate(capacity: Resource.chargedPlaces)
    rows.initialize(repeating: Member.Past(), count: Resource.chargedPlaces)
  }

  func end() {
    forgetCourses()
    rows.deallocate()
  }

  func row(_ resource: Resource) -> UnsafeMutablePointer<Member.Past> {
    rows + resource.chargedPlace
  }

  subscript(_ resource: Resource) -> Member.Past {
    _read { yield row(resource).pointee }
    nonmutating _modify { yield &row(resource).pointee }
  }

  func forgetCourses() {
    for place in 0..<Resource.chargedPlaces {
      rows[place].course?.deallocate()
      rows[place].course = nil
    }
  }
}
