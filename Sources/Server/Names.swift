internal import Witness

/// What sampled frames are called. To read names takes a hundred times as long as to unwind, and
/// most samples are of processes that nobody ever asks about: so they are read for whoever asks.
struct Names {
  fileprivate(set) var known: [Frame: [Frame]] = [:]

  /// A stack with names, inlined functions told apart; as it is, where they are not known.
  func stack(_ frames: [Frame]) -> [Frame] {
    frames.flatMap { frame in
      if let named = known[frame] { return named }
      var plain = frame
      plain.unread = nil
      return [plain]
    }
  }
}

/// Names that somebody waits for, read a few at a time: a worker's answer has a bound, and stacks
/// of those that are refused something come between.
struct Naming {
  typealias Wanted = (pid: Int32, frame: Frame)

  private static let mostAtOnce = 64

  private var left: ArraySlice<Wanted>
  private(set) var names = Names()
  let then: (Names) -> Void

  /// Each frame once, of whichever process it is.
  init(_ stacks: [(pid: Int32, frames: [Frame])], then: @escaping (Names) -> Void) {
    var seen: Set<Frame> = []
    var left: [Wanted] = []
    for (pid, frames) in stacks {
      for frame in frames where frame.unread != nil && seen.insert(frame).inserted {
        left.append((pid, frame))
      }
    }
    self.left = left[...]
    self.then = then
  }

  /// Frames of one process; nil when all have been asked about.
  var next: (pid: Int32, frames: [Frame])? {
    guard let pid = left.first?.pid else { return nil }
    return (pid, left.prefix { $0.pid == pid }.prefix(Naming.mostAtOnce).map(\.frame))
  }

  /// What came of `next`: perhaps not all of it, for a text has a bound. A frame that cannot be
  /// told at all has no name.
  mutating func take(_ text: String) {
    let asked = next?.frames ?? []
    let named = Frame.named(text).prefix(asked.count)
    for (frame, functions) in zip(asked, named) { names.known[frame] = functions }
    left = left.dropFirst(max(1, named.count))
  }
}
