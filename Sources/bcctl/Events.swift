import ArgumentParser
import Command

struct EventsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "events", abstract: "What happened, and with -f what happens.",
    discussion: """
      Events are denial, barrier (passed by a charge that may), over (new bounds are below what is held), join, leave, \
      created, removed, set and uncovered. With --json each is an object on a line of its own.
      """)

  @Flag(
    name: [.short, .long], help: "Go on as events come, until interrupted or until the server ends."
  )
  var follow = false
  @Argument(help: "A name or an id; without one, those of all.", completion: .beancounters)
  var name: String?
  @OptionGroup var json: JSONOption
  @OptionGroup var server: ServerSocket

  func run() throws {
    let control = try server.control()
    var lines = EventLines()
    func show(_ line: [UInt8]) throws {
      try Reply.check(line)
      if json.isOn { return try output(line + [UInt8(ascii: "\n")]) }
      try output(Reply.read(line, as: Reply.Event.self).line + "\n")
    }
    try control.follow([follow ? "events-follow" : "events"] + (name.map { [$0] } ?? [])) {
      packet in
      for line in lines.take(packet) { try show(line) }
    }
    for line in lines.rest() { try show(line) }
    if follow { throw Refused("the server at \(control.path) has ended") }
  }
}

/// Whole lines out of packets that may end anywhere.
struct EventLines {
  private var pending: [UInt8] = []

  mutating func take(_ packet: [UInt8]) -> [[UInt8]] {
    pending += packet
    guard let last = pending.lastIndex(of: newline) else { return [] }
    let lines = pending[..<last].split(separator: newline)
    pending = Array(pending[(last + 1)...])
    return lines.map(Array.init)
  }

  /// What came after the last newline.
  mutating func rest() -> [[UInt8]] {
    defer { pending = [] }
    return pending.isEmpty ? [] : [pending]
  }

  private var newline: UInt8 { UInt8(ascii: "\n") }
}

extension Reply.Event {
  var line: String {
    var words = [time, filled(Display.visible(beancounter), 12), filled(Display.visible(event), 9)]
    if let resource, !resource.isEmpty { words.append(Display.visible(resource)) }
    if let pid, pid > 0 { words.append("pid \(pid)") }
    if let text, !text.isEmpty { words.append(Display.visible(text)) }
    words[0] = Display.visible(time)
    return words.joined(separator: "  ")
  }
}
