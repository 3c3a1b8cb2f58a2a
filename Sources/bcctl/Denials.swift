import ArgumentParser
import Beancounters
import Command
import Witness

struct DenialsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "denials", abstract: "Who was refused what, and where in the program.")

  @Argument(help: "A name or an id.", completion: .beancounters)
  var name: String
  @OptionGroup var export: ExportOptions
  @OptionGroup var json: JSONOption
  @OptionGroup var server: ServerSocket

  func run() throws {
    let answer = try server.control().ask(["denials", name])
    if json.isOn { return try outputJSON(answer) }
    let denials = try Reply.read(answer, as: Reply.Denials.self).denials
    if export.isText {
      return try export.write(denials.flatMap(Denials.lines).map { $0 + "\n" }.joined())
    }
    try export.write(denials.map(Denials.holding), title: "denials of \(name)", unit: .items)
  }
}

/// Denials of one kind together, as in the end report, with the stack below.
enum Denials {
  /// For exports: below the process and the resource.
  static func holding(_ denial: Reply.Denial) -> Holding {
    (
      stack: (denial.frames ?? []).under("\(denial.comm)[\(denial.pid)]", denial.resource),
      amount: denial.count
    )
  }

  static func lines(_ denial: Reply.Denial) -> [String] {
    let amount = denial.amount > 1 ? ", \(denial.amount) at once" : ""
    let line =
      "  \(Display.visible(denial.resource)) x\(denial.count) (\(Display.visible(denial.errno))): "
      + "\(denial.report.who) \(denial.report.what)\(amount)\(denial.injected == true ? " injected" : "")"
    return [line] + (denial.frames ?? []).map { "    " + $0.text }
  }
}

extension Reply.Denial {
  /// As the report has it, to be shown as there.
  fileprivate var report: Report.Denial {
    .init(
      resource: .numfile, count: count, errno: errno, pid: pid, comm: comm, call: call,
      detail: detail ?? "",
      arguments: arguments ?? "", amount: amount, thread: thread, threadName: threadName ?? "")
  }
}

extension Reply.Frame {
  /// `cache_load cache.c:88`; without debugging information, `cache_load libcache.so+0x1000`.
  var text: String {
    var words = [Display.visible(function ?? "??")]
    if let file {
      words.append(Display.visible(basename(file)) + (line.map { ":\($0)" } ?? ""))
    } else if let module {
      words.append(
        Display.visible(basename(module)) + (offset.map { "+0x" + String($0, radix: 16) } ?? ""))
    }
    return words.joined(separator: " ")
  }

  private func basename(_ path: String) -> String {
    path.split(separator: "/").last.map(String.init) ?? path
  }
}
