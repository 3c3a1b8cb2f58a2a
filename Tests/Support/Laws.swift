internal import Glibc

/// A law that broke, and how to see it again.
public struct BrokenLaw: CustomStringConvertible, Sendable {
  public let description: String
}

/// Runs of random steps, one for each seed, until a law breaks: then with the fewest of its steps
/// that still break one. `SEED=n` in the environment runs that seed alone. Of steps that name what
/// they act on by a number modulo how many there are, any may be left out.
public func firstBroken<Step>(
  _ seeds: Range<UInt64>, filter: String, steps: (inout Seeded) -> [Step], law: ([Step]) -> String?
) -> BrokenLaw? {
  let only = getenv("SEED").flatMap { UInt64(String(cString: $0)) }
  for seed in seeds where only == nil || only == seed {
    var random = Seeded(state: seed)
    let all = steps(&random)
    guard law(all) != nil else { continue }
    let least = shrink(all) { law($0) != nil }
    return BrokenLaw(
      description: """
        seed \(seed): \(law(least)!) after \(least.count) of \(all.count) steps:
        \(least.map { "  \($0)" }.joined(separator: "\n"))
        again: SEED=\(seed) swift test --filter \(filter)
        """)
  }
  return nil
}

/// Leaves out as many steps as it can while the rest is still broken: long stretches first.
public func shrink<Step>(_ steps: [Step], stillBroken: ([Step]) -> Bool) -> [Step] {
  var steps = steps
  var chunk = steps.count / 2
  while chunk > 0 {
    var at = 0
    while at < steps.count {
      let shorter = Array(steps[..<at] + steps[min(at + chunk, steps.count)...])
      if stillBroken(shorter) { steps = shorter } else { at += chunk }
    }
    chunk /= 2
  }
  return steps
}
