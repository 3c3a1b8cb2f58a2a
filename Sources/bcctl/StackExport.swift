import ArgumentParser
import Beancounters
import Command
import FoundationEssentials
import Glibc
import Witness

/// `--format` and `-o`, for commands that can print stacks for other tools.
struct ExportOptions: ParsableArguments {
  enum Format: String, ExpressibleByArgument, CaseIterable { case text, folded, pprof, html }

  @Option(
    help:
      "text; folded stacks (flamegraph.pl, speedscope), a pprof profile, or a flame graph as one HTML page."
  )
  var format = Format.text
  @Option(
    name: .shortAndLong, help: ArgumentHelp("Write to a file instead.", valueName: "file"),
    completion: .file())
  var output: String?

  var isText: Bool { format == .text }

  /// Writes what the command prints as text.
  func write(_ text: String) throws { try write(Array(text.utf8)) }

  /// Writes stacks in the format asked for. `unit` is what amounts are: `items`, `pages` or
  /// `bytes`.
  func write(_ holdings: [Holding], title: String, unit: Resource.Unit) throws {
    // pages are no unit that other tools know.
    let scaled = holdings.map {
      (stack: $0.stack, amount: unit == .pages ? $0.amount &* 4096 : $0.amount)
    }
    switch format {
    case .text, .folded: try write(Folded.text(scaled))
    case .html:
      try write(FlameGraph.page(scaled, title: title, unit: unit == .items ? "items" : "bytes"))
    case .pprof:
      let type = String(title.split(separator: " ").first ?? "held")
      try write(
        Pprof.profile(
          scaled, type: type, unit: unit == .items ? "count" : "bytes",
          time: Int64(Date().timeIntervalSince1970 * 1e9)))
    }
  }

  private func write(_ bytes: [UInt8]) throws {
    guard let path = output else {
      guard format != .pprof || isatty(1) == 0 else {
        throw Refused("a pprof profile is not for a terminal; give -o FILE")
      }
      return try bcctl.output(bytes)
    }
    let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    guard file >= 0 else {
      throw Refused(
        "-o \(path): \(String(cString: strerror(errno))); give a file that can be written")
    }
    defer { close(file) }
    try bcctl.write(bytes, to: file)
  }
}

extension Reply.Frame {
  var frame: Frame {
    Frame(
      function: function, file: file, line: line, module: module,
      offset: UInt64(bitPattern: offset ?? 0),
      inlined: inlined ?? false, guessed: guessed ?? false)
  }
}

extension [Reply.Frame] {
  /// Innermost first, on one line: `cache_load cache.c:88 < main main.c:20`.
  var line: String {
    let most = 8
    let own = map(\.frame).own
    if own.isEmpty { return "[unknown]" }
    return own.prefix(most).map(\.brief).joined(separator: " < ") + (own.count > most ? " < …" : "")
  }

  /// With the process, or another heading, as outermost.
  func under(_ headings: String...) -> [Frame] {
    map(\.frame) + headings.map { Frame(function: $0) }
  }
}
