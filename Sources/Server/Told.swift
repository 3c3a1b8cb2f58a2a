internal import Command
internal import Witness

/// What is told as soon as the names in it have been read. All else in it is as it was when
/// somebody asked.
struct Told {
  var stacks: [(pid: Int32, frames: [Frame])]
  var text: (Names) -> String
}

extension Report {
  func told(_ names: Names) -> Report {
    var report = self
    report.denials = denials.told(names)
    return report
  }
}

extension [Report.Denial] {
  var stacks: [(pid: Int32, frames: [Frame])] { map { ($0.pid, $0.frames) } }

  /// With names, by which several stacks may be one place: it has the counts of all.
  func told(_ names: Names) -> [Report.Denial] {
    var told: [Report.Denial] = []
    var known: [Blame.Stack: Int] = [:]
    for var one in self {
      one.frames = names.stack(one.frames)
      let stack = Blame.Stack(Blame.Key(one), one.frames)
      if !one.frames.isEmpty, let i = known[stack] {
        told[i].count += one.count
        told[i].witnessed += one.witnessed
      } else {
        known[stack] = told.count
        told.append(one)
      }
    }
    return told
  }
}
