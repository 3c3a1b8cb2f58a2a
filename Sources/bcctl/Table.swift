import Command

/// Lines of cells under headings, as wide as they must be.
struct Table {
  enum Side { case left, right }

  var columns: [(heading: String, side: Side)]
  var rows: [[String]] = []
  var indent = ""

  /// The lines; the last column is not filled up with blanks, and cells are made visible.
  func lines(heading: Bool = true) -> [String] {
    let cells = (heading ? [columns.map(\.heading)] : []) + rows.map { $0.map(Display.visible) }
    let widths = columns.indices.map { column in cells.map { width(of: $0[column]) }.max() ?? 0 }
    return cells.map { row in
      var line = indent
      for (index, cell) in row.enumerated() {
        if index > 0 { line += "  " }
        let last = index == row.count - 1
        switch columns[index].side {
        case .left: line += last ? cell : filled(cell, widths[index])
        case .right: line += blanks(widths[index] - width(of: cell)) + cell
        }
      }
      return line
    }
  }
}

func blanks(_ count: Int) -> String { String(repeating: " ", count: max(0, count)) }

func filled(_ text: String, _ columns: Int) -> String { text + blanks(columns - width(of: text)) }

/// The columns that `text` takes in a terminal: none for what combines, two for the wide scripts
/// and pictures (UAX #11).
func width(of text: String) -> Int {
  text.unicodeScalars.reduce(0) { $0 + width(of: $1) }
}

private func width(of scalar: Unicode.Scalar) -> Int {
  if scalar.value < 0x300 { return 1 }
  switch scalar.properties.generalCategory {
  case .nonspacingMark, .enclosingMark, .format: return 0
  default: break
  }
  switch scalar.value {
  case 0x1100...0x115f, 0x2e80...0x303e, 0x3041...0xa4cf, 0xac00...0xd7a3, 0xf900...0xfaff,
    0xfe30...0xfe6f,
    0xff00...0xff60, 0xffe0...0xffe6, 0x1f300...0x1f64f, 0x1f900...0x1f9ff, 0x20000...0x3fffd:
    return 2
  default: return 1
  }
}

/// As much of `text` as fits into `columns`.
func clipped(_ text: String, _ columns: Int) -> String {
  var used = 0
  var out = String.UnicodeScalarView()
  for scalar in text.unicodeScalars {
    used += width(of: scalar)
    if used > columns { break }
    out.append(scalar)
  }
  return String(out)
}
