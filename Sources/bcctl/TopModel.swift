import Beancounters
import Command

/// What `bcctl top` shows and how keys change it: no terminal, no clock and no server in here.
struct TopModel {
  enum Sort: String, CaseIterable { case share, failcnt, name, resource }
  enum Style: Equatable { case plain, heading, low, high, over }

  struct Line: Equatable {
    var text: String
    var style = Style.plain
    var isSelected = false
  }

  /// A row of a beancounter.
  struct Entry {
    struct Identity: Hashable {
      let id: Int
      let resource: String
    }
    let identity: Identity
    let name: String
    let row: Reply.Row
  }

  private(set) var sort = Sort.share
  private(set) var isReversed = false
  private(set) var filter = ""
  private(set) var isEditing = false
  private(set) var entries: [Entry] = []
  private var beancounters = 0
  private var members = 0
  private var history: [Entry.Identity: [Int64]] = [:]
  private var selected: Entry.Identity?
  /// How many entries fit on the screen that was made last, which is how far a page goes.
  private var page = 10
  private let sparkline: Sparkline
  private let title: String

  private static let mostSamples = 240

  init(title: String, unicode: Bool) {
    self.title = title
    sparkline = Sparkline(unicode: unicode)
  }

  // MARK: What the server says

  /// Takes in what is held now. Rows that are neither bounded nor used are of no interest.
  mutating func update(_ all: [Reply.Beancounter]) {
    beancounters = all.count
    members = all.reduce(0) { $0 &+ $1.members }
    entries = all.flatMap { one in
      one.resources
        .filter { $0.bound != nil || $0.maxheld > 0 || $0.failcnt > 0 }
        .map { Entry(identity: .init(id: one.id, resource: $0.resource), name: one.name, row: $0) }
    }
    // What is gone is forgotten, or a server that makes many would fill the memory.
    var kept: [Entry.Identity: [Int64]] = [:]
    for entry in entries {
      kept[entry.identity] = ((history[entry.identity] ?? []) + [entry.row.held]).suffix(
        TopModel.mostSamples)
    }
    history = kept
  }

  /// The entries that pass the filter, in their order.
  var shown: [Entry] {
    let wanted = filter.lowercased()
    let passing = entries.filter {
      wanted.isEmpty || "\($0.name) \($0.row.resource)".lowercased().contains(wanted)
    }
    let order = { (a: Entry, b: Entry) -> Bool in
      switch sort {
      case .share where a.row.share != b.row.share: (a.row.share ?? -1) > (b.row.share ?? -1)
      case .failcnt where a.row.failcnt != b.row.failcnt: a.row.failcnt > b.row.failcnt
      case .name where a.name != b.name: a.name < b.name
      case .resource where a.row.resource != b.row.resource: a.row.resource < b.row.resource
      default: (a.identity.id, a.row.resource) < (b.identity.id, b.row.resource)
      }
    }
    let sorted = passing.sorted(by: order)
    return isReversed ? sorted.reversed() : sorted
  }

  // MARK: Keys

  /// Whether to go on.
  mutating func press(_ key: Key) -> Bool {
    if isEditing {
      edit(key)
      return true
    }
    switch key {
    case .character("q"), .character("Q"): return false
    case .character("s"), .right: turn(by: 1)
    case .left: turn(by: -1)
    case .character("r"): isReversed.toggle()
    case .character("/"): isEditing = true
    case .escape: filter = ""
    case .up, .character("k"): move(by: -1)
    case .down, .character("j"): move(by: 1)
    case .pageUp: move(by: -page)
    case .pageDown, .character(" "): move(by: page)
    case .home: move(by: -Int(Int32.max))
    case .end: move(by: Int(Int32.max))
    default: break
    }
    return true
  }

  private mutating func edit(_ key: Key) {
    switch key {
    case .enter: isEditing = false
    case .escape:
      filter = ""
      isEditing = false
    case .backspace: if !filter.isEmpty { filter.removeLast() }
    case .character(let one): if filter.count < 64 { filter.append(one) }
    default: break
    }
  }

  private mutating func turn(by step: Int) {
    let all = Sort.allCases
    let now = all.firstIndex(of: sort) ?? 0
    sort = all[(now + step + all.count) % all.count]
  }

  private mutating func move(by step: Int) {
    let shown = shown
    guard !shown.isEmpty else { return }
    let now = shown.firstIndex { $0.identity == selected } ?? 0
    selected = shown[min(shown.count - 1, max(0, now + step))].identity
  }

  // MARK: The screen

  /// Exactly as many lines as fit, none wider than the screen: a title, headings, entries, and the
  /// keys.
  mutating func screen(columns: Int, rows: Int, time: String) -> [Line] {
    let shown = shown
    page = max(1, rows - 3)
    let place = shown.firstIndex { $0.identity == selected } ?? 0
    let first = max(0, min(place - page / 2, shown.count - page))
    let visible = shown.dropFirst(first).prefix(page)
    let widest = min(24, max(4, shown.map { width(of: Display.visible($0.name)) }.max() ?? 4))

    var lines = [Line(text: heading(time, more: shown.count - visible.count))]
    lines.append(Line(text: cells(widest, headings, history: "HELD OVER TIME"), style: .heading))
    for (index, entry) in zip(visible.indices, visible) {
      let isSelected = selected != nil && index == place
      lines.append(
        Line(text: line(entry, widest, columns), style: style(entry.row), isSelected: isSelected))
    }
    while lines.count < rows - 1 { lines.append(Line(text: "")) }
    lines.append(Line(text: footing))
    for index in lines.indices { lines[index].text = clipped(lines[index].text, columns) }
    return Array(lines.prefix(max(0, rows)))
  }

  private func heading(_ time: String, more: Int) -> String {
    let order = "by \(sort.rawValue)\(isReversed ? ", reversed" : "")"
    return
      "\(time)  \(Display.plural(Int64(beancounters), "beancounter")), \(Display.plural(Int64(members), "member"))"
      + "  \(order)\(more > 0 ? "  \(more) more" : "")  \(Display.visible(title))"
  }

  private var footing: String {
    if isEditing { return "filter: \(Display.visible(filter))_   Enter: keep   Esc: clear" }
    let kept = filter.isEmpty ? "" : "filter: \(Display.visible(filter)) (Esc clears)   "
    return kept + "q quit   s sort   r reverse   / filter   arrows move"
  }

  private var headings: [String] {
    ["NAME", "RESOURCE", "HELD", "MAXHELD", "BARRIER", "LIMIT", "SHARE", "FAILCNT", "STATUS"]
  }

  private func line(_ entry: Entry, _ widest: Int, _ columns: Int) -> String {
    let row = entry.row
    let unit = row.unit.own
    func bound(_ amount: Int64?) -> String { Display.human(amount ?? Bounds.unlimited, unit) }
    let left = cells(
      widest,
      [
        clipped(Display.visible(entry.name), widest), Display.visible(row.resource),
        Display.human(row.held, unit),
        Display.human(row.maxheld, unit), bound(row.barrier), bound(row.limit), share(row),
        String(row.failcnt),
        row.status,
      ], history: "")
    let room = min(60, columns - width(of: left))
    return left + sparkline.text(history[entry.identity] ?? [], full: row.bound, columns: room)
  }

  private func cells(_ widest: Int, _ texts: [String], history: String) -> String {
    let widths = [widest, 12, 9, 9, 9, 9, 6, 8, 8]
    let cells = zip(texts, widths).enumerated().map { index, cell in
      index < 2 || index == 8 ? filled(cell.0, cell.1) : blanks(cell.1 - width(of: cell.0)) + cell.0
    }
    return cells.joined(separator: " ") + "  " + history
  }

  private func share(_ row: Reply.Row) -> String {
    guard let share = row.share else { return "-" }
    return share < 10 ? "\(Int((share * 100).rounded()))%" : ">999%"
  }

  private func style(_ row: Reply.Row) -> Style {
    guard let share = row.share else { return .plain }
    return share >= 0.9 ? .over : share >= 0.7 ? .high : .low
  }
}
