import ArgumentParser
import Glibc

struct TopCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "top", abstract: "A live view of all beancounters, the fullest first.",
    discussion: """
      Keys: q quits, s or the right and left arrows choose the order, r reverses it, / filters by name and resource, the \
      up and down arrows move. A row is green, yellow from 70 % and red from 90 % of its barrier. NO_COLOR is respected.
      """)

  @OptionGroup var server: ServerSocket

  private static let period = 1.0

  func run() throws {
    var control = try server.control()
    control.patience = 5
    // Before the screen is taken: a server that is not there is said where people will still see
    // it.
    let first: Reply.List = try Reply.read(control.ask(["list"]))
    let terminal = try Terminal(color: variable("NO_COLOR").isEmpty)
    defer { terminal.restore() }
    try terminal.take()
    var model = TopModel(title: control.path, unicode: isUnicode)
    model.update(first.beancounters)
    try follow(control, &model, terminal)
  }

  private func follow(_ control: Control, _ model: inout TopModel, _ terminal: Terminal) throws {
    var keys = KeyReader()
    var due = seconds(CLOCK_MONOTONIC) + TopCommand.period
    while true {
      let size = terminal.size
      try terminal.show(model.screen(columns: size.columns, rows: size.rows, time: clock()))
      let left = due - seconds(CLOCK_MONOTONIC)
      // An escape that is followed by nothing for 50 ms is the key.
      let pause = keys.isWaiting ? min(left, 0.05) : left
      switch terminal.wait(milliseconds: Int32(max(0, pause) * 1000)) {
      case .bytes(let bytes):
        for key in keys.take(bytes) where !model.press(key) { return }
      case .signal(SIGTSTP): try terminal.stop()
      case .signal(SIGCONT): try terminal.take()
      case .signal(SIGWINCH): break
      case .signal(let signal): terminal.die(of: signal)
      case .hangup: terminal.die(of: SIGHUP)
      case .timeout: for key in keys.giveUp() where !model.press(key) { return }
      }
      if seconds(CLOCK_MONOTONIC) >= due {
        model.update(try Reply.read(control.ask(["list"]), as: Reply.List.self).beancounters)
        due = seconds(CLOCK_MONOTONIC) + TopCommand.period
      }
    }
  }

  /// Whether the terminal's encoding has block characters (POSIX: LC_ALL before LC_CTYPE before
  /// LANG).
  private var isUnicode: Bool {
    let name = ["LC_ALL", "LC_CTYPE", "LANG"].map(variable).first { !$0.isEmpty } ?? ""
    return ["utf-8", "utf8"].contains { name.lowercased().contains($0) }
  }

  private func variable(_ name: String) -> String { getenv(name).map { String(cString: $0) } ?? "" }

  private func seconds(_ clock: clockid_t) -> Double {
    var now = timespec()
    clock_gettime(clock, &now)
    return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
  }

  private func clock() -> String {
    var now = time(nil)
    var parts = tm()
    localtime_r(&now, &parts)
    func two(_ n: Int32) -> String { n < 10 ? "0\(n)" : "\(n)" }
    return "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))"
  }
}
