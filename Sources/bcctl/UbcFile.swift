import Beancounters
import Command

/// Reads `/proc/user_beancounters` and `/proc/bc/resources` of any kernel, 32 or 64 bits.
enum UbcFile {
  static func read(_ text: String, from name: String) throws(Refused) -> [Reply.Beancounter] {
    func unreadable(_ line: Int, _ what: String) -> Refused {
      Refused(
        "\(name): line \(line): \(what); accepted: the text of /proc/user_beancounters or /proc/bc/resources"
      )
    }
    var all: [Reply.Beancounter] = []
    var unlimited = Bounds.unlimited
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
    {
      var words = line.split { $0 == " " || $0 == "\t" }
      guard let first = words.first else { continue }
      if first == "Version:" {
        guard words.count == 2, words[1].hasPrefix("2.") else {
          throw unreadable(index + 1, "not version 2")
        }
        continue
      }
      if first == "uid" {
        // LONG_MAX is what no bound is, and a 32-bit kernel's columns are narrower by ten.
        if line.utf8.count < 100 { unlimited = Int64(Int32.max) }
        continue
      }
      if first.hasSuffix(":") {
        guard let id = Int(first.dropLast()) else {
          throw unreadable(index + 1, "\(Display.quoted(String(first))) is no id")
        }
        all.append(Reply.Beancounter(id: id, name: String(id), members: 0, resources: []))
        words.removeFirst()
      }
      guard !all.isEmpty else { throw unreadable(index + 1, "a row before any id") }
      let amounts = words.dropFirst().compactMap { Int64($0) }
      guard words.count == 6, amounts.count == 5 else {
        throw unreadable(index + 1, "not a name and five numbers")
      }
      // Dummies, and what later kernels may have added.
      guard let resource = Resource(name: words[0]) else { continue }
      func bound(_ amount: Int64) -> Int64? { amount >= unlimited ? nil : amount }
      all[all.count - 1].resources.append(
        Reply.Row(
          resource: resource.name, unit: Reply.Unit(resource.unit), held: amounts[0],
          maxheld: amounts[1],
          barrier: bound(amounts[2]), limit: bound(amounts[3]), failcnt: amounts[4], status: "exact"
        ))
    }
    return all
  }
}

extension Reply.Unit {
  init(_ unit: Resource.Unit) {
    switch unit {
    case .items: self = .items
    case .pages: self = .pages
    case .bytes: self = .bytes
    }
  }
}
