/// Something in a configuration file that cannot be read: what was read, and what is accepted.
package struct Problem: Equatable, Sendable {
  /// Counted from 1; nil when it is about the whole file.
  package var line: Int?
  /// One line, safe to show on a terminal.
  package var message: String

  package init(line: Int? = nil, message: String) {
    self.line = line
    self.message = message
  }
}

/// A file that could not be read, with everything that is wrong with it: none of it counts.
package struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
  package var path: String
  package var problems: [Problem]

  init(_ path: String, _ problems: [Problem]) {
    self.path = path
    // Without a line first, then as in the file; each once.
    self.problems = problems.sorted { ($0.line ?? 0, $0.message) < ($1.line ?? 0, $1.message) }
  }

  /// `FILE:LINE: message`, one line for each problem.
  package var description: String { problems.map(located).joined(separator: "\n") }

  private func located(_ problem: Problem) -> String {
    let place = shown(path)
    return problem.line.map { "\(place):\($0): \(problem.message)" }
      ?? "\(place): \(problem.message)"
  }
}
