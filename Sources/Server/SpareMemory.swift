internal import CLinux

/// What looks at many members needed for a moment goes back to the system, and what was theirs when
/// they have gone: malloc keeps it otherwise, and it would be as much as all that is known of them.
struct SpareMemory {
  private static let few = 64
  private static let interval = 1000.0  // milliseconds
  private var due = 0.0
  private var thereWereMany = false

  /// From the tick. Takes at most a two-hundredth of a processor.
  mutating func giveBack(members: Int) {
    if members > SpareMemory.few { thereWereMany = true }
    guard thereWereMany else { return }
    let now = Clock.precise()
    guard now >= due else { return }
    clinux_trim()
    due = now + max(SpareMemory.interval, 200 * (Clock.precise() - now))
    thereWereMany = members > SpareMemory.few
  }
}
