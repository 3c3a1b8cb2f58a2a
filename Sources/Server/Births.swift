internal import Beancounters
internal import CLinux
internal import Wire

/// Children that a member may make without asking: for each a lease like its own is booked. Those
/// to spare stand in a word of its page, and are taken back like credit.
extension Accounting {
  private static let mostBirths: Int64 = 4

  /// A fork under way copies the lease of its parent, as it is or as it was when the fork began.
  func booked(_ member: Member) -> Int64 { member.lease + member.births * member.copied }

  func settleLease(_ pid: Int32) {
    guard leased, let member = members[pid], !member.isZombie else { return }
    if member.births == 0 { members[pid]?.copied = member.lease }
    put(member.slot, .privvmpages, to: booked(members[pid] ?? member))
  }

  /// No child can begin without asking; what was not used is room again.
  func takeBirths(_ pid: Int32) {
    guard let member = members[pid], member.births > 0, let page = member.page else { return }
    // Below 0 so many that are under way have been spent already, and it stays.
    var seen = bc_load32(bc_page_births(page))
    while seen > 0, !bc_cas32(bc_page_births(page), seen, 0) {
      seen = bc_load32(bc_page_births(page))
    }
    // A corrupted word is worth nothing, so it costs only this member.
    guard seen > 0, Int64(seen) <= member.births else { return }
    members[pid]?.births -= Int64(seen)
    settleLease(pid)
  }

  /// Some births ahead, where there is room for them all over the tree, and the lease is enough for
  /// an image.
  func offerBirths(_ pid: Int32) {
    guard leased, !injects(.privvmpages), let member = members[pid], let page = member.page,
      !member.isZombie, !member.isLent,
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

  /// What one member may have beyond its need without starving the others, at every level (design
  /// §4).
  func share(_ resource: Resource) -> Int64 {
    upwards.reduce(Bounds.unlimited) { least, level in
      let room = level.ledger.room(resource, .hard)
      return room == Bounds.unlimited
        ? least : min(least, max(0, room) / Int64(2 * max(level.ledger.members, 1)))
    }
  }

  /// … of memory, which physpages may be short of too.
  var leaseShare: Int64 { min(share(.privvmpages), physicalShare) }

  /// A child is about to be a member, or has been and gone.
  func born(of pid: Int32) {
    guard let member = members[pid], member.births > 0 else { return }
    members[pid]?.births -= 1
    settleLease(pid)
  }

  /// A child is found ahead of its note, and has a lease in the books itself: a birth is spent for
  /// it at once, also in the page. What comes back with the note, or from it when its parent has
  /// reaped the child, is then none (Tests/Model/births.pml).
  func spendBirth(for child: Int32, of pid: Int32) {
    guard leased, let member = members[pid], member.births > 0, let page = member.page else {
      return
    }
    members[pid]?.births -= 1
    _ = bc_add32(bc_page_births(page), -1)
    // One that its parent has waited for meanwhile has no note any more, and its birth may be
    // another child's by now. For one that is there the note comes, or comes back, after this.
    if members[child]?.hasGone == true {
      members[pid]?.births += 1
      _ = bc_add32(bc_page_births(page), 1)
    } else {
      members[child]?.hasSpentBirth = true
    }
    settleLease(pid)
  }

  /// … and the note of that child has come.
  func noteSpentBirth(of pid: Int32) {
    guard let page = members[pid]?.page else { return }
    _ = bc_add32(bc_page_births(page), 1)
  }

  // MARK: Births that are asked for

  /// Before a fork: the child's copy of the memory is charged, HARD.
  func reserveCopy(_ pid: Int32, again: UInt32) -> MemoryAnswer {
    takeBirths(pid)
    guard leased else { return .granted }
    for attempt in 0..<2 {
      if attempt == 1 { recallMemory(except: pid) }
      guard let member = members[pid] else { return .granted }  // as the recall has left it
      let now = dataPages(member)
      // The child inherits the lease as it stands: where room is ample it is enough for an image,
      // which then need not ask; where room is short, it is kept small while the fork lasts.
      let ample = leaseShare >= 2 * Accounting.headRoom ? Accounting.headRoom : 0
      for lease in [
        max(member.lease, ample), member.lease, min(member.lease, now + Accounting.slack), now,
      ] where lease >= now {
        guard fits(member, lease: lease, copied: lease) else { continue }
        var has = lease
        if lease < member.lease {
          setLimit(pid, lease)
          has = max(lease, dataPages(member))  // another of its threads may have been quicker
          guard fits(member, lease: has, copied: has) else {
            setLimit(pid, member.limit)
            continue
          }
        }
        lend(pid, lease: has, copied: has, limit: has)
        return .granted
      }
    }
    return mayComeBack(pid, again) ? .later : .denied
  }

  /// Before a child that will run a new image: its loader needs room before its constructor can
  /// ask. An image that is not known may need all there is, and is let have it until it says that
  /// it is loaded.
  func reserveImage(_ pid: Int32, known need: Int64?, again: UInt32) -> MemoryAnswer {
    takeBirths(pid)
    guard leased, let asker = members[pid] else { return .granted }
    if need == nil || mostToCopy(asker, dataPages(asker)) < Accounting.headRoom {
      recallMemory(except: pid)
    }
    // Notes came with the recall, also of its own children.
    guard let member = members[pid] else { return .granted }
    let now = dataPages(member)
    let goal = need == nil ? Int64.max : max(Accounting.headRoom, member.lease)
    let (most, lent) = (mostToCopy(member, now), onLoan(toOthersThan: pid))
    if most < (need == nil ? max(Accounting.headRoom, lent) : Accounting.headRoom), lent > 0 {
      return .later
    }
    if most >= now + Accounting.spawnPages, most >= need ?? 0 {
      members[pid]?.isLent = need == nil
      members[pid]?.saysHello = need == nil
      let copied = min(most, goal)
      lend(pid, lease: copied, copied: copied, limit: copied)
      return .granted
    }
    // The parent has more than half: what is left is the child's, although it copies a higher
    // limit. It is held to its share as soon as it is seen.
    let rest = free(member) - now - Accounting.spawnPages
    guard rest > 0, rest >= need ?? 0, member.births == 0 else {
      return mayComeBack(pid, again) ? .later : .denied
    }
    members[pid]?.isLent = true
    members[pid]?.saysHello = true
    lend(pid, lease: now + Accounting.spawnPages, copied: rest, limit: now + Accounting.spawnPages)
    return .granted
  }

  /// What posix_spawn itself maps: a stack for its child (sysdeps/unix/sysv/linux/spawni.c).
  private static let spawnPages: Int64 = 64

  private func free(_ member: Member) -> Int64 {
    room(.privvmpages, .hard) + ledger.granted(member.slot, .privvmpages)
  }

  /// Whether one more child that copies so much can be booked.
  private func fits(_ member: Member, lease: Int64, copied: Int64) -> Bool {
    let others = member.births
    return lease + (others + 1) * max(copied, others > 0 ? member.copied : 0)
      <= free(member)
  }

  /// The most that one more child could copy, while its parent keeps what it has.
  private func mostToCopy(_ member: Member, _ now: Int64) -> Int64 {
    let others = member.births
    let most = free(member) / (2 + others)
    return most < now || (others > 0 && most < member.copied) ? 0 : most
  }

  /// One more is under way, and the limit to be copied is set.
  private func lend(_ pid: Int32, lease: Int64, copied: Int64, limit: Int64) {
    guard let member = members[pid] else { return }
    let others = member.births
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
