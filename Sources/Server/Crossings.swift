internal import Beancounters

/// Use that is beyond a barrier or a limit, as events.
extension Accounting {
  /// A charge that may pass the barrier has.
  func noteBarrier(_ resource: Resource, _ pid: Int32, _ severity: Severity) {
    guard severity != .hard else { return }
    for level in upwards
    where level.ledger[resource].granted > level.ledger[resource].bounds.barrier {
      host.events.add(.barrier, of: level, resource, pid: pid)
    }
  }

  /// The same of a row that no call is charged to: told when a look finds it beyond, and again only
  /// after one that did not.
  func noteCrossing(_ resource: Resource, held: Int64) {
    guard let bound = bound(resource), held > bound else {
      beyond.remove(resource)
      return
    }
    guard beyond.insert(resource).inserted else { return }
    host.events.add(.barrier, of: self, resource, "\(held) held")
  }

  /// New bounds are below what is held. An estimate alone says nothing: what is held is counted
  /// first.
  func tellIfOver(_ resource: Resource) {
    guard let bound = bound(resource) else { return }
    var held = ledger[resource].granted
    if Accounting.things.contains(resource) {
      if held > bound { recount(resource) }
      held = min(held, usedTotal(resource))
    } else if resource == .privvmpages {
      held = observeMemory()
    } else if Observed.rows.contains(resource) {
      held = observe().total(resource)
      if held > bound { beyond.insert(resource) }
    }
    if held > bound { host.events.add(.over, of: self, resource, "\(held) held") }
  }

  /// What use is held to; nil for no bound. Some barriers bound nothing
  /// (`Resource.withoutBarrier`).
  private func bound(_ resource: Resource) -> Int64? {
    let bounds = ledger[resource].bounds
    let bound = Resource.withoutBarrier.contains(resource) ? bounds.limit : bounds.ceiling(.hard)
    return bound == Bounds.unlimited ? nil : bound
  }
}
