/// Amounts over time, as one line of text.
struct Sparkline {
  private let levels: [Character]

  /// Eight steps of block characters, or of ASCII where the terminal's encoding has no others.
  init(unicode: Bool) { levels = Array(unicode ? "▁▂▃▄▅▆▇█" : "_.:-=+*#") }

  /// The last `columns` of `values`, the newest to the right, scaled so that `full` is the highest
  /// step; without one, so that the greatest of them is.
  func text(_ values: [Int64], full: Int64?, columns: Int) -> String {
    let shown = values.suffix(max(0, columns))
    let most = full.flatMap { $0 > 0 ? $0 : nil } ?? max(1, shown.max() ?? 1)
    let cells = shown.map { value in
      let share = min(1, Double(max(0, value)) / Double(most))
      return levels[Int((share * Double(levels.count - 1)).rounded())]
    }
    return blanks(columns - cells.count) + String(cells)
  }
}
