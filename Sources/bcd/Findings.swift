import Beancounters
import CLinux

/// What became of a round, from its report.
struct Outcome {
  var code: Int32?
  var signal: Int32?
  var seconds: Double
  var isInjected: Bool
  /// Seconds after which it was killed, for it did not end.
  var isHung: Bool
  /// Descriptors that processes left open when they ended, as far as they are known.
  var leftOpen: Int64
  var maxheld: [Resource: Int64] = [:]
  var survey: [Int64]
  /// Who was refused.
  var place: String

  init(_ values: [String: String]) {
    code = values["exit.code"].flatMap { Int32($0) }
    signal = values["exit.signal"].flatMap { Int32($0) }
    seconds = values["seconds"].flatMap { Double($0) } ?? 0
    isInjected = values.contains { $0.key.hasSuffix(".injected") && $0.value == "1" }
    isHung = values["hung"] != nil
    leftOpen = values["left_open"].flatMap { Int64($0) } ?? 0
    for resource in Resource.allCases {
      maxheld[resource] = values[resource.name + ".maxheld"].flatMap { Int64($0) }
    }
    survey = values["survey"]?.split(separator: ",").compactMap { Int64($0) } ?? []
    place = Outcome.place(values)
  }

  private static func place(_ values: [String: String]) -> String {
    let i = (0..<64).first { values["denial.\($0).injected"] == "1" } ?? 0
    let frames = (0..<3).compactMap { k -> String? in
      guard let function = values["denial.\(i).frame.\(k).function"], !function.isEmpty,
        !function.hasPrefix("__libc_start"), function != "_start"
      else { return nil }
      let file =
        values["denial.\(i).frame.\(k).file"]?.split(separator: "/").last.map { " \($0)" } ?? ""
      let line = values["denial.\(i).frame.\(k).line"] ?? ""
      return function + file + (file.isEmpty || line.isEmpty ? "" : ":\(line)")
    }
    let call = values["denial.\(i).call"] ?? "?"
    return call + (frames.isEmpty ? "" : "  " + frames.joined(separator: " < "))
  }

}

/// What the rounds brought to light, and how it is told.
struct Findings {
  private static let mostShown = 16

  let calm: Outcome
  let isOne: Bool
  private(set) var lines: [String] = []
  private var rounds: [Resource: Int] = [:]
  private var codes: [Int32: [String]] = [:]

  init(calm: Outcome, isOne: Bool) {
    self.calm = calm
    self.isOne = isOne
  }

  /// Deaths by a signal that does not come without a failure, runs that do not end, and descriptors
  /// that are left open only after one.
  mutating func add(_ resource: Resource, _ n: Int64, _ round: Outcome) {
    rounds[resource, default: 0] += 1
    let name = isOne ? String(n) : "\(resource.name)@\(n)"
    if round.isHung {
      lines.append("round \(name): did not end after \(round.place), and was killed")
    } else if let signal = round.signal, signal != calm.signal {
      lines.append(
        "round \(name): killed by signal \(signal) (\(String(cString: strsignal(signal)))) after \(round.place)"
      )
    } else if round.leftOpen > calm.leftOpen {
      lines.append(
        "round \(name): \(round.leftOpen) open at the end, not \(calm.leftOpen), after \(round.place)"
      )
    }
    if !round.isHung, let code = round.code, code != calm.code {
      codes[code, default: []].append(name)
    }
  }

  func summary(_ resources: [Resource], shallow: Bool) -> String {
    func plural(_ n: Int, _ word: String) -> String { n == 1 ? "1 \(word)" : "\(n) \(word)s" }
    let found = lines.isEmpty ? "no findings" : plural(lines.count, "finding")
    let counts = resources.compactMap { r in
      rounds[r].map { "\(plural($0, "charge")) of \(r.name)" }
    }
    let what =
      counts.isEmpty
      ? "no charge of \(resources.map(\.name).joined(separator: ", "))"
      : counts.joined(separator: ", ")
    var text = ["bcrun: \(what) failed in turn\(shallow ? ", one of each place" : ""); \(found)"]
    for (code, names) in codes.sorted(by: { $0.key < $1.key }) {
      let shown = names.prefix(Findings.mostShown).joined(separator: ", ")
      text.append(
        "  exited \(code), not \(calm.code.map(String.init) ?? "as it did"): round \(shown)\(names.count > Findings.mostShown ? ", …" : "")"
      )
    }
    text += lines.prefix(Findings.mostShown).map { "  " + $0 }
    if lines.count > Findings.mostShown {
      text.append("  … \(lines.count - Findings.mostShown) more")
    }
    if !lines.isEmpty {
      text.append(
        "  one of them again: --torture \(resources.count == 1 ? resources[0].name : "all") --torture-round \(isOne ? "N" : "RES@N")"
      )
    }
    return text.joined(separator: "\n") + "\n"
  }
}
