package import Beancounters

/// How tables and messages of the programs show what came from elsewhere.
package enum Display {
  /// `text` with every character that could move a terminal's cursor or end the line made visible.
  package static func visible(_ text: String) -> String { Command.visible(text) }

  /// `visible`, in double quotes.
  package static func quoted(_ text: String) -> String { Command.quoted(text) }

  /// An amount for people: items as they are, pages and bytes as sizes, no bound as `-`.
  package static func human(_ amount: Int64, _ unit: Resource.Unit) -> String {
    Command.human(amount, unit)
  }

  /// The candidate that `word` is most likely a slip for; nil when none is near.
  package static func nearest(to word: String, among candidates: [String]) -> String? {
    Command.nearest(to: word, among: candidates)
  }

  /// `1 request`, `3 requests`, `2 processes`.
  package static func plural(_ count: Int64, _ word: String) -> String {
    count == 1 ? "1 \(word)" : "\(count) \(word)\(word.hasSuffix("s") ? "es" : "s")"
  }
}
