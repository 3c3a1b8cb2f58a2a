package import Beancounters

/// What one configuration file or one profile says. nil, and a resource that is absent, is left as
/// it was.
///
/// It travels from bcctl, which can read files, to bcrun, which must not link what that takes, as
/// lines:
///
///     # web.toml
///     name=web-1
///     numfile=100:120
///
/// A block begins with `#` and where it is from. The keys are the resources, `name`, `parent`,
/// `errno`, `on-server-loss` and `on-physpages`; amounts are in the resource's own unit, `unlimited` for no bound;
/// `100:` is the barrier alone and `:120` the limit alone, as in every option.
package struct Configured: Equatable, Sendable {
  package var name: String?
  package var parent: String?
  package var openvzErrno: Bool?
  package var allowOnServerLoss: Bool?
  package var reclaims: Bool?
  package var bounds: [Resource: BoundsChange]

  package init(
    name: String? = nil, parent: String? = nil, openvzErrno: Bool? = nil,
    allowOnServerLoss: Bool? = nil, reclaims: Bool? = nil,
    bounds: [Resource: BoundsChange] = [:]
  ) {
    self.name = name
    self.parent = parent
    self.openvzErrno = openvzErrno
    self.allowOnServerLoss = allowOnServerLoss
    self.reclaims = reclaims
    self.bounds = bounds
  }

  /// The bounds of a beancounter made from this alone.
  package var resolved: [Resource: Bounds] { bounds.mapValues { $0.applied(to: Bounds()) } }

  /// One block, `origin` (a file, or anything else on one line) in its first line.
  package func lines(from origin: String) -> String {
    var out = "# \(visible(origin))\n"
    if let name { out += "name=\(name)\n" }
    if let parent { out += "parent=\(parent)\n" }
    if let openvzErrno { out += "errno=\(openvzErrno ? "openvz" : "posix")\n" }
    if let allowOnServerLoss { out += "on-server-loss=\(allowOnServerLoss ? "allow" : "deny")\n" }
    if let reclaims { out += "on-physpages=\(reclaims ? "reclaim" : "refuse")\n" }
    for resource in Resource.allCases {
      guard let change = bounds[resource], change != BoundsChange() else { continue }
      out += "\(resource.name)=\(change.text)\n"
    }
    return out
  }

  /// Reads back the blocks that `lines(from:)` wrote. Throws at a line that is none of theirs,
  /// `source` and the line named.
  package static func parse(lines text: String, source: String) throws(UsageError) -> [Configured] {
    var blocks: [Configured] = []
    for line in text.utf8.split(separator: UInt8(ascii: "\n")) {
      let line = String(decoding: line, as: UTF8.self)
      if line.hasPrefix("#") {
        blocks.append(Configured())
        continue
      }
      guard let equals = line.utf8.firstIndex(of: UInt8(ascii: "=")), !blocks.isEmpty else {
        throw .unreadable(
          source, line, accepted: "RES=BARRIER:LIMIT, under a line that begins with #")
      }
      let value = String(line[line.utf8.index(after: equals)...])
      try blocks[blocks.count - 1].read(String(line[..<equals]), value, source: source)
    }
    return blocks
  }

  private mutating func read(_ key: String, _ value: String, source: String) throws(UsageError) {
    if let resource = Resource(name: key) {
      bounds[resource] = try BoundsChange(value, of: resource, option: "\(source): \(key)")
      return
    }
    switch (key, value) {
    case ("name", _) where isBeancounterName(value): name = value
    case ("parent", _) where isBeancounterName(value): parent = value
    case ("errno", "posix"), ("errno", "openvz"): openvzErrno = value == "openvz"
    case ("on-server-loss", "deny"), ("on-server-loss", "allow"):
      allowOnServerLoss = value == "allow"
    case ("on-physpages", "refuse"), ("on-physpages", "reclaim"): reclaims = value == "reclaim"
    default:
      throw .unreadable(
        source, "\(key)=\(value)",
        accepted: "RES=BARRIER:LIMIT, name, parent, errno, on-server-loss, on-physpages")
    }
  }
}

extension BoundsChange {
  /// As the initializer reads it, in the resource's own unit. Empty when nothing is set.
  package var text: String {
    func amount(_ value: Int64?) -> String {
      value.map { $0 == Bounds.unlimited ? "unlimited" : String($0) } ?? ""
    }
    return barrier == nil && limit == nil ? "" : amount(barrier) + ":" + amount(limit)
  }
}

/// What a beancounter may be called, for messages.
package let acceptedNames = "1 to 64 bytes without slashes and control characters"

/// Names appear in paths, in lines of kv and on terminals.
package func isBeancounterName(_ name: String) -> Bool {
  (1...64).contains(name.utf8.count)
    && !name.unicodeScalars.contains { $0 == "/" || isUnprintable($0) }
}
