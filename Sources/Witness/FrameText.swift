/// A frame as one line, and a stack as lines: between the worker and the server, and in the
/// server's state.
extension Frame {
  /// Function, file, line, module, offset, marks: with tabs between, empty where nothing is known;
  /// and the file that has the names, where they have not been read.
  private var asLine: String {
    let marks = (inlined ? "i" : "") + (guessed ? "g" : "")
    return [
      function.map(Self.clean) ?? "", file.map(Self.clean) ?? "", line.map(String.init) ?? "",
      module.map(Self.clean) ?? "", String(offset), marks,
    ].joined(separator: "\t") + (unread.map { "\t" + $0.text } ?? "")
  }

  /// nil for what `text(of:)` did not write.
  init?(text: some StringProtocol) {
    let words = text.split(separator: "\t", omittingEmptySubsequences: false)
    guard 6...7 ~= words.count, let offset = UInt64(words[4]) else { return nil }
    func word(_ i: Int) -> String? { words[i].isEmpty ? nil : String(words[i]) }
    self.init(
      function: word(0), file: word(1), line: Int(words[2]), module: word(3), offset: offset,
      inlined: words[5].contains("i"), guessed: words[5].contains("g"),
      unread: words.count > 6 ? FileIdentity(text: words[6]) : nil)
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

  /// What each of several frames is named: the functions at its address, innermost first. What was
  /// cut off is not among them.
  public static func named(_ text: some StringProtocol) -> [[Frame]] {
    var all: [[Frame]] = []
    var one: [Frame] = []
    for frame in stack(text) {
      one.append(frame)
      guard !frame.inlined else { continue }
      all.append(one)
      one = []
    }
    return all
  }

  public static func stack(_ text: some StringProtocol) -> [Frame] {
    text.split(separator: "\n").compactMap { Frame(text: $0) }
  }
}
