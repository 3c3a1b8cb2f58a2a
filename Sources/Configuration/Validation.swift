package import Beancounters
import Command

extension ConfigurationFile.Section {
  /// The rules that these bounds break, errors first.
  package var findings: [Finding] {
    Validation(
      bounds: configured.resolved, averageProcesses: averageProcesses, isVSwap: configured.isVSwap
    ).findings
  }
}

/// OpenVZ's consistency rules for bounds (wiki, "UBC consistency check"; vzcfgvalidate). The kernel
/// checks none of them, and no more does this project: a rule that is broken is advice.
///
/// A rule is asked about rows that are set only: TOML that bounds one resource breaks none.
/// avnumproc, the expected average number of processes, is half of numproc where AVNUMPROC does not
/// say it. A VSwap configuration bounds physpages, and what vzctl derives from it bounds
/// vmguarpages: no unlimited limit is asked of those.
package struct Validation {
  private let bounds: [Resource: Bounds]
  private let averageProcesses: Int64?
  private let isVSwap: Bool

  package init(bounds: [Resource: Bounds], averageProcesses: Int64? = nil, isVSwap: Bool = false) {
    self.bounds = bounds
    self.isVSwap = isVSwap
    let most = bounds[.numproc]?.barrier ?? Bounds.unlimited
    self.averageProcesses = averageProcesses ?? (most == Bounds.unlimited ? nil : most / 2)
  }

  package var findings: [Finding] {
    let all = shape + processes + memory + sockets
    return Finding.Severity.allCases.flatMap { severity in all.filter { $0.severity == severity } }
  }

  // MARK: What barrier and limit are to each other

  private static let single: [Resource] = [
    .numproc, .numtcpsock, .numothersock, .shmpages, .numfile, .numpty, .numsiginfo, .numiptent,
  ]
  private static let guarantees: [Resource] = [.vmguarpages, .oomguarpages, .physpages]

  private var shape: [Finding] {
    Resource.allCases.flatMap { resource -> [Finding] in
      guard let bounds = bounds[resource] else { return [] }
      let name = resource.name
      if Validation.single.contains(resource) {
        guard bounds.barrier != bounds.limit else { return [] }
        let larger = max(bounds.barrier, bounds.limit)
        let both = larger == Bounds.unlimited ? min(bounds.barrier, bounds.limit) : larger
        return [
          Finding(
            severity: .error, rule: "\(name).barrier = \(name).limit", resource: resource,
            actual: bounds.barrier,
            required: bounds.limit, remedy: "set both to \(amount(both))")
        ]
      }
      if Validation.guarantees.contains(resource) { return guarantee(resource, bounds) }
      return atLeast(
        .error, "\(name).limit >= \(name).barrier", resource, bounds.limit, bounds.barrier,
        remedy: "raise the limit or lower the barrier")
    }
  }

  private func guarantee(_ resource: Resource, _ bounds: Bounds) -> [Finding] {
    var found: [Finding] = []
    if !isVSwap, bounds.limit != Bounds.unlimited {
      found.append(
        Finding(
          severity: .error, rule: "\(resource.name).limit = unlimited", resource: resource,
          actual: bounds.limit,
          required: Bounds.unlimited, remedy: "set the limit to unlimited"))
    }
    if resource == .physpages, bounds.barrier != 0 {
      found.append(
        Finding(
          severity: .error, rule: "physpages.barrier = 0", resource: resource,
          actual: bounds.barrier, required: 0,
          remedy: "set the barrier to 0"))
    }
    return found
  }

  // MARK: What resources are to each other

  private var processes: [Finding] {
    guard let average = averageProcesses else { return [] }
    var found: [Finding] = []
    if let kernel = bounds[.kmemsize], let cache = bounds[.dcachesize] {
      found += atLeast(
        .error, "kmemsize.barrier >= 40960 * avnumproc + dcachesize.limit", .kmemsize,
        kernel.barrier,
        sum(product(40960, average), cache.limit))
    }
    if let files = bounds[.numfile] {
      found += atLeast(
        .warning, "numfile.barrier >= 32 * avnumproc", .numfile, files.barrier, product(32, average)
      )
    }
    return found
  }

  private var memory: [Finding] {
    var found: [Finding] = []
    if let memory = bounds[.privvmpages], let guaranteed = bounds[.vmguarpages] {
      found += atLeast(
        .warning, "privvmpages.barrier >= vmguarpages.barrier", .privvmpages, memory.barrier,
        guaranteed.barrier)
    }
    if let cache = bounds[.dcachesize], let files = bounds[.numfile] {
      found += atLeast(
        .warning, "dcachesize.limit >= 384 * numfile.barrier", .dcachesize, cache.limit,
        product(384, files.barrier))
    }
    return found
  }

  private var sockets: [Finding] {
    spread(.error, .tcpsndbuf, .numtcpsock) + spread(.error, .othersockbuf, .numothersock)
      + spread(.warning, .tcprcvbuf, .numtcpsock)
      + least(.warning, .tcpsndbuf, 64) + least(.warning, .tcprcvbuf, 64)
      + least(.recommendation, .dgramrcvbuf, 32) + least(.recommendation, .othersockbuf, 32)
  }

  /// Between barrier and limit every socket has room for 2.5 KiB.
  private func spread(_ severity: Finding.Severity, _ buffer: Resource, _ count: Resource)
    -> [Finding]
  {
    guard let bytes = bounds[buffer], let sockets = bounds[count] else { return [] }
    let room = bytes.limit == Bounds.unlimited ? Bounds.unlimited : bytes.limit - bytes.barrier
    return atLeast(
      severity, "\(buffer.name).limit - \(buffer.name).barrier >= 2560 * \(count.name).barrier",
      buffer, room,
      product(2560, sockets.barrier),
      remedy:
        "raise the limit to at least \(amount(sum(bytes.barrier, product(2560, sockets.barrier))))")
  }

  private func least(_ severity: Finding.Severity, _ buffer: Resource, _ kibibytes: Int64)
    -> [Finding]
  {
    guard let bytes = bounds[buffer] else { return [] }
    return atLeast(
      severity, "\(buffer.name).barrier >= \(kibibytes * 1024)", buffer, bytes.barrier,
      kibibytes * 1024)
  }

  private func atLeast(
    _ severity: Finding.Severity, _ rule: String, _ resource: Resource, _ actual: Int64,
    _ required: Int64,
    remedy: String? = nil
  ) -> [Finding] {
    guard actual < required else { return [] }
    // The left side of these rules is a barrier or a limit by itself.
    let part = rule.hasPrefix("\(resource.name).limit") ? "limit" : "barrier"
    return [
      Finding(
        severity: severity, rule: rule, resource: resource, actual: actual, required: required,
        remedy: remedy ?? "raise the \(part) to at least \(amount(required))")
    ]
  }

  // Nothing is more than unlimited.
  private func product(_ factor: Int64, _ value: Int64) -> Int64 {
    let (result, overflow) = factor.multipliedReportingOverflow(by: value)
    return overflow ? Bounds.unlimited : result
  }

  private func sum(_ a: Int64, _ b: Int64) -> Int64 {
    let (result, overflow) = a.addingReportingOverflow(b)
    return overflow ? Bounds.unlimited : result
  }
}
