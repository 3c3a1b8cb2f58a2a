public import Beancounters

/// One of the runs of `--torture`.
public enum TortureRound: Equatable, Sendable {
  /// The N-th charge fails, of the one resource that is tortured where none is named.
  case charge(Resource?, Int64)
  /// None fails: what COMMAND does by itself.
  case calm
  /// None fails either, and the report says which charges are the first of their place.
  case survey(Resource)

  static let accepted =
    "RES@N (the N-th charge of RES fails), N where --torture names one resource, or 0 (none fails)"

  /// What can be tortured: every row that calls are charged to.
  static let resources = Resource.enforced.filter {
    ![.physpages, .vmguarpages, .oomguarpages].contains($0)
  }

  /// `all`, or names with commas between.
  static func read(resources text: String) -> [Resource]? {
    if text == "all" { return resources }
    var found: [Resource] = []
    for name in text.split(separator: ",", omittingEmptySubsequences: false) {
      guard let one = Resource(name: name), resources.contains(one), !found.contains(one) else {
        return nil
      }
      found.append(one)
    }
    return found
  }

  static func read(_ text: String) -> TortureRound? {
    if text == "0" { return .calm }
    switch Injection.read(text) {
    case (let resource, .nth(let n))? where resources.contains(resource):
      return .charge(resource, n)
    case (let resource, .survey)? where resources.contains(resource): return .survey(resource)
    case nil where text.utf8.allSatisfy { (0x30...0x39).contains($0) }:
      return Int64(text).flatMap { $0 > 0 ? .charge(nil, $0) : nil }
    default: return nil
    }
  }

  /// As `read` reads it.
  public var text: String {
    switch self {
    case .charge(let resource, let n): (resource.map { $0.name + "@" } ?? "") + String(n)
    case .calm: "0"
    case .survey(let resource): resource.name + ":survey"
    }
  }

  func rule(_ tortured: [Resource]) -> (Resource, Injection)? {
    switch self {
    case .charge(let resource, let n): (resource ?? tortured.first).map { ($0, .nth(n)) }
    case .calm: nil
    case .survey(let resource): (resource, .survey)
    }
  }
}
