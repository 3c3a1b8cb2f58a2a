import Beancounters
package import Witness

// The two formats for programs carry the same, in the same order; keys may be added at the end,
// none is renamed.

extension Report {
  /// The report as one JSON object on one line, ended by a newline. Amounts are in the resource's
  /// own unit, `null` is unlimited.
  public func json() -> String {
    let exit = #""exit":{"code":\#(orNull(exit.code)),"signal":\#(orNull(exit.signal))}"#
    let fields = [
      #""beancounter":{"id":\#(id),"name":\#(jsonString(name))}"#,
      #""command":\#(Report.array(command.map(jsonString)))"#,
      exit,
      #""seconds":\#(milliseconds(seconds))"#,
      #""resources":\#(Report.array(rows.map(Report.object)))"#,
      #""denials":\#(Report.array(denials.map(Report.object)))"#,
      #""uncovered":\#(Report.array(uncovered.map(Report.object)))"#,
      #""server":\#(Report.object(server))"#,
      #""remaining":\#(remaining)"#,
    ]
    return "{" + fields.joined(separator: ",") + "}\n"
  }

  package static func object(_ work: Work) -> String {
    #"{"requests":\#(work.requests),"recalls":\#(work.recalls),"recounts":\#(work.recounts),"#
      + #""switches":{"toSlow":\#(work.toSlow),"toFast":\#(work.toFast)},"#
      + #""reclaims":{"times":\#(work.reclaims),"pages":\#(work.reclaimed)},"#
      + #""microseconds":{"recalls":\#(work.recalling / 1000),"recounts":\#(work.recounting / 1000),"switches":\#(work.switching / 1000),"reclaims":\#(work.reclaiming / 1000)}}"#
  }

  package static func object(_ row: Row) -> String {
    #"{"resource":"\#(row.resource.name)","unit":"\#(row.resource.unit.rawValue)","held":\#(row.held),"#
      + #""maxheld":\#(row.maxheld),"barrier":\#(Report.bound(row.bounds.barrier)),"limit":\#(Report.bound(row.bounds.limit)),"#
      + #""failcnt":\#(row.failcnt),"status":\#(jsonString(row.status))}"#
  }

  package static func object(_ denial: Denial) -> String {
    #"{"resource":"\#(denial.resource.name)","count":\#(denial.count),"errno":\#(jsonString(denial.errno)),"#
      + #""pid":\#(denial.pid),"comm":\#(jsonString(denial.comm)),"call":\#(jsonString(denial.call)),"#
      + #""detail":\#(jsonString(denial.detail)),"amount":\#(denial.amount),"frames":\#(array(denial.frames.map(object))),"#
      + #""witnessed":\#(denial.witnessed),"injected":\#(denial.injected),"arguments":\#(jsonString(denial.arguments)),"#
      + #""thread":\#(denial.thread),"threadName":\#(jsonString(denial.threadName))}"#
  }

  package static func object(_ frame: Frame) -> String {
    func text(_ value: String?) -> String { value.map(jsonString) ?? "null" }
    return
      #"{"function":\#(text(frame.function)),"file":\#(text(frame.file)),"line":\#(frame.line.map { String($0) } ?? "null"),"#
      + #""module":\#(text(frame.module)),"offset":\#(frame.offset)"#
      + (frame.inlined ? #","inlined":true"# : "") + (frame.guessed ? #","guessed":true"# : "")
      + "}"
  }

  package static func object(_ process: Uncovered) -> String {
    #"{"pid":\#(process.pid),"executable":\#(jsonString(process.executable)),"reason":\#(jsonString(process.reason))}"#
  }

  private static func bound(_ amount: Int64) -> String {
    amount == Bounds.unlimited ? "null" : String(amount)
  }

  private func orNull(_ value: Int32?) -> String {
    value.map { String($0) } ?? "null"
  }

  package static func array(_ items: [String]) -> String {
    "[" + items.joined(separator: ",") + "]"
  }

  /// The report as `key=value` lines. Values are escaped as `\n`, `\t`, `\\` and `\u{1b}`, so that
  /// each is one line; `command` is shell words instead. `exit.code` or `exit.signal` is empty, as
  /// JSON has null.
  public func kv() -> String {
    var lines: [String] = []
    func put(_ key: String, _ value: some CustomStringConvertible) {
      lines.append(key + "=" + kvValue(value.description))
    }
    put("beancounter.id", id)
    put("beancounter.name", name)
    lines.append("command=" + shellQuoted(command))
    put("exit.code", exit.code.map { String($0) } ?? "")
    put("exit.signal", exit.signal.map { String($0) } ?? "")
    put("seconds", milliseconds(seconds))
    for row in rows {
      let name = row.resource.name
      put(name + ".unit", row.resource.unit.rawValue)
      put(name + ".held", row.held)
      put(name + ".maxheld", row.maxheld)
      put(
        name + ".barrier",
        row.bounds.barrier == Bounds.unlimited ? "unlimited" : String(row.bounds.barrier))
      put(
        name + ".limit",
        row.bounds.limit == Bounds.unlimited ? "unlimited" : String(row.bounds.limit))
      put(name + ".failcnt", row.failcnt)
      put(name + ".status", row.status)
    }
    put("denials", denied)
    for (index, denial) in denials.enumerated() {
      let key = "denial.\(index)."
      put(key + "resource", denial.resource.name)
      put(key + "count", denial.count)
      put(key + "errno", denial.errno)
      put(key + "pid", denial.pid)
      put(key + "comm", denial.comm)
      put(key + "call", denial.call)
      put(key + "amount", denial.amount)
      put(key + "injected", denial.injected ? 1 : 0)
      put(key + "witnessed", denial.witnessed)
      put(key + "detail", denial.detail)
      put(key + "arguments", denial.arguments)
      put(key + "thread", denial.thread)
      put(key + "threadName", denial.threadName)
      put(key + "frames", denial.frames.count)
      for (index, frame) in denial.frames.enumerated() {
        let key = key + "frame.\(index)."
        put(key + "function", frame.function ?? "")
        put(key + "file", frame.file ?? "")
        put(key + "line", frame.line.map { String($0) } ?? "")
        put(key + "module", frame.module ?? "")
        put(key + "offset", frame.offset)
      }
    }
    put("uncovered", uncovered.count)
    for (index, process) in uncovered.enumerated() {
      let key = "uncovered.\(index)."
      put(key + "pid", process.pid)
      put(key + "executable", process.executable)
      put(key + "reason", process.reason)
    }
    put("server.requests", server.requests)
    put("server.recalls", server.recalls)
    put("server.recounts", server.recounts)
    put("server.switches.toSlow", server.toSlow)
    put("server.switches.toFast", server.toFast)
    put("server.reclaims.times", server.reclaims)
    put("server.reclaims.pages", server.reclaimed)
    put("server.microseconds.recalls", server.recalling / 1000)
    put("server.microseconds.recounts", server.recounting / 1000)
    put("server.microseconds.switches", server.switching / 1000)
    put("server.microseconds.reclaims", server.reclaiming / 1000)
    put("remaining", remaining)
    put("left_open", leftOpen)
    if !firstOfPlaces.isEmpty {
      put("survey", firstOfPlaces.map(String.init).joined(separator: ","))
    }
    return lines.joined(separator: "\n") + "\n"
  }
}

/// Seconds to the millisecond, as a JSON number, which has no infinity.
private func milliseconds(_ seconds: Double) -> String {
  seconds.isFinite ? ((seconds * 1000).rounded() / 1000).description : "0.0"
}
