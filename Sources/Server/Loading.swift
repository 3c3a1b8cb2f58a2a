internal import Beancounters
internal import CLinux
internal import Recount
internal import Wire

/// Images between exec and their constructor: nobody can ask for more memory from there, so their
/// lease is left alone until they are loaded. Whether they are, stands in the lease itself; it is
/// read only when memory is short.
extension Accounting {
  /// Not believed for ever: an image that the shim is not in never says that it is loaded.
  private static let longestLoading: Int64 = 250
  /// … though it may have been kept from it.
  private static let longestWait: Int64 = 10_000

  func isLoading(_ member: Member) -> Bool {
    guard leased, !member.isZombie, member.coverage != .uncovered, !member.isSealed else {
      return false
    }
    if member.page != nil, member.execPath == nil { return false }
    guard !member.isLoaded, let since = member.loadingSince else { return false }
    let word = clinux_limit(member.pid)
    if bc_lease_is(word), word & UInt64(BC_LEASE_LOADED.rawValue) != 0 {
      members[member.pid]?.isLoaded = true
      return false
    }
    return mayBeBusy(member, since)
  }

  /// A loader works or waits for a disk; a machine with much to do may let it wait for long.
  /// Whoever sleeps is past it.
  private func mayBeBusy(_ member: Member, _ since: Int64) -> Bool {
    let time = Clock.milliseconds() - since
    if time < Accounting.longestLoading { return true }
    guard time < Accounting.longestWait, let state = Procfs.stat(member.pid)?.state else {
      return false
    }
    return !"SZX".contains(state)
  }

  /// Whether the lease of a member without a page may be touched: marks it, so that it asks before
  /// it runs an image. One that has begun to is loading.
  func holdBack(_ member: Member) -> Bool {
    guard member.page == nil else { return true }
    let word = clinux_limit(member.pid)
    guard bc_lease_is(word) else { return true }
    let state = UInt32(word & UInt64(BC_LEASE_STATE))
    let before = clinux_exchange_limit(
      member.pid, bc_lease_word(word, state | BC_LEASE_RECALL.rawValue))
    guard bc_lease_is(before), before & UInt64(BC_LEASE_EXEC.rawValue) != 0 else { return true }
    _ = clinux_exchange_limit(member.pid, before)
    startsLoading(member.pid)
    return false
  }

  /// A child of vfork runs in its parent's memory until it has an image of its own.
  func borrowsMemory(_ member: Member) -> Bool {
    guard member.page == nil, !member.isLoaded, let since = member.loadingSince else {
      return false
    }
    return Clock.milliseconds() - since < Accounting.longestLoading
      && Procfs.sharesMemoryWithParent(member.pid)
  }

  /// It runs under some lease already, which its image may be being loaded with: a copy of its
  /// parent's.
  func adoptLease(_ pid: Int32, parent: Int32, isCopy: Bool) {
    guard let member = members[pid] else { return }
    let limit = clinux_limit(pid)
    let exempt = members[parent]?.exempt ?? 0
    if exempt > 0 { members[pid]?.exempt = min(exempt, Procfs.noReservePages(pid) ?? 0) }
    if !isCopy { members[pid]?.loadingSince = Clock.milliseconds() }
    guard bc_lease_is(limit) else {
      let has =
        limit > 0 && limit < UInt64(1) << 50
        ? Int64(limit / 4096) : members[parent]?.copied ?? Accounting.headRoom
      return setLease(pid, max(dataPages(member), has))
    }
    members[pid]?.saysHello = limit & UInt64(BC_LEASE_HELLO.rawValue) != 0
    let lease = max(0, Int64(limit / 4096) - exempt)
    if exempt > 0 { return setLease(pid, lease) }
    // It copied more than there was for it.
    if let announced = members[parent], announced.isLent, announced.lent < lease {
      return setLease(pid, max(dataPages(member), announced.lent))
    }
    // While its parent's was lowered, the parent may have had more.
    let has = max(lease, dataPages(member))
    members[pid]?.lease = has
    members[pid]?.limit = lease
    members[pid]?.copied = has
    put(member.slot, .privvmpages, to: has)
  }

  func startsLoading(_ pid: Int32) {
    members[pid]?.isLoaded = false
    if members[pid]?.loadingSince == nil { members[pid]?.loadingSince = Clock.milliseconds() }
  }

  func hasLoaded(_ pid: Int32) {
    members[pid]?.isLoaded = true
    members[pid]?.loadingSince = nil
    members[pid]?.saysHello = false
  }

  /// Room that images being loaded have and may not need, and what children under way have copied.
  func onLoan(toOthersThan asker: Int32) -> Int64 {
    tightest(.privvmpages).subtree.reduce(0) { sum, one in
      one.members.values.reduce(sum) { sum, member in
        if member.isZombie || member.pid == asker { return sum }
        let unused =
          one.isLoading(member) || one.isStarting(member)
          ? max(0, member.lease - one.dataPages(member) - Accounting.slack) : 0
        return sum + unused + member.births * member.copied
      }
    }
  }

  /// Before memory is refused: whether some of it is only on its way. What children of the asker
  /// itself are booked with, by the greatest that one of them may have copied, is waited for
  /// briefly.
  func mayComeBack(_ asker: Int32, _ again: UInt32) -> Bool {
    onLoan(toOthersThan: asker) > 0
      || (again < Accounting.mostAgain && members[asker].map { $0.births > 0 } == true)
  }
  static let mostAgain: UInt32 = 100  // a millisecond each

  /// A child that is to run an image may be copying its lease at this moment. Where one call takes
  /// long, the child is there.
  func isStarting(_ member: Member) -> Bool {
    member.startingSince.map { mayBeBusy(member, $0) } ?? false
  }

  /// How many are under way, and whether they are the same as at the last look. A birth is taken
  /// after it is counted here. Who was found ahead of its note has copied what it needs: a parent
  /// that is in vfork until that one runs its image must not be what that one waits for.
  func lookAtForks(_ pid: Int32) {
    guard let member = members[pid], let page = member.page else { return }
    let generation = page.pointee.generation & BC_GENERATIONS
    if Int(bc_load32(bc_page_forking(page))) <= member.ahead.count {
      members[pid]?.startingSince = nil
    } else if member.startingSince == nil || member.generation != generation {
      members[pid]?.startingSince = Clock.milliseconds()
    }
    members[pid]?.generation = generation
  }

  /// An image that took less than three quarters of the head room will find enough in it again:
  /// nobody need ask for it.
  func learn(_ key: UInt64, took pages: Int64) {
    guard key != 0, pages <= Accounting.headRoom * 3 / 4, root.known[key] == nil else { return }
    // While it is loaded it has more: what is made read-only after relocation is writable until
    // then.
    root.known[key] = pages + pages / 8 + 32
    root.knownKeys.append(key)
    for one in root.subtree {
      for member in one.members.values {
        if let page = member.page { bc_page_know(page, UInt32(root.knownKeys.count - 1), key) }
      }
    }
  }

  func teach(_ page: UnsafeMutablePointer<bc_page>) {
    let keys = root.knownKeys
    for i in max(0, keys.count - Int(BC_KNOWN))..<keys.count {
      bc_page_know(page, UInt32(i), keys[i])
    }
  }
}
