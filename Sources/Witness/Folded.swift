/// What was obtained where: a stack, innermost frame first, and how much of a resource was asked
/// for there.
public typealias Holding = (stack: [Frame], amount: Int64)

/// Folded stacks, as flamegraph.pl, speedscope and inferno read them.
public enum Folded {
  /// One line for each distinct stack, outermost frame first, sorted: `main;load;open 12`.
  ///
  /// A semicolon or line break in a name becomes a colon or blank; a stack of no frames is
  /// `[unknown]`; lines of amount 0 are left out.
  public static func text(_ holdings: [Holding]) -> String {
    var sums: [String: Int64] = [:]
    for (stack, amount) in holdings {
      let line =
        stack.isEmpty
        ? "[unknown]" : stack.reversed().map { clean($0.label) }.joined(separator: ";")
      sums[line, default: 0] &+= amount
    }
    return sums.filter { $0.value != 0 }.sorted { $0.key < $1.key }.map {
      "\($0.key) \($0.value)\n"
    }.joined()
  }

  private static func clean(_ name: String) -> String {
    String(name.map { $0 == ";" ? ":" : $0.isNewline ? " " : $0 })
  }
}
