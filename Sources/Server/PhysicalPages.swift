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
    var runs: [Run] = []
    var memory = Memory(own: 0, swapped: 0, shared: 0, isSplit: true)
  }

  /// Pages of a file that is known by number: a process has a score of them, and is remembered with
  /// them for as long as it lives.
  private struct Run {
    var file: Fractions.File
    var first: UInt32
    var count: UInt32
  }

  private var fractions = Fractions()
  private var seen: [Int32: Seen] = [:]
  private var holders: [Int: Int] = [:]  // by the id of a beancounter
  private var names: [Int?] = []  // by holder

  /// A process to look at, in the beancounter of this id.
  struct Process {
    var pid: Int32
    var id: Int
    /// The inode of the memfd with its cells, whose pages count as its own and are no file that
    /// somebody else could have.
    var cells: UInt64?
  }

  /// Looks at all members of all beancounters. `isCells`: of some member, which a child of its has
  /// mapped still that has not asked yet.
  func look(_ members: [Process], isCells: (Pages.Run) -> Bool) {
    let living = Set(members.map(\.pid))
    for pid in seen.keys.filter({ !living.contains($0) }) { forget(pid) }
    for process in members.sorted(by: { $0.pid < $1.pid }) {
      let pid = process.pid
      let holder = holder(process.id)
      if let before = seen[pid], before.holder != holder { forget(pid) }
      var pages: [Pages.Run] = []
      var memory = Memory(own: 0, swapped: 0, shared: 0, isSplit: true)
      if let resident = Resident.of(pid) {
        memory = Memory(
          own: resident.own, swapped: resident.swapped, shared: 0, isSplit: resident.isSplit)
        if resident.isSplit, let found = Pages.resident(pid) {
          for run in found.shared {
            if !isCells(run) {
              pages.append(run)
              memory.shared += Int64(run.count)
            } else if run.inode == process.cells {
              memory.own += Int64(run.count)
            }
          }
        } else if resident.isSplit {
          memory.own = resident.physical
        }
      }
      let runs = change(from: seen[pid]?.runs ?? [], to: pages, of: holder)
      seen[pid] = Seen(holder: holder, runs: runs, memory: memory)
    }
    let inUse = Set(members.map(\.id))
    for id in holders.keys where !inUse.contains(id) { release(id) }
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
    _ = change(from: was.runs, to: [], of: was.holder)
  }

  /// The runs that it has now.
  private func change(from before: [Run], to now: [Pages.Run], of holder: Int) -> [Run] {
    let old = before.map { run in
      let (device, inode) = fractions.identity(run.file)
      return Pages.Run(
        device: device, inode: inode, first: UInt64(run.first), count: UInt64(run.count))
    }
    // Pages beyond 16 TiB of a file have no number here, and are not told apart.
    let new = now.filter { $0.first + $0.count <= UInt64(UInt32.max) }
    let (arrived, gone) = Pages.changes(from: old, to: new)
    for run in arrived.map(numbered) {
      fractions.add(run.file, from: run.first, count: run.count, to: holder)
    }
    let runs = new.map(numbered)
    for run in gone.map(numbered) {
      fractions.remove(run.file, from: run.first, count: run.count, from: holder)
      fractions.forget(run.file)
    }
    return runs
  }

  private func numbered(_ run: Pages.Run) -> Run {
    Run(
      file: fractions.file(device: run.device, inode: run.inode), first: UInt32(run.first),
      count: UInt32(run.count))
  }
}

extension Host {
  func lookAtPages() {
    let members = owner.compactMap { pid, one -> PhysicalPages.Process? in
      guard let member = one.members[pid], !member.isZombie else { return nil }
      let first = member.spare == nil ? member.page : member.spares?.base
      return .init(pid: pid, id: one.id, cells: first.flatMap { pages.inode(of: $0) })
    }
    physical.look(members) { [pages] in
      $0.device == pages.device && pages.inodes.contains($0.inode)
    }
  }
}

extension Accounting {
  /// Memory in use of each process, in order, and whether it could be split. What its beancounter
  /// has of shared pages goes to its members by how many of them each has.
  func residents(_ living: [(of: Accounting, pid: Int32)]) -> [Resident] {
    host.lookAtPages()
    var all: [Int: Int64] = [:]
    for (one, pid) in living {
      all[one.id, default: 0] += host.physical.memory(pid)?.shared ?? 0
    }
    var given: [Int: (shared: Int64, pages: Int64)] = [:]
    return living.map { one, pid in
      guard let memory = host.physical.memory(pid) else {
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
