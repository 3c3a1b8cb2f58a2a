internal import Beancounters
internal import Recount

/// Resident pages of files and of shared memory, split among the beancounters of this server that
/// have them (Fractions): 1; ½ ½; ½ ¼ ¼. What each process has is known from its last look, so that
/// a look costs what has come and gone since.
final class PhysicalPages {
  struct Memory {
    /// Pages of its own, in part where a fork has left them to several (Pss_Anon of proc(5)).
    var own: Int64
    var swapped: Int64
    /// Pages of files and of shared memory; how much of each its beancounter has is not said here.
    var shared: Int64
    /// Whether it could be looked at closely (ptrace(2)): otherwise all that it has counts in full,
    /// as its own.
    var isSplit: Bool
  }

  private struct Seen {
    var holder: Int
    var pages = Pages.Resident()
    var memory = Memory(own: 0, swapped: 0, shared: 0, isSplit: true)
  }

  private var fractions = Fractions()
  private var seen: [Int32: Seen] = [:]
  private var holders: [Int: Int] = [:]  // by the id of a beancounter
  private var names: [Int?] = []  // by holder

  /// Looks at all members of all beancounters; `pause` is called between two of them.
  func look(_ members: [(pid: Int32, id: Int)], pause: () -> Void) {
    let living = Set(members.map(\.pid))
    for pid in seen.keys.filter({ !living.contains($0) }) { forget(pid) }
    for (pid, id) in members.sorted(by: { $0.pid < $1.pid }) {
      pause()
      let holder = holder(id)
      if let before = seen[pid], before.holder != holder { forget(pid) }
      let before = seen[pid] ?? Seen(holder: holder)
      var now = Seen(holder: holder)
      if let resident = Resident.of(pid) {
        now.memory = Memory(
          own: resident.own, swapped: resident.swapped, shared: 0, isSplit: resident.isSplit)
        if resident.isSplit, let pages = Pages.resident(pid) {
          now.pages = pages
          now.memory.shared = Int64(pages.sharedCount)
        } else if resident.isSplit {
          now.memory.own = resident.physical
        }
      }
      change(from: before, to: now)
      seen[pid] = now
    }
    for id in holders.keys where !members.contains(where: { $0.id == id }) { release(id) }
  }

  func memory(_ pid: Int32) -> Memory? { seen[pid]?.memory }

  /// Whole pages of files and of shared memory that a beancounter has.
  func shared(_ id: Int) -> Int64 { holders[id].map { Int64(fractions.pages($0)) } ?? 0 }

  private func holder(_ id: Int) -> Int {
    if let known = holders[id] { return known }
    let free = names.firstIndex { $0 == nil } ?? names.count
    if free == names.count { names.append(id) } else { names[free] = id }
    holders[id] = free
    return free
  }

  private func release(_ id: Int) {
    guard let holder = holders.removeValue(forKey: id) else { return }
    names[holder] = nil
  }

  private func forget(_ pid: Int32) {
    guard let was = seen.removeValue(forKey: pid) else { return }
    change(from: was, to: Seen(holder: was.holder))
  }

  private func change(from before: Seen, to now: Seen) {
    let (arrived, gone) = Pages.changes(from: before.pages, to: now.pages)
    for run in arrived { each(run) { fractions.add($0, from: $1, count: $2, to: now.holder) } }
    for run in gone {
      each(run) {
        fractions.remove($0, from: $1, count: $2, from: before.holder)
        fractions.forget($0)
      }
    }
  }

  /// A run within what Fractions has numbers for: pages beyond 16 TiB of a file are not told apart.
  private func each(_ run: Pages.Run, _ body: (Fractions.File, UInt32, UInt32) -> Void) {
    guard run.first + run.count <= UInt64(UInt32.max) else { return }
    body(fractions.file(device: run.device, inode: run.inode), UInt32(run.first), UInt32(run.count))
  }
}

extension Accounting {
  /// Memory in use of each process, in order, and whether it could be split. What its beancounter
  /// has of shared pages goes to its members by how many of them each has.
  func residents(_ living: [(of: Accounting, member: Member)]) -> [Resident] {
    host.physical.look(
      host.owner.compactMap { pid, one in one.members[pid]?.isZombie == false ? (pid, one.id) : nil
      }, pause: {})
    var all: [Int: Int64] = [:]
    for (one, member) in living {
      all[one.id, default: 0] += host.physical.memory(member.pid)?.shared ?? 0
    }
    var given: [Int: (shared: Int64, pages: Int64)] = [:]
    return living.map { one, member in
      guard let memory = host.physical.memory(member.pid) else {
        return Resident(physical: 0, swapped: 0, isSplit: true)
      }
      // The sum over the members is the beancounter's share, to the page.
      var (shared, pages) = given[one.id] ?? (0, 0)
      shared += memory.shared
      let upTo = all[one.id]! > 0 ? host.physical.shared(one.id) * shared / all[one.id]! : 0
      given[one.id] = (shared, upTo)
      pages = upTo - pages
      return Resident(
        physical: memory.own + pages, swapped: memory.swapped, isSplit: memory.isSplit)
    }
  }
}
