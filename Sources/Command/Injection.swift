package import Beancounters

/// Charges that fail although there is room, so that a program's way out of a refusal can be tried:
/// `--fail`.
public enum Injection: Equatable, Sendable {
  /// The n-th charge, from 1, once.
  case nth(Int64)
  /// Each charge with a probability, 0 … 1; the same seed gives the same sequence.
  case chance(Double, seed: UInt64)
  /// The first charge from each place in the program: each distinct stack once.
  case eachStack
  /// None: only which charges are the first of their place is found out (`--torture-shallow`).
  case survey

  static let accepted =
    "RES@N (the N-th charge), RES%P:SEED (P percent of them), RES:stack (each place once)"

  /// `numfile@3`, `numfile%12.5:42`, `numfile:stack`; nil for anything else.
  package static func read(_ text: String) -> (resource: Resource, rule: Injection)? {
    guard let at = text.firstIndex(where: { "@%:".contains($0) }),
      let resource = Resource(name: text[..<at])
    else { return nil }
    let value = text[text.index(after: at)...]
    switch text[at] {
    case "@":
      guard let n = number(value), n > 0 else { return nil }
      return (resource, .nth(n))
    case "%":
      let parts = value.split(separator: ":", omittingEmptySubsequences: false)
      guard parts.count == 2, let percent = Double(parts[0]), percent > 0, percent <= 100,
        parts[0].allSatisfy({ $0.isNumber || $0 == "." }),
        let seed = number(parts[1])
      else { return nil }
      return (resource, .chance(percent / 100, seed: UInt64(seed)))
    default:
      return value == "stack"
        ? (resource, .eachStack) : value == "survey" ? (resource, .survey) : nil
    }
  }

  private static func number(_ text: some StringProtocol) -> Int64? {
    text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int64(text) : nil
  }

  /// As `read` reads it.
  package func text(_ resource: Resource) -> String {
    switch self {
    case .nth(let n): "\(resource.name)@\(n)"
    case .chance(let chance, let seed): "\(resource.name)%\(chance * 100):\(seed)"
    case .eachStack: "\(resource.name):stack"
    case .survey: "\(resource.name):survey"
    }
  }
}
