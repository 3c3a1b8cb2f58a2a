import Testing

@testable import bcctl

@Suite struct Keys {
  private func keys(_ text: String) -> [Key] {
    var reader = KeyReader()
    return reader.take(text.utf8)
  }

  @Test func sequences() {
    #expect(
      keys("q/é日👍") == [
        .character("q"), .character("/"), .character("é"), .character("日"), .character("👍"),
      ])
    #expect(keys("\u{1b}[A\u{1b}[B\u{1b}[C\u{1b}[D") == [.up, .down, .right, .left])
    #expect(keys("\u{1b}OA\u{1b}OF") == [.up, .end])
    #expect(
      keys("\u{1b}[5~\u{1b}[6~\u{1b}[1~\u{1b}[H\u{1b}[8~") == [
        .pageUp, .pageDown, .home, .home, .end,
      ])
    #expect(keys("\r\u{7f}\u{8}\n") == [.enter, .backspace, .backspace, .enter])
    #expect(keys("\u{1b}[1;5A") == [.up])
    #expect(keys("\u{1b}[15~x") == [.character("x")])
    #expect(keys("\u{1}\u{0}x") == [.character("x")])
    #expect(keys("\u{1b}x") == [.escape, .character("x")])
  }

  @Test("a sequence that comes in pieces is one key") func pieces() {
    var reader = KeyReader()
    func take(_ bytes: some Sequence<UInt8>) -> [Key] { reader.take(bytes) }
    for byte in "\u{1b}[6".utf8 {
      #expect(take([byte]) == [])
      #expect(reader.isWaiting)
    }
    #expect(take("~".utf8) == [.pageDown])
    #expect(!reader.isWaiting)
    #expect(take("日".utf8.prefix(2)) == [])
    #expect(take("日".utf8.suffix(1)) == [.character("日")])
  }

  @Test("an escape that stands alone is the key") func escape() {
    var reader = KeyReader()
    func take(_ bytes: some Sequence<UInt8>) -> [Key] { reader.take(bytes) }
    func giveUp() -> [Key] { reader.giveUp() }
    #expect(take([0x1b]) == [])
    #expect(giveUp() == [.escape])
    #expect(giveUp() == [])
    #expect(take("\u{1b}[".utf8) == [])
    #expect(giveUp() == [])
  }

  @Test("garbage neither blocks nor grows") func garbage() {
    var reader = KeyReader()
    for _ in 0..<2000 {
      _ = reader.take((0..<16).map { _ in UInt8.random(in: 0...255) })
      _ = reader.take("\u{1b}[".utf8)
      _ = reader.take([UInt8](repeating: 0x31, count: 40))
    }
    _ = reader.giveUp()
    let keys = reader.take("q".utf8)
    #expect(keys == [.character("q")])
  }
}

@Suite struct Sparklines {
  @Test func steps() {
    let line = Sparkline(unicode: true)
    #expect(line.text([0, 50, 100], full: 100, columns: 5) == "  ▁▅█")
    #expect(line.text([0, 50, 100, 200, -5], full: 100, columns: 3) == "██▁")
    #expect(line.text([5, 10], full: nil, columns: 2) == "▅█")
    #expect(line.text([0, 0], full: 0, columns: 2) == "▁▁")
    #expect(line.text([], full: nil, columns: 3) == "   ")
    #expect(line.text([1, 2], full: nil, columns: 0) == "")
    #expect(line.text([1, 2], full: nil, columns: -4) == "")
    #expect(line.text([.max], full: 1, columns: 1) == "█")
    #expect(Sparkline(unicode: false).text([0, 100], full: 100, columns: 2) == "_#")
  }
}

/// Presses keys after which top goes on.
private func press(_ model: inout TopModel, _ keys: Key..., here: SourceLocation = #_sourceLocation)
{
  for key in keys {
    let goesOn = model.press(key)
    #expect(goesOn, sourceLocation: here)
  }
}

@Suite struct TopModels {
  private func model(_ all: [Reply.Beancounter]) -> TopModel {
    var model = TopModel(title: "/s", unicode: true)
    model.update(all)
    return model
  }

  private let three = [
    beancounter(
      1, "web", members: 2,
      [row("numfile", held: 50, maxheld: 60, barrier: 100, failcnt: 1), row("numpty")]),
    beancounter(
      2, "db", members: 1,
      [row("numfile", held: 95, maxheld: 95, barrier: 100), row("numproc", held: 3, maxheld: 3)]),
    beancounter(3, "mail", [row("numproc", held: 80, maxheld: 80, barrier: 100, failcnt: 9)]),
  ]

  private func order(_ model: TopModel) -> [String] {
    model.shown.map { "\($0.name) \($0.row.resource)" }
  }

  @Test("the fullest first; what is neither bounded nor used is left out") func orders() {
    var model = model(three)
    #expect(order(model) == ["db numfile", "mail numproc", "web numfile", "db numproc"])
    press(&model, .character("s"))
    #expect(order(model) == ["mail numproc", "web numfile", "db numfile", "db numproc"])
    press(&model, .right)
    #expect(order(model) == ["db numfile", "db numproc", "mail numproc", "web numfile"])
    press(&model, .character("s"))
    #expect(order(model) == ["web numfile", "db numfile", "db numproc", "mail numproc"])
    press(&model, .left, .left, .left)
    #expect(model.sort == .share)
    press(&model, .character("r"))
    #expect(order(model) == ["db numproc", "web numfile", "mail numproc", "db numfile"])
    let goesOn = model.press(.character("q"))
    #expect(!goesOn)
  }

  @Test func filters() {
    var model = model(three)
    for key in "/DB num".map(Key.character) { press(&model, key) }
    #expect(model.isEditing)
    #expect(order(model) == ["db numfile", "db numproc"])
    press(&model, .character("q"))  // part of the text, not the end
    #expect(order(model) == [])
    press(&model, .backspace, .enter)
    #expect(!model.isEditing && model.filter == "DB num")
    #expect(order(model).count == 2)
    press(&model, .escape)
    #expect(model.filter == "" && order(model).count == 4)
    press(&model, .character("/"), .backspace, .character("x"), .escape)
    #expect(!model.isEditing && model.filter == "")
  }

  @Test(
    "as many lines as fit, none too wide",
    arguments: [(80, 24), (120, 6), (40, 10), (10, 3), (1, 1), (0, 0), (200, 2)])
  func size(columns: Int, rows: Int) {
    var model = model(
      three + [beancounter(9, "日本語日本語日本語日本語日本語", [row("numfile", held: 1, maxheld: 1)])])
    let lines = model.screen(columns: columns, rows: rows, time: "07:00:00")
    #expect(lines.count == rows || rows < 3 && lines.count <= rows)
    #expect(lines.allSatisfy { width(of: $0.text) <= columns })
  }

  @Test func screen() {
    var model = model(three)
    model.update(three)
    let lines = model.screen(columns: 100, rows: 8, time: "07:00:00")
    #expect(
      lines.map { $0.text } == [
        "07:00:00  3 beancounters, 3 members  by share  /s",
        "NAME RESOURCE          HELD   MAXHELD   BARRIER     LIMIT  SHARE  FAILCNT STATUS    HELD OVER TIME",
        "db   numfile             95        95       100         -    95%        0 exact"
          + blanks(19) + "██",
        "mail numproc             80        80       100         -    80%        9 exact"
          + blanks(19) + "▇▇",
        "web  numfile             50        60       100         -    50%        1 exact"
          + blanks(19) + "▅▅",
        "db   numproc              3         3         -         -      -        0 exact"
          + blanks(19) + "██",
        "",
        "q quit   s sort   r reverse   / filter   arrows move",
      ])
    #expect(lines.map(\.style) == [.plain, .heading, .over, .high, .low, .plain, .plain, .plain])
  }

  @Test("the selection stays with its row, and the screen follows it") func selection() {
    let many = (1...50).map {
      beancounter($0, "b\($0)", [row("numfile", held: Int64(100 - $0), maxheld: 99, barrier: 100)])
    }
    var model = model(many)
    func selected() -> String? {
      model.screen(columns: 100, rows: 13, time: "").first { $0.isSelected }?.text.split(
        separator: " "
      ).first.map(String.init)
    }
    #expect(selected() == nil)
    press(&model, .down)
    #expect(selected() == "b2")
    press(&model, .pageDown)
    #expect(selected() == "b12")
    press(&model, .end, .down)
    #expect(selected() == "b50")
    press(&model, .character("r"))
    #expect(selected() == "b50")
    press(&model, .character("r"), .home, .up)
    #expect(selected() == "b1")
    model.update(Array(many.dropFirst()))
    press(&model, .up)
    #expect(selected() == "b2")
  }

  @Test("names from elsewhere cannot draw") func hostile() {
    var model = model([beancounter(1, "a\u{1b}[2J\n", [row("numfile\u{7}", held: 1, maxheld: 1)])])
    for key in ["/", "\u{9b}"].map({ Key.character($0) }) { _ = model.press(key) }
    let text = model.screen(columns: 100, rows: 8, time: "").map(\.text).joined()
    #expect(!text.unicodeScalars.contains { $0.value < 0x20 || (0x7f..<0xa0).contains($0.value) })
  }

  @Test("what is gone is forgotten") func history() {
    var model = model(three)
    model.update([])
    model.update(three)
    let line = model.screen(columns: 100, rows: 8, time: "")[2].text
    #expect(line.hasSuffix(" █"))
  }
}
