internal import Beancounters
internal import Command
internal import Recount

/// The limit of physpages. What user space can refuse is that private memory grows: members have
/// leases as under a bound of privvmpages, and a lease grows while all that is in RAM, with the
/// growth, is within the limit. Memory that a member has mapped and not touched is not in RAM; it
/// may be touched later, without a call that could be refused.
struct PhysicalLimit {
  /// Pages in RAM at the last recount …
  var resident: Int64 = 0
  /// … and what was leased then and not mapped yet, and has been leased since.
  var granted: Int64 = 0
  /// What the members' own figures counted several times over then.
  fileprivate var overlap: Int64 = 0
  fileprivate var rest = Rest()
  /// What the last look in slow mode took, in nanoseconds.
  fileprivate var lookTook: UInt64 = 0
}

/// What a lease may grow by.
struct PhysicalRoom {
  var pages = Bounds.unlimited
  /// The level that has no more.
  var level: Accounting?
  /// Every growth asks.
  var isSlow = false
}

extension Accounting {
  /// nil where there is none. The barrier of physpages bounds nothing.
  var physicalLimit: Int64? {
    let limit = ledger[.physpages].bounds.limit
    return limit == Bounds.unlimited ? nil : limit
  }

  var limitsPhysical: Bool { physicalMost != nil }

  /// The least of the limits here and above.
  var physicalMost: Int64? { upwards.compactMap(\.physicalLimit).min() }

  /// Room for a lease to grow, at every level: at least `want`, or as much as there is after a
  /// recount. *Fast*: no page is looked at while all that is mapped fits, and leases grow in large
  /// steps. *Slow*: what is in RAM is estimated, counted when the estimate does not fit, and leases
  /// grow by what is asked for. When to change is Switch's to say.
  func physicalRoom(_ pid: Int32, want: Int64) -> PhysicalRoom {
    var room = PhysicalRoom()
    for level in upwards {
      guard let limit = level.physicalLimit else { continue }
      let here = limit - level.physicalUse(pid, limit, want: want, &room.isSlow)
      if here < room.pages { (room.pages, room.level) = (here, level) }
    }
    return room
  }

  /// What one member may be leased beyond its need without a question, by what is mapped.
  var physicalShare: Int64 {
    upwards.reduce(Bounds.unlimited) { least, level in
      guard let limit = level.physicalLimit else { return least }
      let room = limit - level.footprint { Procfs.pagesMapped($0)?.all }
      return min(least, max(0, room) / Int64(2 * max(level.ledger.members, 1)))
    }
  }

  /// What all that cannot ask may be leased, without a number where nothing is limited. Recounts
  /// keep away for as long as makes them a small part of the time; what several share is taken to
  /// be the same meanwhile.
  func physicalAhead() -> Int64 {
    var least = Bounds.unlimited
    for level in upwards {
      guard let limit = level.physicalLimit else { continue }
      var use = level.footprint { Procfs.pagesMapped($0)?.resident }
      if use > limit - Accounting.headRoom {
        if level.physical.rest.isOver {
          let start = Clock.precise()
          level.recountPhysical(except: 0)
          level.physical.rest.begin(after: Clock.precise() - start)
        }
        use -= level.physical.overlap
      }
      least = min(least, max(0, limit - use))
    }
    return least
  }

  /// A lease has grown.
  func grewPhysically(_ pages: Int64) {
    guard pages > 0 else { return }
    for level in upwards where level.physicalLimit != nil { level.physical.granted += pages }
  }

  private func physicalUse(_ pid: Int32, _ limit: Int64, want: Int64, _ isSlow: inout Bool) -> Int64
  {
    let mapped = footprint { Procfs.pagesMapped($0)?.all }
    let fits = mapped <= limit - want
    let start = Clock.nanoseconds()
    // Without a count nobody can say what is in RAM: a growth that does not fit is never fast.
    let mode =
      Modes.kept
      ?? modes.serve(
        .physpages, fast: fits ? 0 : .max, slow: host.askingTakes + physical.lookTook, members: 1)
    guard mode == .slow || !fits else {
      if modes.isSlow(.physpages) {
        modes.change(.physpages, to: .fast)
        modes.changed(.physpages, to: .fast, Clock.nanoseconds() - start, members: 1)
        work.toFast += 1
      }
      return mapped
    }
    isSlow = true
    if !modes.isSlow(.physpages) {
      recountPhysical(except: pid)
      let took = Clock.nanoseconds() - start
      modes.change(.physpages, to: .slow)
      modes.changed(.physpages, to: .slow, took, members: 1)
      work.toSlow += 1
      work.switching += took
      return counted(pid, limit, want: want)
    }
    // What was mapped at the recount may have been touched since.
    var use = max(
      physical.resident + physical.granted, footprint { Procfs.pagesMapped($0)?.resident })
    let fitsEstimate = use <= limit - want
    if !fitsEstimate { recountPhysical(except: pid) }
    physical.lookTook = Clock.nanoseconds() - start
    if !fitsEstimate { use = counted(pid, limit, want: want) }
    return use
  }

  /// After a recount: what is in use, once members that are idle have been paged out for what does
  /// not fit, where that is asked for.
  private func counted(_ pid: Int32, _ limit: Int64, want: Int64) -> Int64 {
    let beyond = physical.resident + physical.granted - (limit - want)
    if beyond > 0, want <= limit, settings.reclaims, reclaim(beyond, for: pid) {
      recountPhysical(except: pid)
    }
    return physical.resident + physical.granted
  }

  /// Σ of a figure of each member, and of what it may map without asking.
  private func footprint(_ pages: (Int32) -> Int64?) -> Int64 {
    eachInMemory { one, member in (pages(member.pid) ?? 0) + one.unmapped(member) }
  }

  private func eachInMemory(_ pages: (Accounting, Member) -> Int64) -> Int64 {
    subtree.reduce(0) { sum, one in
      one.members.values.reduce(sum) { sum, member in
        member.isZombie || one.borrowsMemory(member) ? sum : sum + pages(one, member)
      }
    }
  }

  /// What an image that is being loaded was lent is not its own yet: most of it comes back. Those
  /// that cannot ask may all have what is left, which others get too: keepAhead looks at it anew.
  private func unmapped(_ member: Member) -> Int64 {
    isLoading(member) || isStarting(member) || member.isLent || cannotAsk(member)
      ? 0 : max(0, member.lease - dataPages(member))
  }

  /// What is in RAM, page by page: shared ones as fractions (PhysicalPages). Leases that are not in
  /// use come back first.
  private func recountPhysical(except asker: Int32) {
    let start = Clock.nanoseconds()
    host.settleDeaths()
    for one in subtree { one.takeNotes() }
    for one in subtree {
      for member in one.members.values.sorted(by: { $0.pid < $1.pid })
      where member.pid != asker && !one.cannotAsk(member) {
        one.recallLease(member.pid)
      }
    }
    work.recalls += 1
    host.lookAtPages()
    let own = eachInMemory { [host] _, member in host.physical.memory(member.pid)?.own ?? 0 }
    physical.resident = subtree.reduce(own) { [host] in $0 + host.physical.shared($1.id) }
    physical.granted = eachInMemory { one, member in one.unmapped(member) }
    let counted = footprint { Procfs.pagesMapped($0)?.resident }
    physical.overlap = max(0, counted - physical.resident - physical.granted)
    saw(.physpages, held: physical.resident)
    saw(
      .swappages,
      held: eachInMemory { [host] _, member in host.physical.memory(member.pid)?.swapped ?? 0 })
    work.recounting += Clock.nanoseconds() - start
  }
}
