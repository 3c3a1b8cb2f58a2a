import ArgumentParser
import Beancounters
import Command
import Witness

struct MarkCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mark", abstract: "Remember what is held now, for bcctl diff.")

  @Argument(help: "A name or an id.", completion: .beancounters)
  var name: String
  @OptionGroup var json: JSONOption
  @OptionGroup var server: ServerSocket

  func run() throws { try done(try server.control().ask(["mark", name]), json) }
}

struct DiffCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff", abstract: "What has grown since bcctl mark, and where it was obtained.",
    discussion: """
      Rows are counted. Places are sampled from the grants of bounded resources: a place that takes files all the time and gives \
      them back obtains little, one that leaks obtains all of what has leaked.
      """)

  @Argument(help: "A name or an id.", completion: .beancounters)
  var name: String
  @Argument(
    help: ArgumentHelp("One resource alone; needed for other formats than text.", valueName: "res"),
    completion: .resources)
  var resource: String?
  @OptionGroup var export: ExportOptions
  @OptionGroup var json: JSONOption
  @OptionGroup var server: ServerSocket

  func run() throws {
    let only = try resource.map(resourceName)
    guard export.isText || only != nil else {
      throw Refused(
        "\(export.format.rawValue): amounts of one resource only; give it, as in bcctl diff \(name) numfile"
      )
    }
    let answer = try server.control().ask(["diff", name])
    if json.isOn { return try outputJSON(answer) }
    var grown = try Reply.read(answer, as: Reply.Grown.self)
    if let only {
      grown.rows.removeAll { $0.resource != only.name }
      grown.places.removeAll { $0.resource != only.name }
    }
    if export.isText { return try export.write(Grown.lines(grown).map { $0 + "\n" }.joined()) }
    let unit = only?.unit ?? .items
    try export.write(
      grown.places.map(Grown.holding),
      title: "\(only?.name ?? "") obtained by \(name) since its mark", unit: unit)
  }
}

/// `numfile: 20 -> 60`, and below it the places that obtained it.
enum Grown {
  /// For exports: below its process.
  static func holding(_ place: Reply.Grown.Place) -> Holding {
    (stack: place.frames.under("\(place.comm)[\(place.pid)]"), amount: place.amount)
  }

  static func lines(_ grown: Reply.Grown) -> [String] {
    var names = grown.rows.map(\.resource)
    for place in grown.places where !names.contains(place.resource) { names.append(place.resource) }
    if names.isEmpty {
      return ["nothing has changed in \(tenths(Double(grown.milliseconds) / 1000)) s"]
    }
    return names.flatMap { name in
      let unit = Resource(name: name)?.unit ?? .items
      let row = grown.rows.first { $0.resource == name }
      let heading = row.map {
        "\(Display.visible(name)): \(Display.human($0.before, unit)) -> \(Display.human($0.after, unit))"
      }
      return [heading ?? "\(Display.visible(name)): as before"]
        + grown.places.filter { $0.resource == name }.map {
          "  about \(Display.human($0.amount, unit)) by \(Display.visible($0.comm))[\($0.pid)]  \($0.frames.line)"
        }
    }
  }

  private static func tenths(_ seconds: Double) -> String { String((seconds * 10).rounded() / 10) }
}
