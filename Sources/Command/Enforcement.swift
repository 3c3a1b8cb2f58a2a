public import Beancounters

extension Options {
  /// Looks for bounds that this version would not act on: they are worse than none, for people rely
  /// on them. To be called once every file of `--config` is read in.
  ///
  /// Throws when an option on the command line asked for such a bound, unless `--best-effort` is
  /// given. Rows that come from a file or a profile, which set them all, are counted and no more:
  /// they come back, in the order of the resources, and `notEnforced` says so to the person.
  public func checkEnforced() throws(UsageError) -> [Resource] {
    var counted: [Resource] = []
    for resource in Resource.allCases {
      guard let bounds = bounds[resource], let idle = resource.idle(bounds) else { continue }
      let origin = origins[resource] ?? Origin()
      let option = idle.barrier ? origin.barrier ?? (idle.limit ? origin.limit : nil) : origin.limit
      if let option, !bestEffort { throw Options.refusal(resource, option: option) }
      counted.append(resource)
    }
    return counted
  }

  /// `--meminfo` shows a bound on memory: without one there is nothing to show. To be called once
  /// every file of `--config` is read in.
  public func checkMeminfo() throws(UsageError) {
    guard meminfo, bounds[.privvmpages].map({ $0.ceiling(.hard) == Bounds.unlimited }) ?? true
    else { return }
    throw UsageError(
      "--meminfo: memory has no bound to show; give one, as --memory SIZE or --privvmpages BARRIER:LIMIT"
    )
  }

  /// `--on-physpages reclaim` acts at the limit of physpages: without one it never would. To be
  /// called once every file of `--config` is read in. Whether it can be done is the server's to say.
  public func checkReclaim() throws(UsageError) {
    guard reclaims, bounds[.physpages].map({ $0.limit == Bounds.unlimited }) ?? true else { return }
    throw UsageError(
      "--on-physpages reclaim: physpages has no limit; give one, as --physpages :SIZE")
  }

  /// The line for stderr, without the program's name; nil when there is nothing to say.
  public static func notEnforced(_ counted: [Resource]) -> String? {
    counted.isEmpty ? nil : "counted, not enforced: \(resourceNames(counted))"
  }

  /// The line for stderr where bounds are taken as they are: bcd's and bcctl's. nil when all are
  /// acted on.
  package static func notEnforced(in bounds: [Resource: Bounds]) -> String? {
    notEnforced(Resource.allCases.filter { r in bounds[r].flatMap(r.idle) != nil })
  }

  private static func refusal(_ resource: Resource, option: String) -> UsageError {
    if Resource.enforced.contains(resource) {
      return UsageError(
        "\(option): the barrier of \(resource.name) bounds nothing, only the limit does; give BARRIER:LIMIT or :LIMIT; "
          + "--best-effort runs anyway, without it")
    }
    return UsageError(
      "\(option): this version cannot enforce a bound on \(resource.name), only on "
        + "\(resourceNames(Resource.enforced)); --best-effort runs anyway, without it")
  }
}

extension Resource {
  /// Which parts of `bounds` ask for something that would not be done; nil when there are none.
  ///
  /// physpages acts by its limit; its barrier is 0 in every OpenVZ configuration, and none compares
  /// it. vmguarpages and oomguarpages are guarantees and act by their barrier, of which 0 and
  /// unlimited guarantee nothing in particular.
  fileprivate func idle(_ bounds: Bounds) -> (barrier: Bool, limit: Bool)? {
    let asked: (barrier: Bool, limit: Bool)
    switch self {
    case .physpages:
      asked = (
        bounds.barrier != 0 && bounds.barrier != Bounds.unlimited, bounds.limit != Bounds.unlimited
      )
    case .vmguarpages, .oomguarpages:
      asked = (bounds.barrier != 0 && bounds.barrier != Bounds.unlimited, false)
    default: asked = (bounds.barrier != Bounds.unlimited, bounds.limit != Bounds.unlimited)
    }
    guard asked.barrier || asked.limit else { return nil }
    guard Resource.enforced.contains(self) else { return asked }
    return self == .physpages && !asked.limit ? asked : nil
  }
}
