internal import Beancounters
internal import CLinux
internal import Wire

/// Children that a member may make without asking: for each a lease like its own is booked. Those to spare stand in a word
/// of its page, and are taken back like credit.
extension Accounting {
  private static let mostBirths: Int64 = 4

  /// A fork under way copies the lease of its parent, as it is or as it was when the fork began.
  func booked(_ member: Member) -> Int64 { member.lease + underWay(member) * member.copied }

  /// Booked and not in the books as a member of its own: children that came ahead of their note are.
  func underWay(_ member: Member) -> Int64 {
    guard member.births > 0, !member.ahead.isEmpty else { return member.births }
    return max(0, member.births - Int64(member.ahead.count { members[$0]?.isZombie == false }))
  }

  func settleLease(_ pid: Int32) {
    guard leased, let member = members[pid], !member.isZombie else { return }
    if underWay(member) == 0 { members[pid]?.copied = member.lease }
    put(member.slot, .privvmpages, to: booked(members[pid] ?? member))
  }

  /// No child can begin without asking; what was not used is room again.
  func takeBirths(_ pid: Int32) {
    guard let member = members[pid], member.births > 0, let page = member.page else { return }
    let spare = Int64(bc_exchange32(bc_page_births(page), 0))
    // A corrupted word is worth nothing, so it costs only this member.
    guard spare > 0, spare <= member.births else { return }
    members[pid]?.births -= spare
    settleLease(pid)
  }

  /// Some births ahead, where there is room for them all over the tree, and the lease is enough for an image.
  func offerBirths(_ pid: Int32) {
    guard leased, !injects(.privvmpages), let member = members[pid], let page = member.page, !member.isZombie, !member.isLent,
      member.lease >= Accounting.headRoom, member.execPath == nil
    else { return }
    let each = max(member.lease, member.copied)
    let spare = Int64(bc_load32(bc_page_births(page)))
    let more = min(Accounting.mostBirths - spare, share(.privvmpages) / each)
    guard spare >= 0, more > 0 else { return }
    members[pid]?.births += more
    members[pid]?.copied = each
    settleLease(pid)
    _ = bc_add32(bc_page_births(page), Int32(more))
  }

  /// What one member may have beyond its need without starving the others, at every level (design §4).
  func share(_ resource: Resource) -> Int64 {
    upwards.reduce(Bounds.unlimited) { least, level in
      let room = level.ledger.room(resource, .hard)
      return room == Bounds.unlimited ? least : min(least, max(0, room) / Int64(2 * max(level.ledger.members, 1)))
    }
  }

  /// A child is about to be a member, or has been and gone.
  func born(of pid: Int32) {
    guard let member = members[pid], member.births > 0 else { return }
    members[pid]?.births -= 1
    settleLease(pid)
  }

  // MARK: Births that are asked for

  /// Before a fork: the child's copy of the memory is charged, HARD.
  func reserveCopy(_ pid: Int32) -> MemoryAnswer {
    takeBirths(pid)
    guard leased, let member = members[pid] else { return .granted }
    for attempt in 0..<2 {
      if attempt == 1 { recallMemory(except: pid) }
      let now = dataPages(member)
      // The child inherits the lease as it stands: where room is ample it is enough for an image, which then need not ask;
      // where room is short, it is kept small while the fork lasts.
      let ample = share(.privvmpages) >= 2 * Accounting.headRoom ? Accounting.headRoom : 0
      for lease in [max(member.lease, ample), member.lease, min(member.lease, now + Accounting.slack), now] where lease >= now {
        guard fits(member, lease: lease, copied: lease) else { continue }
        lend(pid, lease: lease, copied: lease, limit: lease)
        recallAbove(pid)
        return .granted
      }
    }
    return onLoan(toOthersThan: pid) > 0 ? .later : .denied
  }

  /// Before a child that will run a new image: its loader needs room before its constructor can ask. An image that is not
  /// known may need all there is, and is let have it until it says that it is loaded.
  func reserveImage(_ pid: Int32, known need: Int64?) -> MemoryAnswer {
    takeBirths(pid)
    guard leased, let member = members[pid] else { return .granted }
    let now = dataPages(member)
    let goal = need == nil ? Int64.max : max(Accounting.headRoom, member.lease)
    if need == nil || mostToCopy(member, now) < Accounting.headRoom { recallMemory(except: pid) }
    let (most, lent) = (mostToCopy(member, now), onLoan(toOthersThan: pid))
    if most < (need == nil ? max(Accounting.headRoom, lent) : Accounting.headRoom), lent > 0 { return .later }
    if most >= now + Accounting.spawnPages, most >= need ?? 0 {
      members[pid]?.isLent = need == nil
      members[pid]?.saysHello = need == nil
      let copied = min(most, goal)
      lend(pid, lease: copied, copied: copied, limit: copied)
      return .granted
    }
    // The parent has more than half: what is left is the child's, although it copies a higher limit. It is held to its share
    // as soon as it is seen.
    let rest = free(member) - now - Accounting.spawnPages
    guard rest > 0, rest >= need ?? 0, underWay(member) == 0 else { return lent > 0 ? .later : .denied }
    members[pid]?.isLent = true
    members[pid]?.saysHello = true
    lend(pid, lease: now + Accounting.spawnPages, copied: rest, limit: now + Accounting.spawnPages)
    return .granted
  }

  /// What posix_spawn itself maps: a stack for its child (sysdeps/unix/sysv/linux/spawni.c).
  private static let spawnPages: Int64 = 64

  private func free(_ member: Member) -> Int64 { room(.privvmpages, .hard) + ledger.granted(member.slot, .privvmpages) }

  /// Whether one more child that copies so much can be booked.
  private func fits(_ member: Member, lease: Int64, copied: Int64) -> Bool {
    let others = underWay(member)
    return lease + (others + 1) * max(copied, others > 0 ? member.copied : 0)
      <= free(member)
  }

  /// The most that one more child could copy, while its parent keeps what it has.
  private func mostToCopy(_ member: Member, _ now: Int64) -> Int64 {
    let others = underWay(member)
    let most = free(member) / (2 + others)
    return most < now || (others > 0 && most < member.copied) ? 0 : most
  }

  /// One more is under way, and the limit to be copied is set.
  private func lend(_ pid: Int32, lease: Int64, copied: Int64, limit: Int64) {
    guard let member = members[pid] else { return }
    let others = underWay(member)
    members[pid]?.births += 1
    members[pid]?.lease = lease
    members[pid]?.lent = copied
    members[pid]?.copied = max(copied, others > 0 ? member.copied : 0)
    setLimit(pid, limit)
    put(member.slot, .privvmpages, to: booked(members[pid]!))
  }

  /// After that: the parent's own lease was raised for the child to copy.
  func settleLent(_ pid: Int32) {
    guard let member = members[pid], member.isLent, member.pendingForks == 0 else { return }
    members[pid]?.isLent = false
    members[pid]?.saysHello = false
    trimLease(pid)
  }
}
