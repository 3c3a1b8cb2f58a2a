/// A frame as one line, and a stack as lines: between the worker and the server, and in the
/// server's state.
extension Frame {
  /// Function, file, line, module, offset, marks: with tabs between, empty where nothing is known.
  private var asLine: String {
    let marks = (inlined ? "i" : "") + (guessed ? "g" : "")
    return [
      function.map(Self.clean) ?? "", file.map(Self.clean) ?? "", line.map(String.init) ?? "",
      module.map(Self.clean) ?? "", String(offset), marks,
    ].joined(separator: "\t")
  }

  /// nil for what `text(of:)` did not write.
  init?(text: some StringProtocol) {
    let words = text.split(separator: "\t", omittingEmptySubsequences: false)
    guard words.count == 6, let offset = UInt64(words[4]) else { return nil }
    func word(_ i: Int) -> String? { words[i].isEmpty ? nil : String(words[i]) }
    self.init(
      function: word(0), file: word(1), line: Int(words[2]), module: word(3), offset: offset,
      inlined: words[5].contains("i"), guessed: words[5].contains("g"))
  }

  /// Names come from the program that was looked at: what is none of a line's is a blank, and no
  /// name is endless.
  private static func clean(_ name: String) -> String {
    String(name.prefix(512).map { $0 == "\t" || $0.isNewline ? " " : $0 })
  }

  public static func text(of stack: [Frame]) -> String {
    var text = ""
    for frame in stack where text.utf8.count < 96 << 10 { text += frame.asLine + "\n" }
    return text
  }

  public static func stack(_ text: some StringProtocol) -> [Frame] {
    text.split(separator: "\n").compactMap { Frame(text: $0) }
  }
}
