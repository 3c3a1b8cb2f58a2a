import Beancounters

/// What a command line asks for.
public enum Parsed: Sendable {
  case run(Options)
  case help
  case version
}

/// Reads the options of `bcrun`. `arguments` are those after the program's name. Reads everything
/// before anything runs; the error says which option is wrong and what it accepts (bcrun exits
/// 125).
///
///     guard case .run(var options) = try parseOptions(words of argv) else { … }
///     if !options.configFiles.isEmpty { try options.read(configured: …, source: "bcctl bounds") }
///     let counted = try options.checkEnforced()
///
/// Not reentrant, as getopt_long is not.
public func parseOptions(_ arguments: [Bytes]) throws(UsageError) -> Parsed {
  let getopt = Getopt(arguments)
  var reader = OptionReader()
  while let found = try getopt.next() {
    switch found.option.key {
    case .help: return .help
    case .version: return .version
    default: try reader.read(found)
    }
  }
  var options = reader.options
  if let round = options.tortureRound {
    if case .charge(nil, _) = round, options.torture.count != 1 {
      throw UsageError(
        "--torture-round: a number alone only together with --torture of one resource; else RES@N, such as numfile@3"
      )
    }
    if let (resource, rule) = round.rule(options.torture) { options.failures[resource] = rule }
  }
  guard options.torture.isEmpty || options.tortureRound != nil || options.failures.isEmpty else {
    throw UsageError("--torture and --fail: give one of them")
  }
  options.resolve([])
  options.commandStart = getopt.position
  options.command = arguments.dropFirst(options.commandStart).map(\.text)
  guard !options.command.isEmpty else {
    throw UsageError(
      "no COMMAND given; accepted: bcrun [options] [--] COMMAND [ARG…], see bcrun --help")
  }
  return .run(options)
}

/// The same, where every word is UTF-8.
public func parseOptions(_ arguments: [String]) throws(UsageError) -> Parsed {
  try parseOptions(arguments.map { Bytes($0) })
}

private struct OptionReader {
  var options = Options()
  private var reserved = false

  mutating func read(_ found: Getopt.Found) throws(UsageError) {
    let value = found.value ?? ""
    switch found.option.key {
    case .limit: try readLimit(found, value)
    case .resource(let resource): try bound(resource, value, option: found.spelling)
    case .memory:
      let limit = try amount(found, value, unit: .pages)
      // Whichever of the two options comes first.
      change(
        .privvmpages, BoundsChange(barrier: reserved ? nil : limit, limit: limit),
        option: found.spelling)
    case .memoryReservation:
      reserved = true
      let barrier = try amount(found, value, unit: .pages)
      change(.privvmpages, BoundsChange(barrier: barrier), option: found.spelling)
    case .pidsLimit:
      let most = try amount(found, value, unit: .items)
      change(.numproc, BoundsChange(barrier: most, limit: most), option: found.spelling)
    case .name:
      guard isBeancounterName(value) else { throw unreadable(found) }
      set(Configured(name: value))
    case .parent:
      guard isBeancounterName(value) else { throw unreadable(found) }
      set(Configured(parent: value))
    case .config:
      guard !value.isEmpty else { throw unreadable(found) }
      options.steps.append(.file(value))
    case .profile:
      guard let profile = Profile(rawValue: value) else { throw unknownProfile(found) }
      set(profile.configured)
    case .server:
      guard !value.isEmpty else { throw unreadable(found) }
      options.server = value
    case .environment:
      guard let word = found.word, let equals = word.bytes.firstIndex(of: UInt8(ascii: "=")),
        equals != word.bytes.startIndex
      else { throw unreadable(found) }
      options.environment.append(word)
    case .workdir:
      guard !value.isEmpty else { throw unreadable(found) }
      options.workdir = found.word
    case .report:
      guard found.value?.isEmpty != true else { throw unreadable(found) }
      options.reportFile = found.word
    case .reportFormat:
      guard let format = Options.Format(rawValue: value) else { throw unreadable(found) }
      options.format = format
    case .failOn:
      guard let event = Options.FailOn(rawValue: value) else { throw unreadable(found) }
      if !options.failOn.contains(event) { options.failOn.append(event) }
    case .fail:
      guard let (resource, rule) = Injection.read(value), TortureRound.resources.contains(resource),
        rule != .survey
      else { throw unreadable(found) }
      options.failures[resource] = rule
    case .torture:
      guard let resources = TortureRound.read(resources: value) else { throw unreadable(found) }
      options.torture = resources
    case .tortureShallow: options.tortureShallow = true
    case .tortureRound:
      guard let round = TortureRound.read(value) else { throw unreadable(found) }
      options.tortureRound = round
    case .onServerLoss:
      set(Configured(allowOnServerLoss: try choice(found, no: "deny", yes: "allow")))
    case .onPhyspages:
      set(Configured(reclaims: try choice(found, no: "refuse", yes: "reclaim")))
    case .errno: set(Configured(openvzErrno: try choice(found, no: "posix", yes: "openvz")))
    case .meminfo: options.meminfo = true
    case .quiet: options.quiet = true
    case .verbose: options.verbose = true
    case .bestEffort: options.bestEffort = true
    case .help, .version, .socket, .state: break
    }
  }

  private mutating func readLimit(_ found: Getopt.Found, _ value: String) throws(UsageError) {
    guard let equals = value.utf8.firstIndex(of: UInt8(ascii: "=")) else { throw unreadable(found) }
    let name = String(value[..<equals])
    guard let resource = Resource(name: name) else {
      let near =
        nearest(to: name, among: Resource.allCases.map(\.name)).map { "; did you mean \($0)?" }
        ?? ";"
      throw UsageError(
        "\(found.spelling): no resource \(quoted(name))\(near) accepted: \(found.option.accepted)")
    }
    let amounts = String(value[value.utf8.index(after: equals)...])
    try bound(resource, amounts, option: "\(found.spelling) \(name)")
  }

  private mutating func bound(_ resource: Resource, _ value: String, option: String)
    throws(UsageError)
  {
    change(resource, try BoundsChange(value, of: resource, option: option), option: option)
  }

  private mutating func change(_ resource: Resource, _ parts: BoundsChange, option: String) {
    options.steps.append(.bounds(resource, parts, option: option))
  }

  private mutating func set(_ configured: Configured) {
    options.steps.append(.configured(configured))
  }

  private func unknownProfile(_ found: Getopt.Found) -> UsageError {
    let name = found.value ?? ""
    let near =
      nearest(to: name, among: Profile.allCases.map(\.rawValue)).map { "; did you mean \($0)?" }
      ?? ";"
    return UsageError(
      "\(found.spelling): no profile \(quoted(name))\(near) accepted: \(found.option.accepted)")
  }

  private func amount(_ found: Getopt.Found, _ value: String, unit: Resource.Unit)
    throws(UsageError) -> Int64
  {
    try readAmount(
      value, in: value, unit: unit, option: found.spelling, accepted: found.option.accepted)
  }

  private func choice(_ found: Getopt.Found, no: String, yes: String) throws(UsageError) -> Bool {
    guard found.value == no || found.value == yes else { throw unreadable(found) }
    return found.value == yes
  }

  private func unreadable(_ found: Getopt.Found) -> UsageError {
    .unreadable(found.spelling, found.value ?? "", accepted: found.option.accepted)
  }
}
