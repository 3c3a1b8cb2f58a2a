import Beancounters

/// One thing on the command line that sets bounds, or what a configuration file may set besides.
/// Kept in the order given, for a later one wins, and a file can be read only after the options
/// are.
enum Step: Equatable, Sendable {
  /// Bounds of a resource, asked for by `option`.
  case bounds(Resource, BoundsChange, option: String)
  /// The bounds of a profile, or a setting.
  case configured(Configured)
  /// `--config FILE`.
  case file(String)
}

/// Which option set the barrier and the limit that a resource has now; nil for none, or a file.
struct Origin: Equatable, Sendable {
  var barrier: String?
  var limit: String?
}

extension Options {
  /// Reads what `bcctl bounds FILE…` printed for `configFiles`, and puts each in its place among
  /// the other options: whatever comes later on the command line wins. `source` is what an error
  /// names.
  public mutating func read(configured lines: String, source: String) throws(UsageError) {
    let files = try Configured.parse(lines: lines, source: source)
    guard files.count == configFiles.count else {
      throw UsageError(
        "\(source): bounds of \(files.count) files came back, and \(configFiles.count) were asked for"
      )
    }
    resolve(files)
  }

  /// Applies the steps in order to a beancounter without bounds, `files` for those that `--config`
  /// names.
  mutating func resolve(_ files: [Configured]) {
    bounds = [:]
    origins = [:]
    (name, parent, openvzErrno, allowOnServerLoss, reclaims) = (nil, nil, false, false, false)
    var rest = files[...]
    for step in steps {
      switch step {
      case .bounds(let resource, let change, let option):
        apply(change, to: resource, option: option)
      case .configured(let configured): apply(configured)
      case .file: if let configured = rest.popFirst() { apply(configured) }
      }
    }
  }

  private mutating func apply(_ configured: Configured) {
    name = configured.name ?? name
    parent = configured.parent ?? parent
    openvzErrno = configured.openvzErrno ?? openvzErrno
    allowOnServerLoss = configured.allowOnServerLoss ?? allowOnServerLoss
    reclaims = configured.reclaims ?? reclaims
    for (resource, change) in configured.bounds { apply(change, to: resource, option: nil) }
  }

  private mutating func apply(_ change: BoundsChange, to resource: Resource, option: String?) {
    bounds[resource] = change.applied(to: bounds[resource] ?? Bounds())
    var origin = origins[resource] ?? Origin()
    if change.barrier != nil { origin.barrier = option }
    if change.limit != nil { origin.limit = option }
    origins[resource] = origin
  }
}
