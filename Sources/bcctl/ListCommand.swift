import ArgumentParser
import Command

struct ListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "All beancounters, one a line.",
    discussion: """
      Fields: \(Field.accepted). RES is what is held, and .m maxheld, .b barrier, .l limit, .f failcnt, .s status, in the \
      resource's own unit (items, pages or bytes), or as sizes with --human.

      Example: bcctl list -o name,numfile,numfile.b,numfile.f -s -numfile.f
      """)

  @Option(
    name: [.short, .customLong("output")], help: ArgumentHelp("The columns.", valueName: "fields"))
  var output = "id,name,members,numproc,numfile,privvmpages"
  @Option(
    name: [.short, .customLong("sort")], parsing: .unconditional,
    help: ArgumentHelp("Sort by a field; -field for the greatest first.", valueName: "field"))
  var sort = "id"
  @Flag(name: [.customShort("H"), .customLong("no-header")], help: "No heading.")
  var noHeader = false
  @Flag(help: "Amounts of pages and bytes as sizes.")
  var human = false
  @OptionGroup var json: JSONOption
  @OptionGroup var server: ServerSocket

  func run() throws {
    let fields = try Field.list(output)
    let order = try Order(sort)
    let answer = try server.control().ask(["list"])
    if json.isOn { return try outputJSON(answer) }
    let all: Reply.List = try Reply.read(answer)
    let lines = table(order.sorted(all.beancounters), fields).lines(heading: !noHeader)
    try bcctl.output(lines.map { $0 + "\n" }.joined())
  }

  private func table(_ all: [Reply.Beancounter], _ fields: [Field]) -> Table {
    Table(
      columns: fields.map { ($0.heading, $0.side) },
      rows: all.map { one in fields.map { $0.cell(of: one, human: human) } })
  }
}
