import Beancounters
import Command

/// What `bcctl bounds` prints for a file: the lines that bcrun and bcd read back.
extension ConfigurationFile {
  /// One block: the file's one beancounter. Throws when it has several.
  package func boundsLines() throws(ConfigurationError) -> String {
    try single().configured.lines(from: path)
  }

  /// One block for every beancounter of the file, each with its name.
  package func eachBoundsLines() -> String {
    sections.map { section in
      section.configured.lines(from: section.configured.name.map { "\(path) [\($0)]" } ?? path)
    }.joined()
  }
}

/// What `bcctl validate` has to say about one file.
package struct Verdict: Sendable {
  package let path: String
  /// Why the file cannot be read; nil when it can.
  package let unreadable: ConfigurationError?
  /// The rules that each beancounter breaks; the name is nil for what stands at the top of the
  /// file.
  package let findings: [(beancounter: String?, finding: Finding)]

  package init(path: String) {
    self.path = path
    do {
      let file = try ConfigurationFile(path: path)
      unreadable = nil
      findings = file.sections.flatMap { section in
        section.findings.map { (section.configured.name, $0) }
      }
    } catch {
      unreadable = error
      findings = []
    }
  }

  /// Whether there is an error in it, not only advice.
  package var failed: Bool {
    unreadable != nil || findings.contains { $0.finding.severity == .error }
  }

  /// Lines for people, one for each finding; what is in order says so too.
  package var text: String {
    if let unreadable { return unreadable.description + "\n" }
    if findings.isEmpty { return "\(shown(path)): consistent\n" }
    return findings.map { name, finding in
      "\(shown(path)): \(name.map { "[\(shown($0))] " } ?? "")\(finding.description)\n"
    }.joined()
  }

  /// One JSON object; amounts in the resource's own unit, null for unlimited.
  package var json: String {
    let problems = (unreadable?.problems ?? []).map {
      #"{"line":\#($0.line.map { "\($0)" } ?? "null"),"message":\#(jsonString($0.message))}"#
    }
    let rules = findings.map { name, finding in
      #"{"beancounter":\#(name.map(jsonString) ?? "null"),"severity":"\#(finding.severity.rawValue)","#
        + #""rule":\#(jsonString(finding.rule)),"resource":"\#(finding.resource.name)","#
        + #""unit":"\#(finding.resource.unit.rawValue)","actual":\#(number(finding.actual)),"#
        + #""required":\#(number(finding.required)),"remedy":\#(jsonString(finding.remedy))}"#
    }
    return #"{"file":\#(jsonString(path)),"problems":[\#(problems.joined(separator: ","))],"#
      + #""findings":[\#(rules.joined(separator: ","))]}"#
  }

  private func number(_ value: Int64) -> String { value == .max ? "null" : "\(value)" }
}
