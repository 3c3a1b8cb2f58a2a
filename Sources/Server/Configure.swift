internal import Beancounters
package import Command

/// Beancounters to begin with (`bcd --config`).
extension Host {
  /// One that a file names.
  package struct Wanted: Sendable {
    package var file: String
    package var name: String
    /// The id it must have; nil for any.
    package var id: Int?
    package var configured: Configured

    package init(file: String, name: String, id: Int?, configured: Configured) {
      self.file = file
      self.name = name
      self.id = id
      self.configured = configured
    }
  }

  /// Makes each, or gives one that is there already the bounds of the file: all of them, or on a
  /// refusal nothing.
  package func configure(_ wanted: [Wanted]) throws(Refusal) {
    var known = Set(beancounters.values.map(\.name))
    var files: [String: String] = [:]
    for one in wanted {
      try check(one, known, files)
      known.insert(one.name)
      files[one.name] = one.file
    }
    for one in wanted { try apply(one) }
  }

  private func named(_ name: String) -> Accounting? {
    beancounters.values.first { $0.name == name }
  }

  private func check(_ one: Wanted, _ known: Set<String>, _ files: [String: String]) throws(Refusal)
  {
    func refuse(_ text: String) throws(Refusal) -> Never {
      throw Refusal(text: Display.visible("\(one.file): \(one.name) \(text)"))
    }
    if let other = files[one.name] { try refuse("is in \(other) too; name it once") }
    guard isBeancounterName(one.name) else {
      try refuse("is no name of a beancounter; accepted: \(acceptedNames)")
    }
    if one.configured.reclaims == true, let why = Accounting.reclaimRefusal() {
      throw Refusal(text: Display.visible("\(one.file): \(one.name): \(why)"))
    }
    if let id = one.id, !(1...Host.greatestId ~= id) {
      try refuse("cannot be its id; accepted: 1 to \(Host.greatestId)")
    }
    if let parent = one.configured.parent, !known.contains(parent) {
      try refuse("is to be in \(parent), which no file before this one names; name it before")
    }
    if let there = named(one.name) {
      if one.configured.parent != nil, there.parent?.name != one.configured.parent {
        try refuse("is in \(there.parent?.name ?? "no other") already; bcctl remove it first")
      }
      if let id = one.id, there.id != id {
        try refuse("has the id \(there.id) already; bcctl remove it first")
      }
    } else if let id = one.id ?? Int(one.name), let other = beancounters[id] {
      try refuse("has the id of \(other.name); choose another")
    }
  }

  private func apply(_ one: Wanted) throws(Refusal) {
    let configured = one.configured
    guard let there = named(one.name) else {
      let settings = Settings(
        bounds: configured.resolved, allowOnServerLoss: configured.allowOnServerLoss ?? false,
        openvzErrno: configured.openvzErrno ?? false, reclaims: configured.reclaims ?? false)
      try create(
        name: one.name, id: one.id ?? Int(one.name), parent: configured.parent.flatMap(named),
        settings: settings)
      return
    }
    there.settings.openvzErrno = configured.openvzErrno ?? there.settings.openvzErrno
    there.settings.allowOnServerLoss =
      configured.allowOnServerLoss ?? there.settings.allowOnServerLoss
    there.settings.reclaims = configured.reclaims ?? there.settings.reclaims
    there.setBounds(
      Dictionary(
        uniqueKeysWithValues: configured.bounds.map {
          ($0, $1.applied(to: there.ledger[$0].bounds))
        }))
    there.tellMembers()
  }
}
