import Beancounters
package import Witness
private import CLinux

extension Report {
  /// The most lines of text without -v.
  static let mostLines = 20
  /// The most frames of a denial.
  static let mostFrames = 4

  /// The report for people: a line on how COMMAND ended, a table, and what went wrong. Ends with a
  /// newline. Without `verbose`, at most 20 lines and only the rows with a bound, a denial or any
  /// use; of those that are only seen, the use of physpages alone. `color` marks denials in red.
  public func text(verbose: Bool, color: Bool = false) -> String {
    var shown = Shown(rows: rows, denials: denials[...])
    if !verbose {
      shown.rows = rows.filter { row in
        let matters = Resource.charged.contains(row.resource) || row.resource == .physpages
        return !row.bounds.isUnlimited || row.failcnt > 0 || row.maxheld > 0 && matters
      }
      shown.fit(Report.mostLines - 1 - (uncovered.isEmpty ? 0 : 1) - (remaining > 0 ? 1 : 0))
    }
    var lines = [headline]
    if !shown.rows.isEmpty {
      lines.append("  " + columns(["RESOURCE", "HELD", "MAXHELD", "BARRIER", "LIMIT", "FAILCNT"]))
    }
    lines += shown.rows.map { line(for: $0, color: color) }
    lines += shown.denials.map { red("  " + line(for: $0), color) }
    if !uncovered.isEmpty {
      lines.append("  uncovered: \(plural(uncovered.count, "process")) (\(list(verbose)))")
    }
    if remaining > 0 { lines.append("  still running: \(plural(remaining, "process"))") }
    if verbose {
      lines.append(
        "  server: \(plural(server.requests, "request")), \(plural(server.recalls, "recall")), "
          + "\(plural(server.recounts, "recount")), \(server.toSlow) to slow, \(server.toFast) to fast"
          + (server.reclaims == 0
            ? ""
            : ", \(plural(server.reclaimed, "page")) out in \(plural(server.reclaims, "reclaim"))")
      )
    }
    if shown.hidden > 0 { lines.append("  … \(shown.hidden) more (-v shows all)") }
    return lines.joined(separator: "\n") + "\n"
  }

  /// Rows and denials, without what matters least where there are too many lines.
  private struct Shown {
    var rows: [Row]
    var denials: ArraySlice<Denial>
    var hidden = 0

    /// Leaves out rows of which nothing was used, then the last denials, then rows that nothing was
    /// refused of, until at most `most` lines are left, one for the number of those that are not
    /// among them.
    mutating func fit(_ most: Int) {
      func excess() -> Int {
        (rows.isEmpty ? 0 : 1) + rows.count + denials.count + (hidden > 0 ? 1 : 0) - most
      }
      func leaveOut(_ isIdle: (Row) -> Bool) {
        while excess() > 0, let last = rows.lastIndex(where: isIdle) {
          rows.remove(at: last)
          hidden += 1
        }
      }
      leaveOut { $0.failcnt == 0 && $0.maxheld == 0 }
      while excess() > 0, denials.count > 1 {
        denials.removeLast()
        hidden += 1
      }
      leaveOut { $0.failcnt == 0 }
    }
  }

  private var headline: String {
    let end =
      if let signal = exit.signal { "killed by \(signalName(signal))" } else {
        "exited \(exit.code ?? 0)"
      }
    return "bcrun: \(visible(name)) \(end) after \(tenths(seconds)) s; "
      + (denied == 0 ? "no denials" : plural(denied, "denial"))
      + (injected == 0 ? "" : ", \(injected) injected")
  }

  /// Injected ones apart: they are not the program's doing.
  var denied: Int64 { sum(denials.filter { !$0.injected }) }
  var injected: Int64 { sum(denials.filter(\.injected)) }

  /// Saturating, as all sums of counters that came from elsewhere.
  private func sum(_ denials: [Denial]) -> Int64 {
    denials.reduce(0) { sum, denial in
      let (total, overflow) = sum.addingReportingOverflow(denial.count)
      return overflow ? .max : total
    }
  }

  private func line(for row: Row, color: Bool) -> String {
    let unit = row.resource.unit
    var line =
      "  "
      + columns([
        row.resource.name, human(row.held, unit), human(row.maxheld, unit),
        human(row.bounds.barrier, unit),
        human(row.bounds.limit, unit), String(row.failcnt),
      ])
    if row.status != "exact" { line += "  \(visible(row.status))" }
    if row.failcnt > 0 { line += "  " + red("<- denied", color) }
    return line
  }

  private func line(for denial: Denial) -> String {
    "denied \(denial.resource.name) x\(denial.count) (\(visible(denial.errno))): "
      + denial.who + " " + denial.what + (denial.injected ? " injected" : "")
      + (denial.frames.isEmpty
        ? ""
        : "  " + denial.frames.own.prefix(Report.mostFrames).map(\.brief).joined(separator: " < "))
  }

  /// `busybox: static, foo: setuid x3`: equal ones together, and three of them without -v.
  private func list(_ verbose: Bool) -> String {
    var kinds: [(name: String, count: Int)] = []
    for process in uncovered {
      let name = "\(visible(basename(process.executable))): \(visible(process.reason))"
      if let known = kinds.firstIndex(where: { $0.name == name }) {
        kinds[known].count += 1
      } else {
        kinds.append((name, 1))
      }
    }
    let shown = kinds.prefix(verbose ? kinds.count : 3).map {
      $0.count > 1 ? "\($0.name) x\($0.count)" : $0.name
    }
    return (shown + (shown.count < kinds.count ? ["…"] : [])).joined(separator: ", ")
  }
}

extension Report.Denial {
  /// `worker[4711]`; `worker[4711/4713 io-1]` for another thread than the main one.
  package var who: String {
    let other =
      thread == pid
      ? ""
      : "/\(thread)" + (threadName.isEmpty || threadName == comm ? "" : " \(visible(threadName))")
    return "\(visible(comm))[\(pid)\(other)]"
  }

  /// `open("/etc/passwd")`, `mmap(NULL, 1048576)`.
  package var what: String {
    "\(visible(call))(\(detail.isEmpty ? visible(arguments) : quoted(detail)))"
  }
}

extension [Frame] {
  /// Without what a C library calls main and threads with, and what Rust's own library does for a
  /// program, where something else is known.
  package var own: ArraySlice<Frame> {
    let outer: Set = ["_start", "start_thread", "clone", "clone3", "__clone3", "__clone"]
    let last = lastIndex { frame in
      guard let name = frame.function else { return true }
      return !outer.contains(name) && !name.hasPrefix("__libc_start")
    }
    let within = last.map { self[...$0] } ?? self[...]
    // Where a language's own library calls the system for a program, it is some ten frames deep.
    let first = within.firstIndex { !$0.isOfStandardLibrary } ?? startIndex
    return within[first...]
  }
}

extension Frame {
  /// Of Rust: its sources are known by the paths that they were compiled under.
  fileprivate var isOfStandardLibrary: Bool {
    guard let file else { return false }
    return file.hasPrefix("/rustc/") || file.hasPrefix("library/std/")
      || file.hasPrefix("library/core/") || file.hasPrefix("library/alloc/")
  }

  /// `cache_load cache.c:88`; without debug information `cache_load libcache.so+0x1000`, or that
  /// alone.
  package var brief: String {
    let most = 60  // a name of C++ can fill a screen
    let name = visible(function ?? "")
    let words = name.count > most ? name.prefix(most - 1) + "…" : name[...]
    if let file { return "\(words) \(visible(basename(file)))\(line.map { ":\($0)" } ?? "")" }
    let place = module.map { "\(visible(basename($0)))+0x\(String(offset, radix: 16))" }
    let known = [words.isEmpty ? nil : String(words), place].compactMap { $0 }
    return known.isEmpty ? "[unknown]" : known.joined(separator: " ")
  }
}

/// `SIGKILL`; a real-time signal has no name of its own.
func signalName(_ signal: Int32) -> String {
  guard let name = sigabbrev_np(signal) else { return "signal \(signal)" }
  return "SIG" + String(cString: name)
}

/// An amount as the table shows it: items as they are, pages and bytes as sizes, no bound as `-`.
func human(_ amount: Int64, _ unit: Resource.Unit) -> String {
  if amount == Bounds.unlimited { return "-" }
  if unit == .items || amount == 0 { return String(amount) }
  var size = Double(amount) * (unit == .pages ? Double(Amount.pageSize) : 1)
  if abs(size) < 1024 { return String(amount) }
  var suffix = "K"
  size /= 1024
  // 1023.95 would be rounded to 1024.0.
  for next in ["M", "G", "T"] where abs(size) >= 1023.95 {
    suffix = next
    size /= 1024
  }
  return tenths(size) + suffix
}

/// `12.4`: one digit after the point, always.
func tenths(_ value: Double) -> String {
  guard let scaled = Int64(exactly: (value * 10).rounded()) else { return "?" }
  let (whole, tenth) = scaled.magnitude.quotientAndRemainder(dividingBy: 10)
  return "\(scaled < 0 ? "-" : "")\(whole).\(tenth)"
}

private func columns(_ cells: [String]) -> String {
  let widths = [12, 8, 10, 10, 10, 10]
  return zip(cells, widths).enumerated().map { index, cell in
    let gap = String(repeating: " ", count: max(0, cell.1 - cell.0.count))
    if index == 0 { return cell.0 + gap }
    // A value that fills its column keeps apart from its neighbour.
    return (gap.isEmpty ? " " : gap) + cell.0
  }.joined()
}

private func plural(_ count: some BinaryInteger, _ word: String) -> String {
  count == 1 ? "1 \(word)" : "\(count) \(word)\(word.hasSuffix("s") ? "es" : "s")"
}

private func basename(_ path: String) -> String {
  path.split(separator: "/").last.map(String.init) ?? path
}

private func red(_ text: String, _ color: Bool) -> String {
  color ? "\u{1b}[31m\(text)\u{1b}[0m" : text
}
