import Beancounters

/// What is so: who has how much of what, below which bounds. The reference that the ledger is held
/// against, so it is written to be seen to be right: nothing is remembered that can be added up,
/// and no word of the ledger is used but `Bounds`.
struct Facts {
  struct Beancounter {
    let parent: Int?
    var isThere = true
    var bounds = [Bounds(), Bounds()]  // by row
    var guarantee = Bounds.unlimited  // the barrier of vmguarpages
    var failcnt: [Int64] = [0, 0]
    var maxheld: [Int64] = [0, 0]
    /// What members that have died left behind.
    var left: [Int64] = [0, 0]
    /// Some member has written words of its own: what was held then is known to nobody.
    var wasMisled = [false, false]
  }
  struct Member {
    var beancounter: Int
    var has: [Int64] = [0, 0]
    /// It has made itself credit, and was not counted since: it may hold more than it was granted.
    var lies = [false, false]
  }

  var beancounters: [Beancounter]
  var members: [Member] = []

  init(root: [Bounds]) {
    beancounters = [Beancounter(parent: nil)]
    beancounters[0].bounds = root
  }

  func isBelow(_ one: Int, _ above: Int) -> Bool {
    var next: Int? = one
    while let here = next {
      if here == above { return true }
      next = beancounters[here].parent
    }
    return false
  }

  /// From leaf to root.
  func upwards(from one: Int) -> [Int] {
    var all = [one]
    while let parent = beancounters[all[all.count - 1]].parent { all.append(parent) }
    return all
  }

  func held(_ one: Int, _ row: Int) -> Int64 {
    var sum: Int64 = 0
    for member in members where isBelow(member.beancounter, one) { sum += member.has[row] }
    for i in beancounters.indices where isBelow(i, one) { sum += beancounters[i].left[row] }
    return sum
  }

  func isMisled(_ one: Int, _ row: Int) -> Bool {
    for member in members where member.lies[row] && isBelow(member.beancounter, one) { return true }
    return false
  }

  /// The most that may be held after a charge: HARD looks at the barrier and the limit, SOFT at the
  /// limit, FORCE at nothing. What is guaranteed is not refused.
  func most(_ one: Int, _ row: Int, _ severity: Severity) -> Int64 {
    let here = beancounters[one]
    var most: Int64
    switch severity {
    case .hard:
      most =
        here.bounds[row].barrier < here.bounds[row].limit
        ? here.bounds[row].barrier : here.bounds[row].limit
    case .soft: most = here.bounds[row].limit
    case .force: most = Bounds.unlimited
    }
    if row == Row.memory.rawValue, here.guarantee != Bounds.unlimited, here.guarantee > most {
      most = here.guarantee
    }
    return most
  }

  func fits(_ one: Int, _ row: Int, _ n: Int64, _ severity: Severity) -> Bool {
    if severity == .force { return true }
    let most = most(one, row, severity)
    // Where there is no bound, sums must have a number still.
    return most == Bounds.unlimited ? held(one, row) < 1 << 62 : held(one, row) + n <= most
  }

  /// The lowest beancounter that refuses the charge; nil: it fits.
  func refuses(_ member: Int, _ row: Int, _ n: Int64, _ severity: Severity) -> Int? {
    upwards(from: members[member].beancounter).first { !fits($0, row, n, severity) }
  }

  mutating func obtained(_ member: Int, _ row: Int, _ n: Int64) {
    members[member].has[row] += n
    noteMaxima(from: members[member].beancounter, row)
  }

  mutating func noteMaxima(from one: Int, _ row: Int) {
    for level in upwards(from: one) {
      let held = held(level, row)
      if held > beancounters[level].maxheld[row] { beancounters[level].maxheld[row] = held }
    }
  }
}
